//! `gophership vault verify` and `export` beside a server: they ask its governor for their share of the
//! time.

use std::path::Path;
use std::process::Child;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::Backend;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::tool::begin;
use crate::tool::interrupt;
use crate::tool::tool;
use crate::vault_tools::document;

const WITHIN: Duration = Duration::from_secs(30);
/// Without a server to wait for, all of it takes less by far.
const PAUSED: Duration = Duration::from_millis(1500);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 1GiB, segment_size: 1MiB }
"#;

/// A server in Red with some segments in its vault.
async fn red_server() -> (Site, Process, String) {
    let backend = Backend::start().await;
    backend.set(Mode::Unavailable);
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    process.hold("red");
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let load = SteadyLoad::start(
        site.grpc(),
        Shape { clients: 4, records: 5, padding: 4000 },
        &traffic,
        &oracle,
    );
    load.advance(200, WITHIN).await;
    load.stop().await;
    let path = site.dir().join("data/vault").display().to_string();
    (site, process, path)
}

/// Verification of a vault and its export into files, both under way.
fn begin_both(site: &Site, path: &str) -> [Child; 2] {
    let to = site.dir().join("out").display().to_string();
    let export = begin(&["export", "--to", &to, "-o", "json", path]);
    [begin(&["verify", "-o", "json", path]), export]
}

async fn still_wait(children: &mut [Child]) {
    tokio::time::sleep(PAUSED).await;
    for child in children {
        assert!(child.try_wait().unwrap().is_none(), "the server is in Red");
    }
}

fn end(child: Child) -> (Option<i32>, serde_json::Value, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let document = serde_json::from_slice(&stdout).unwrap();
    (status.code(), document, String::from_utf8(stderr).unwrap())
}

fn expect_done(children: [Child; 2]) {
    let [verify, export] = children.map(end);
    assert_eq!((verify.0, &verify.1["sound"]), (Some(0), &true.into()), "{verify:?}");
    assert_eq!(export.0, Some(0), "{export:?}");
    assert!(200 <= export.1["exported"].as_u64().unwrap(), "{export:?}");
    for (_, _, said) in [verify, export] {
        assert_eq!(said.matches("waiting: ").count(), 1, "{said}");
    }
}

/// Scenario: the vault of a server in Red is verified and exported; then Red is over.
/// Guarantees: both wait until then and say so; who asks for full speed does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_commands_wait_while_the_server_is_in_red() {
    let (site, mut process, path) = red_server().await;
    let mut children = begin_both(&site, &path);
    still_wait(&mut children).await;
    let status = String::from_utf8(process.control(&["status"]).stdout).unwrap();
    assert!(status.contains("background work is paused"), "{status}");
    assert_eq!(document(0, &["verify", "--full-speed", "-o", "json", &path])["sound"], true);
    let share = "gophership_somatic_background_ratio";
    assert!(process.metrics().await.real_sum(share, &[]) <= 0.0);
    process.hold("green");
    expect_done(children);
    assert!(0.0 < process.metrics().await.real_sum(share, &[]));
    process.stop(WITHIN).await;
}

/// Scenario: the server is killed while both wait for it.
/// Guarantees: they do not wait for a server that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_is_not_waited_for() {
    let (site, mut process, path) = red_server().await;
    let mut children = begin_both(&site, &path);
    still_wait(&mut children).await;
    process.kill();
    expect_done(children);
}

/// Scenario: an export that waits is interrupted.
/// Guarantees: it ends at once and says that nothing was exported yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_waits_can_be_interrupted() {
    let (site, mut process, path) = red_server().await;
    let to = site.dir().join("out").display().to_string();
    let mut child = [begin(&["export", "--to", &to, "-o", "json", &path])];
    still_wait(&mut child).await;
    let [child] = child;
    interrupt(&child);
    let (code, report, said) = end(child);
    assert_eq!(code, Some(130), "{said}");
    assert_eq!((&report["exported"], &report["next_seq"]), (&0.into(), &1.into()), "{report}");
    process.stop(WITHIN).await;
}

/// Scenario: the server cannot be asked, as its socket is elsewhere or nobody answers on it.
/// Guarantees: this is said with what to do, and the command does its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_asked_is_a_note() {
    let (site, mut process, path) = red_server().await;
    let elsewhere = site.dir().join("no.sock").display().to_string();
    let output = tool(&["verify", "--socket", &elsewhere, &path]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("note: ") && said.contains("no.sock"), "{said}");
    let copy = tempfile::tempdir().unwrap();
    let link = copy.path().join("control.sock");
    std::os::unix::fs::symlink(site.socket(), &link).unwrap();
    assert!(waits(&link, &path).await, "a socket that is named is asked");
    process.stop(WITHIN).await;
}

/// Whether a verification waits that asks on this socket.
async fn waits(socket: &Path, path: &str) -> bool {
    let mut child = begin(&["verify", "--socket", &socket.display().to_string(), path]);
    tokio::time::sleep(PAUSED).await;
    let is_waiting = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    is_waiting
}
