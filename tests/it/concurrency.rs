//! `concurrency: auto`, against backends that serve so many requests a second and no more.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::harness::Backend;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::harness::report;

/// Long enough for a limit that began on a wrong foot: it is put right every 30 seconds.
const SOON: Duration = Duration::from_secs(75);
const SERVICE: Duration = Duration::from_millis(50);
/// More than any backend here is busy with.
const CLIENTS: usize = 48;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 5s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

fn limit(metrics: &Metrics) -> i64 {
    metrics.sum("gophership_sink_concurrency_limit", &[("sink", "backend")])
}

/// Requests that the backend takes in a second, measured over two.
async fn rate(backend: &Backend) -> f64 {
    let (begun, before) = (Instant::now(), backend.requests());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let taken = u32::try_from(backend.requests() - before).unwrap();
    f64::from(taken) / begun.elapsed().as_secs_f64()
}

/// Scenario: more clients than are of use, and a backend with twelve workers, then three, then
/// twelve again, while nobody tells the sink.
/// Guarantees: each time the limit settles where the backend is busy, within 10% of what it can do,
/// and no more than four requests per worker are on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_follows_what_the_backend_can_do() {
    let backend = Backend::start().await;
    backend.set(Mode::Serve(12, SERVICE));
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let shape = Shape { clients: CLIENTS, records: 1, padding: 0 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    for workers in [12_u32, 3, 12] {
        backend.set(Mode::Serve(workers as usize, SERVICE));
        let best = f64::from(workers) / SERVICE.as_secs_f64();
        let few = i64::from(workers) * 4;
        let what = format!("{workers} workers are busy and no more than {few} requests wait");
        eventually_async(SOON, &what, async || {
            let rate = rate(&backend).await;
            let limit = limit(&process.metrics().await);
            report(&format!("{workers} workers: {rate:.0} of {best:.0}/s at a limit of {limit}"));
            0.9 * best < rate && limit <= few
        })
        .await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
}

/// Scenario: a backend that takes anything, but is 100 ms away.
/// Guarantees: it gets more at a time than the sixteen requests that the limit begins with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distant_backend_gets_more_at_a_time() {
    let away = Duration::from_millis(100);
    let backend = Backend::start().await;
    backend.set(Mode::Slow(away));
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let shape = Shape { clients: CLIENTS, records: 1, padding: 0 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    let sixteen = 16.0 / away.as_secs_f64();
    eventually_async(SOON, "half as much again is delivered", async || {
        let rate = rate(&backend).await;
        let limit = limit(&process.metrics().await);
        report(&format!("{rate:.0}/s at a limit of {limit}, {sixteen:.0}/s with sixteen"));
        1.5 * sixteen < rate
    })
    .await;
    load.stop().await;
}
