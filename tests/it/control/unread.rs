//! A client that takes nothing of what it asked for.

use std::time::Duration;

use gophership_otlp::Signal;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::port::SOON;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Site;
use crate::harness::Traffic;

const PIPELINE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// A client whose windows are shut is cut off after some 20 seconds.
const CUT_WITHIN: Duration = Duration::from_secs(45);
/// What the server may keep for one: the tap, and what HTTP/2 has of its answers.
const KEPT_BYTES_MAX: i64 = 24 << 20;

const HEADERS: u8 = 1;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A call with an empty message.
fn call(stream: u32, method: &str) -> Vec<u8> {
    let path = format!("/gophership.control.v1.Control/{method}");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", &path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    [frame(HEADERS, 4, stream, &block), frame(DATA, 1, stream, &[0; 5])].concat()
}

/// Answers pings and settings and makes no room for anything else, until the server ends the connection.
async fn hold_on(stream: &mut UnixStream) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let answer = match (head[3], head[4] & ACK) {
            (PING, 0) => frame(PING, ACK, 0, &payload),
            (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[]),
            _ => continue,
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Scenario: clients that make no room at all (a window of 0) ask for a tap, a watch and the status, and answer every
/// ping; one more reads nothing from its socket. Meanwhile requests pass.
/// Guarantees: what the server keeps for them is bounded, each is cut off, their taps end, and requests are answered
/// as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &no_window].concat();
    let mut held = Vec::new();
    for method in ["Tap", "Watch", "Status"] {
        let mut stream = UnixStream::connect(site.socket()).await.unwrap();
        stream.write_all(&[hello.clone(), call(1, method)].concat()).await.unwrap();
        held.push((method, tokio::spawn(async move { hold_on(&mut stream).await })));
    }
    let mut deaf = UnixStream::connect(site.socket()).await.unwrap();
    deaf.write_all(&[hello, call(1, "Tap")].concat()).await.unwrap();
    let is_open = |metrics: &Metrics, count| {
        metrics.sum("gophership_listener_connections", &[("listener", "control")]) == count
    };
    process.measured(SOON, "four are connected", |metrics| is_open(metrics, 4)).await;
    let used =
        |metrics: &Metrics| metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]);
    for _ in 0..200 {
        client.send(&traffic.padded(Signal::Logs, 4, 16 << 10)).await.unwrap();
    }
    assert!(used(&process.metrics().await) <= KEPT_BYTES_MAX);
    for (method, task) in held {
        let cut = tokio::time::timeout(CUT_WITHIN, task).await;
        assert!(cut.is_ok(), "the client of {method} is still there");
    }
    process.measured(SOON, "all are gone", |metrics| is_open(metrics, 0)).await;
    process.measured(SOON, "the memory is given back", |metrics| used(metrics) == 0).await;
    assert!(client.send(&traffic.request(Signal::Logs, 1)).await.is_ok());
}
