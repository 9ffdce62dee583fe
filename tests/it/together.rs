//! `batch_max_bytes`: what has to wait for the backend travels in one request.

use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::Site;
use crate::harness::Traffic;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 10s, answer_within: 20s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", concurrency: 1, batch_max_bytes: 1MiB }
"#;

/// Scenario: one request at a time may be on its way, the backend takes 200 ms for each, and thirty
/// clients send, three of each signal in a row.
/// Guarantees: every record arrives once, in far fewer requests than were sent; the books balance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_to_wait_travels_together() {
    let backend = Backend::start().await;
    backend.set(Mode::Slow(Duration::from_millis(200)));
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let traffic = Arc::<Traffic>::default();
    let clients: Vec<_> = (0..30)
        .map(|idx| {
            let (client, traffic) = (GrpcClient::new(site.grpc()), Arc::clone(&traffic));
            tokio::spawn(async move {
                for round in 0..3 {
                    let signal = Signal::ALL[(idx + round) % 3];
                    client.send(&traffic.request(signal, 4)).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(backend.requests() < 60, "{} of 90 requests", backend.requests());
    for signal in Signal::ALL {
        let records = backend.records(signal);
        assert_eq!(records.len(), 120, "{signal}");
        assert!(records.values().all(|times| *times == 1), "{signal}: {records:?}");
        let books = Books::of(&[("received", 120), ("delivered", 120)]);
        process.books_become(signal, &books, "delivered together").await;
    }
    backend.set(Mode::Accept);
    let (client, before) = (GrpcClient::new(site.grpc()), backend.requests());
    for _ in 0..5 {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    }
    assert_eq!(backend.requests(), before + 5, "an idle sink sends each at once");
}
