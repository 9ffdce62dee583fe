//! Many streams on many connections, each with half of a large request.

use std::time::Duration;

use gophership_otlp::Signal;
use tokio::io::AsyncWriteExt;

use super::SOON;
use super::Scene;
use super::raw;
use crate::harness::GrpcClient;
use crate::harness::Metrics;

const CONNECTIONS: usize = 30;
const STREAMS: u32 = 32;
/// What each stream announces, and what it sends of it.
const ANNOUNCED: u32 = 4 << 20;
const SENT: usize = 2 << 10;

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    read_idle_timeout: 1s
    patience: 500ms
    in_flight_max: 32MiB
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// Scenario: 30 connections with 32 streams each announce 4 MiB on every stream, 3.75 GiB in all, and send
/// 2 KiB of it, beside a sender that sends again what is refused.
/// Guarantees: memory stays within what `in_flight_max` allows; all that the sender sends is accepted in
/// the end, and what the others hold is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_take_no_more_than_there_is_room_for() {
    let scene = Scene::with(YAML).await;
    let before = scene.resident_bytes();
    let mut hostile = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = raw::send(scene.site.grpc(), &raw::hello()).await;
        for idx in 0..STREAMS {
            let id = 2 * idx + 1;
            let mut message = vec![0];
            message.extend_from_slice(&ANNOUNCED.to_be_bytes());
            message.resize(SENT, 7);
            let begin = raw::frame(raw::HEADERS, raw::END_HEADERS, id, &raw::export());
            let part = raw::frame(raw::DATA, 0, id, &message);
            if stream.write_all(&[begin, part].concat()).await.is_err() {
                break;
            }
        }
        hostile.push(stream);
    }
    let peak = scene.resident_bytes();
    assert!(peak < before + (128 << 20), "{before} bytes before, {peak} with them");
    let client = GrpcClient::new(scene.site.grpc());
    for _ in 0..10 {
        let parcel = scene.traffic.request(Signal::Logs, 5);
        crate::harness::eventually_async(SOON, "a sender is served", async || {
            client.send(&parcel).await.is_ok()
        })
        .await;
    }
    let is_free = |metrics: &Metrics| {
        metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]) == 0
    };
    scene.process.measured(SOON, "nothing is held any more", is_free).await;
    for stream in &mut hostile {
        // It is told what it is told, and goes on only if it wants to.
        let _end = raw::read_to_end(stream, Duration::from_millis(1)).await;
    }
}
