//! Senders that say how long they wait.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::SOON;
use super::Scene;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: $PIVOT, patience: 4s }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Sends a request that waits for so long, and returns the status of the server and when it came.
async fn send(scene: &Scene, timeout: &str, parcel: &NumberedRequest) -> (String, Duration) {
    let stream = TcpStream::connect(scene.site.grpc()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let _connection = tokio::spawn(connection);
    let len = u32::try_from(parcel.wire.len()).unwrap().to_be_bytes();
    let body: Bytes = [&[0][..], &len, &parcel.wire].concat().into();
    let request = Request::post(format!("http://localhost{}", parcel.signal.grpc_path()))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Full::new(body))
        .unwrap();
    let begun = Instant::now();
    let answer = tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap();
    let status = |headers: &HeaderMap| {
        headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
    };
    let in_head = status(answer.headers());
    let trailers = answer.into_body().collect().await.unwrap().trailers().cloned();
    let status = in_head.or_else(|| status(&trailers.unwrap())).unwrap();
    (status, begun.elapsed())
}

async fn scene(pivot: &str) -> Scene {
    let yaml = YAML.replace("$PIVOT", pivot);
    // Without a vault nobody reads one either.
    let without = |line: &&str| {
        pivot != "off" || !(line.contains("vault_replay") || line.contains("raw_vault"))
    };
    let lines: Vec<&str> = yaml.lines().filter(without).collect();
    let yaml = lines.join("\n");
    let yaml = if pivot == "off" { yaml.replace("[otlp, replay]", "[otlp]") } else { yaml };
    let scene = Scene::with(&yaml).await;
    scene.backend.set(Mode::Hang);
    scene
}

/// Scenario: the backend hangs, there is no vault, and a sender waits for 500 ms.
/// Guarantees: it is told `DEADLINE_EXCEEDED` when that is over, and not 8 seconds later; its records are
/// booked once, as rejected, and nothing is left in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_has_its_answer_when_it_gives_up() {
    let scene = scene("off").await;
    let parcel = scene.traffic.request(Signal::Logs, 3);
    let (status, took) = send(&scene, "500m", &parcel).await;
    assert_eq!(status, "4", "after {took:?}");
    assert!(Duration::from_millis(400) < took && took < Duration::from_secs(3), "{took:?}");
    let is_booked = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.count("in_flight") == 0
            && books.count("rejected_failed") == 3
            && books.imbalance() == 0
    };
    scene.process.measured(SOON, "it is booked once", is_booked).await;
    let metrics = scene.process.metrics().await;
    assert_eq!(metrics.sum("gophership_source_refused_total", &[("cause", "late")]), 1);
}

/// Scenario: the same with a vault, while `patience` is longer than the sender waits.
/// Guarantees: the vault takes it in time, and the sender has its OK; it is kept once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vault_takes_over_before_a_sender_gives_up() {
    let scene = scene("vault").await;
    let parcel = scene.traffic.request(Signal::Logs, 3);
    let (status, took) = send(&scene, "2S", &parcel).await;
    assert_eq!(status, "0", "after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let is_booked = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.count("vaulted") == 3 && books.imbalance() == 0
    };
    scene.process.measured(SOON, "it is in the vault once", is_booked).await;
}
