//! Answers that are none, or strange ones: only what the backend itself says is its word.

use std::time::Duration;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::Broken;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  backend:
    type: otlp
    inputs: [otlp]
    endpoint: "http://$BACKEND"
    protocol: $PROTOCOL
    retry: { min: 20ms, max: 200ms }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Scenario: what is between us and the backend cuts answers off, answers with a page, or with what is no
/// code, to what comes live and to what is replayed; then it is over.
/// Guarantees: no sender is refused, nothing is a dead letter, everything is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_is_nobodys_refusal() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", "grpc"));
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let mut sent = Vec::new();
    for broken in [Broken::NoStatus, Broken::Page, Broken::Junk, Broken::NoMessage, Broken::Details]
    {
        let before = backend.attempts();
        backend.set(Mode::Break(broken));
        for _ in 0..8 {
            let parcel = traffic.request(Signal::Logs, 1);
            client.send(&parcel).await.unwrap();
            sent.push(parcel);
        }
        let what = format!("{broken:?} was said");
        eventually(SOON, &what, || before + 8 < backend.attempts()).await;
        backend.set(Mode::Accept);
        let what = format!("all is delivered after {broken:?}");
        let is_there = || sent.iter().all(|parcel| 0 < backend.has(&parcel.fingerprint));
        eventually(SOON, &what, is_there).await;
    }
    let metrics = process.metrics().await;
    assert_eq!(metrics.sum("gophership_vault_dead_lettered_total", &[]), 0);
    assert_eq!(metrics.books("logs").imbalance(), 0);
    process.logged(SOON, &["not a gRPC answer"]).await;
}

/// Scenario: a backend says OK, with a longer answer than is read; over HTTP also with a page in HTML, and
/// it redirects to another path.
/// Guarantees: each request is delivered, once, and a warning names what is strange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ok_is_an_ok_and_a_redirect_is_followed() {
    for (protocol, modes) in [
        ("grpc", &[Mode::Break(Broken::Long)][..]),
        ("http", &[Mode::Break(Broken::Long), Mode::Break(Broken::Page), Mode::Moved]),
    ] {
        for mode in modes {
            let backend = Backend::start().await;
            let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", protocol));
            let process = site.start().await;
            let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
            backend.set(*mode);
            let parcel = traffic.request(Signal::Logs, 1);
            client.send(&parcel).await.unwrap();
            let what = format!("{protocol} {mode:?}: it is delivered");
            let is_delivered = |metrics: &crate::harness::Metrics| {
                metrics.sum("gophership_sink_requests_total", &[]) == 1
            };
            process.measured(SOON, &what, is_delivered).await;
            assert_eq!(backend.has(&parcel.fingerprint), 1, "{protocol} {mode:?}");
            if *mode != Mode::Moved {
                process.logged(SOON, &["accepted a request with a warning"]).await;
            }
        }
    }
}
