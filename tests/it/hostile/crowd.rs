//! More connections than there may be.

use std::time::Duration;

use gophership_otlp::Signal;

use super::SOON;
use super::Scene;
use super::raw;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Mode;

const CONNECTIONS: usize = 20;

/// Timeouts that do not help within this test.
fn patient() -> String {
    let yaml = super::YAML.replace("$CONNECTIONS", &CONNECTIONS.to_string());
    ["handshake_timeout: 1s", "first_request_timeout: 3s", "idle_timeout: 4s"].iter().fold(
        yaml,
        |yaml, option| {
            let (name, _) = option.split_once(": ").unwrap();
            yaml.replace(option, &format!("{name}: 5m"))
        },
    )
}

/// Scenario: all connections of both ports are taken: by silent ones, and by HTTP/2 that acknowledges
/// pings; then a sender comes, over each protocol.
/// Guarantees: the longest idle connection makes room, and the sender has its answer soon; metrics and one
/// line of the log say that connections waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_idle_connection_makes_room() {
    let scene = Scene::with(&patient()).await;
    let mut hostile = Vec::new();
    let mut tasks = Vec::new();
    for idx in 0..CONNECTIONS {
        hostile.push(raw::connect(scene.site.http()).await);
        let mut stream = raw::send(scene.site.grpc(), &raw::hello()).await;
        if idx % 2 == 0 {
            hostile.push(stream);
        } else {
            tasks.push(tokio::spawn(async move {
                raw::only_acknowledge(&mut stream, Duration::from_mins(5)).await
            }));
        }
    }
    let parcel = scene.traffic.request(Signal::Logs, 3);
    GrpcClient::new(scene.site.grpc()).send(&parcel).await.unwrap();
    let kind = [("content-type", "application/x-protobuf")];
    let answer = HttpClient::new(scene.site.http()).post("/v1/logs", &kind, parcel.wire).await;
    assert_eq!(answer.status, 200);
    scene.closed_in_time("evicted", 2).await;
    let metrics = scene.process.metrics().await;
    assert!(2 <= metrics.sum("gophership_listener_connection_waits_total", &[]));
    for listener in ["otlp/grpc", "otlp/http"] {
        assert!(super::open(&metrics, listener) <= i64::try_from(CONNECTIONS).unwrap());
        scene.process.logged(SOON, &["WARN", "is at its connection limit", listener]).await;
    }
    assert_eq!(scene.process.count_in_log("is at its connection limit"), 2);
}

/// Scenario: a request is under way on each connection that there may be, and one more sender comes.
/// Guarantees: none of them is cut off; the newcomer is served when one of them has its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_a_request_is_never_cut_off_for_another() {
    let scene = Scene::with(&patient().replace("connections_max: 20", "connections_max: 4")).await;
    scene.backend.set(Mode::Hang);
    let send = |_| {
        let client = GrpcClient::new(scene.site.grpc());
        let parcel = scene.traffic.request(Signal::Logs, 1);
        tokio::spawn(async move { client.send(&parcel).await.map(|_| ()) })
    };
    let first: Vec<_> = (0..4).map(send).collect();
    let is_taken =
        |metrics: &crate::harness::Metrics| metrics.books("logs").count("in_flight") == 4;
    scene.process.measured(SOON, "four requests are under way", is_taken).await;
    let last = send(4);
    let waits = |metrics: &crate::harness::Metrics| {
        metrics.sum("gophership_listener_connections_waiting", &[]) == 1
    };
    scene.process.measured(SOON, "the fifth waits", waits).await;
    // Longer than a connection must be idle for.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(scene.closed("evicted").await, 0);
    scene.backend.set(Mode::Accept);
    for sent in first.into_iter().chain([last]) {
        sent.await.unwrap().unwrap();
    }
}
