//! `gs-ctl drain` on a running process, under load and in an outage.

use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use http::StatusCode;
use tonic::Code;
use tonic_types::StatusExt;

use super::commands::json;
use super::commands::said;
use super::port::SOON;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::harness::get;

const WITHIN: Duration = Duration::from_secs(30);

const REPLAYED: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

const WITHOUT_VAULT: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: received }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// Each request is refused, over both protocols, with a hint when to come back.
async fn all_is_refused(site: &Site, traffic: &Traffic) {
    let (grpc, http) = (GrpcClient::new(site.grpc()), HttpClient::new(site.http()));
    for _ in 0..20 {
        let parcel = traffic.request(Signal::Logs, 1);
        let status = grpc.send(&parcel).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("draining"), "{status:?}");
        let hint = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert!(hint.is_some_and(|delay| Duration::from_secs(1) <= delay), "{status:?}");
        let kind = [("content-type", "application/x-protobuf")];
        let answer = http.post(parcel.signal.http_path(), &kind, parcel.wire.clone()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    }
}

/// The records that are refused because of a drain are counted, and nothing counts as stalled.
async fn refusals_are_counted(process: &Process) {
    let of_drain = [("cause", "draining")];
    let metrics = process.metrics().await;
    assert!(40 <= metrics.sum("gophership_source_refused_total", &of_drain));
    let status = json(process, &["status"]);
    assert_eq!((&status["ready"], &status["stuck"]), (&false.into(), &false.into()), "{status}");
    assert_eq!(status["draining"]["reason"], "kernel update");
}

/// Scenario: four clients send as fast as they can; the server is drained; later the drain is undone.
/// Guarantees: when the drain has answered nothing is in flight, and from then on every request is refused
/// with a hint; readiness and status say so; every request that got an OK arrives; afterwards requests
/// are taken again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_refuses_what_comes_and_loses_nothing() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let shape = Shape { clients: 4, records: 5, padding: 100 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    load.advance(200, WITHIN).await;
    let wait = ["drain", "--yes", "--wait", "--deadline", "20s", "--reason", "kernel update"];
    let drained = json(&process, &wait);
    assert_eq!((&drained["draining"], &drained["done"]), (&true.into(), &true.into()), "{drained}");
    assert_eq!((&drained["unanswered_bytes"], &drained["late"]), (&0.into(), &false.into()));
    all_is_refused(&site, &traffic).await;
    // Each client had its last OK before its first refusal; two more of each show that none follows.
    let refused = load.refused();
    eventually(WITHIN, "all clients are refused", || refused + 8 <= load.refused()).await;
    let acknowledged = load.acknowledged();
    let refused = load.refused();
    eventually(WITHIN, "they are refused again", || refused + 8 <= load.refused()).await;
    assert_eq!(load.acknowledged(), acknowledged, "no OK while it drains");
    refusals_are_counted(&process).await;
    let answer = get(site.metrics(), "/readyz").await.unwrap();
    assert_eq!(answer, (503, "draining\n".to_owned()));
    assert_eq!(process.control(&["health"]).status.code(), Some(1));

    let undone = json(&process, &["drain", "--undo", "--reason", "done"]);
    assert_eq!(undone["draining"], false);
    load.advance(50, WITHIN).await;
    assert_eq!(get(site.metrics(), "/readyz").await.unwrap().0, 200);
    load.stop().await;
    oracle.settle(&backend, SOON).await.assert_kept(&"after a drain");
    let changes = audit_lines(site.dir(), "change");
    let drains: Vec<_> = changes.iter().filter(|line| line["action"] == "Drain").collect();
    assert_eq!(drains.len(), 2, "{changes:?}");
    assert_eq!(
        (&drains[0]["reason"], &drains[1]["detail"]),
        (&"kernel update".into(), &"undo".into())
    );
}

/// Scenario: the backend does not answer while requests are taken; the server is drained; the process is
/// killed, and starts again with a backend that answers.
/// Guarantees: what was taken is in the vault when the drain is done, and arrives after the restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_in_an_outage_leaves_everything_in_the_vault() {
    let backend = Backend::start().await;
    backend.set(Mode::Stall);
    let site = Site::new(backend.address(), REPLAYED);
    let mut process = site.start().await;
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let shape = Shape { clients: 8, records: 5, padding: 100 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    load.advance(16, WITHIN).await;
    let drained = json(&process, &["drain", "--yes", "--wait", "--deadline", "20s"]);
    assert_eq!(drained["done"], true, "{drained}");
    let kept = drained["vault_requests"].as_u64().unwrap();
    assert!(16 <= kept, "{drained}");
    process.kill();
    load.stop().await;
    backend.set(Mode::Accept);
    let process = site.start().await;
    oracle.settle(&backend, SOON).await.assert_kept(&"after a drain and a kill");
    let nothing = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "nothing waits", nothing).await;
}

/// Scenario: requests are acknowledged on receipt, without a vault, while the backend does not answer; the
/// server is drained with a deadline, and again when the backend answers.
/// Guarantees: the first drain ends at its deadline, with exit code 1, and says what is left; the second one
/// ends when everything is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_with_a_deadline_says_what_is_left() {
    let backend = Backend::start().await;
    backend.set(Mode::Stall);
    let site = Site::new(backend.address(), WITHOUT_VAULT);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..5 {
        client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    }
    let output =
        process.control(&["drain", "--yes", "--wait", "--deadline", "300ms", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let left: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&left["done"], &left["late"]), (&false.into(), &true.into()), "{left}");
    assert_eq!(left["in_flight_records"], 15, "{left}");
    assert!(0 < left["unanswered_bytes"].as_u64().unwrap(), "{left}");
    backend.set(Mode::Accept);
    assert_eq!(json(&process, &["drain", "--yes", "--wait"])["done"], true);
    let books = Books::of(&[("received", 15), ("delivered", 15)]);
    assert_eq!(process.metrics().await.books("logs"), books);
}
