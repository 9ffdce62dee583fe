//! The watchdog: when nothing moves although there is work, the log says what waits for what, a metric
//! rises, and readiness turns if it is the way in that stands still.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use serde_json::Value;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::harness::get;

const SOON: Duration = Duration::from_secs(20);

/// Without a vault: who cannot deliver cannot take.
const BARE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", timeout: 60s }
somatic: { watchdog: { after: 1s } }
"#;

const WITH_VAULT: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 200ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 200ms }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB }
somatic: { watchdog: { after: 1s } }
"#;

async fn readiness(site: &Site) -> (u16, String) {
    get(site.metrics(), "/readyz").await.expect("somebody answers")
}

async fn becomes_ready(site: &Site) {
    eventually_async(SOON, "it is ready", async || readiness(site).await.0 == 200).await;
}

fn status(process: &Process, format: &str) -> String {
    let output = process.control(&["status", "--output", format]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn is_stalled(metrics: &Metrics, component: &str) -> bool {
    metrics.sum("gophership_somatic_stalled", &[("component", component)]) == 1
}

/// Scenario: a backend that reads and does not answer, and no vault; later it answers.
/// Guarantees: log, metric, status and readiness say which part waits for what, once; all of them
/// say that it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_in_that_stands_still_is_not_ready_until_it_moves_again() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), BARE);
    let mut process = site.start().await;
    backend.set(Mode::Hang);
    let client = GrpcClient::new(site.grpc());
    let parcel = Traffic::default().request(Signal::Logs, 3);
    let sent = tokio::spawn(async move { client.send(&parcel).await });

    let waits = "Component makes no progress: otlp: 1 requests wait for their answer for 1 s.";
    process.logged(SOON, &["WARN", waits, "component=otlp"]).await;
    let waits = "Component makes no progress: backend: 1 batches wait for an answer of the backend \
                 for 1 s.";
    process.logged(SOON, &["WARN", waits, "component=backend"]).await;
    let (code, text) = readiness(&site).await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("backend: 1 batches wait for an answer of the backend"), "{text}");
    let metrics = process.metrics().await;
    assert!(is_stalled(&metrics, "otlp") && is_stalled(&metrics, "backend"));
    assert_eq!(metrics.sum("gophership_somatic_stalls_total", &[("component", "otlp")]), 1);
    let json: Value = serde_json::from_str(&status(&process, "json")).unwrap();
    assert_eq!(json["stuck"], true);
    let of = |stall: &Value| stall["component"].as_str().unwrap().to_owned();
    let stalls: Vec<String> = json["stalls"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(stalls, ["backend", "otlp"]);
    let table = status(&process, "table");
    assert!(table.contains("NOT READY"), "{table}");
    assert!(table.contains("backend makes no progress for"), "{table}");

    backend.set(Mode::Accept);
    sent.await.unwrap().unwrap();
    becomes_ready(&site).await;
    let over =
        "Component makes progress again, or has no work left: requests wait for their answer.";
    process.logged(SOON, &["INFO", over, "component=otlp"]).await;
    let is_over = |metrics: &Metrics| metrics.sum("gophership_somatic_stalled", &[]) == 0;
    process.measured(SOON, "nothing stands still", is_over).await;
    let json: Value = serde_json::from_str(&status(&process, "json")).unwrap();
    assert_eq!((&json["stuck"], json["stalls"].as_array().unwrap().len()), (&false.into(), 0));
    process.stop(SOON).await;
    assert_eq!(process.count_in_log("Component makes no progress: otlp"), 1, "once for each stall");
}

/// Scenario: the same for a full vault beside a dead backend: everybody is told to come again.
/// Guarantees: who refuses everything is not ready, and is again when the backend is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_refuses_everything_is_not_ready() {
    let backend = Backend::start().await;
    let yaml = WITH_VAULT.replace("max_size: 256MiB", "max_size: 68MiB");
    let yaml = yaml.replace("patience: 200ms", "patience: 200ms, answer_within: 600ms");
    let site = Site::new(backend.address(), &yaml);
    let _process = site.start().await;
    backend.set(Mode::Gone);
    let traffic = Arc::new(Traffic::default());
    let oracle = Arc::new(Oracle::default());
    // Requests of 1 MiB each.
    let shape = Shape { clients: 4, records: 1, padding: 1 << 20 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    eventually_async(SOON, "it is not ready", async || readiness(&site).await.0 == 503).await;
    backend.set(Mode::Accept);
    becomes_ready(&site).await;
    assert!(!load.stop().await.refusals.is_empty());
    oracle.settle(&backend, SOON).await.assert_kept(&"after the vault was full");
}

/// Scenario: the backend hangs under load and the vault takes everything.
/// Guarantees: the log names the sink and the replay that wait for it; the source moves, so the
/// process stays ready all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_the_vault_bears_keeps_nobody_from_sending() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), WITH_VAULT);
    let process = site.start().await;
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let load = SteadyLoad::start(site.grpc(), Shape::default(), &traffic, &oracle);
    load.advance(20, SOON).await;
    assert_eq!(process.count_in_log("Component makes no progress"), 0, "it moves");
    backend.set(Mode::Hang);
    process
        .logged(
            SOON,
            &["Component makes no progress: backend:", "wait for an answer of the backend"],
        )
        .await;
    process.logged(SOON, &["Component makes no progress: replay:", "wait for delivery"]).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert_eq!(readiness(&site).await.0, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(process.count_in_log("Component makes no progress: otlp"), 0);
    backend.set(Mode::Accept);
    process.logged(SOON, &["Component makes progress again", "component=backend"]).await;
    process.logged(SOON, &["Component makes progress again", "component=replay"]).await;
    assert!(load.stop().await.refusals.is_empty());
    oracle.settle(&backend, SOON).await.assert_kept(&"after the outage");
}

/// Scenario: no request at all, and afterwards some, for longer than the watchdog waits.
/// Guarantees: it says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_process_and_a_busy_one_are_no_stall() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), WITH_VAULT);
    let mut process = site.start().await;
    backend.set(Mode::Slow(Duration::from_millis(100)));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let load = SteadyLoad::start(site.grpc(), Shape::default(), &traffic, &oracle);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(readiness(&site).await.0, 200);
    load.stop().await;
    process.stop(SOON).await;
    assert_eq!(process.count_in_log("Component makes no progress"), 0, "{}", process.log());
}
