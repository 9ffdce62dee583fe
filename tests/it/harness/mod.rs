//! What behaviour tests share: the real process on a site of its own, and the testbed around it, with a
//! recording backend and clients that say anything.

mod audit;
mod client;
pub(crate) mod json;
mod metrics;
mod process;
mod shapes;
mod site;

use std::time::Duration;
use std::time::Instant;

pub(crate) use gophership_testbed::BackendRefusal;
pub(crate) use gophership_testbed::Broken;
pub(crate) use gophership_testbed::Mode;
pub(crate) use gophership_testbed::NumberedRequest;
pub(crate) use gophership_testbed::RecordingBackend as Backend;
pub(crate) use gophership_testbed::RequestOracle as Oracle;
pub(crate) use gophership_testbed::Shape;
pub(crate) use gophership_testbed::SteadyLoad;
pub(crate) use gophership_testbed::Traffic;

#[allow(unused_imports, reason = "the integration tests need it, the torture does not")]
pub(crate) use audit::audit_lines;
#[allow(unused_imports, reason = "the integration tests need it, the torture does not")]
pub(crate) use client::GrpcClient;
pub(crate) use client::HttpAnswer;
pub(crate) use client::HttpClient;
pub(crate) use metrics::Books;
pub(crate) use metrics::Metrics;
pub(crate) use process::Process;
#[allow(unused_imports, reason = "the torture needs it, the integration tests do not")]
pub(crate) use process::get;
pub(crate) use process::gs_ctl;
pub(crate) use process::program;
#[allow(unused_imports, reason = "the torture needs it, the integration tests do not")]
pub(crate) use shapes::around;
#[allow(unused_imports, reason = "the torture needs it, the integration tests do not")]
pub(crate) use shapes::empties;
pub(crate) use shapes::gzip;
pub(crate) use shapes::shapes;
pub(crate) use site::Site;
pub(crate) use site::free_address;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `is_so`, and fails the test when that has not happened `within` the time.
pub(crate) async fn eventually(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Like [`eventually`], for conditions that must ask somebody.
pub(crate) async fn eventually_async(
    within: Duration,
    what: &str,
    mut is_so: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + within;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The seed of a random test: `GOPHERSHIP_TEST_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("GOPHERSHIP_TEST_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..))
}

/// Says something that belongs to the test's output: shown when it fails, or with `--nocapture`.
#[expect(clippy::print_stdout, reason = "this is how a test talks")]
pub(crate) fn report(text: &str) {
    println!("{text}");
}
