//! A backend that refuses, and does not say that what was sent is at fault: it is out, and costs nothing.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use tonic::Code;

use crate::harness::Backend;
use crate::harness::BackendRefusal;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
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
    $MORE
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

fn site(backend: &Backend, protocol: &str, more: &str) -> Site {
    let yaml = YAML.replace("$PROTOCOL", protocol).replace("$MORE", more);
    Site::new(backend.address(), &yaml)
}

fn is_denied(metrics: &Metrics) -> bool {
    metrics.sum("gophership_sink_endpoint_denied", &[("sink", "backend")]) == 1
}

fn dead_letters(metrics: &Metrics) -> i64 {
    metrics.sum("gophership_vault_dead_lettered_total", &[])
}

/// Scenario: the token of a sink expires under load, and is renewed.
/// Guarantees: nobody is refused, nothing is lost and nothing is a dead letter. The backend counts as out
/// meanwhile: one log line has sink, number and reason, `gs-ctl status` and a metric of its own say so too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_and_is_renewed_costs_nothing() {
    for (protocol, words) in [("grpc", "Unauthenticated: no"), ("http", "HTTP 401")] {
        let backend = Backend::start().await;
        let site = site(&backend, protocol, "bearer_token_file: \"$DIR/token\"");
        fs::write(site.dir().join("token"), "first").unwrap();
        backend.set(Mode::Knows("first"));
        let process = site.start().await;
        let (traffic, oracle) =
            (std::sync::Arc::<Traffic>::default(), std::sync::Arc::<Oracle>::default());
        let load = SteadyLoad::start(site.grpc(), Shape::default(), &traffic, &oracle);
        load.advance(20, SOON).await;

        backend.set(Mode::Knows("second"));
        process.measured(SOON, "it is out, and refuses", is_denied).await;
        load.advance(100, SOON).await;
        let line = ["Backend refuses all requests", "sink=backend", "refused=", words];
        process.logged(SOON, &line).await;
        assert!(process.count_in_log("Backend refuses all requests") <= 2);
        let status = String::from_utf8(process.control(&["status"]).stdout).unwrap();
        assert!(status.contains("has been out for") && status.contains(words), "{status}");
        assert_eq!(dead_letters(&process.metrics().await), 0, "{protocol}");

        fs::write(site.dir().join("fresh"), "second").unwrap();
        fs::rename(site.dir().join("fresh"), site.dir().join("token")).unwrap();
        process.measured(SOON, "it takes requests", |metrics| !is_denied(metrics)).await;
        let seen = load.stop().await;
        assert!(seen.refusals.is_empty(), "{protocol}: {:?}", seen.refusals);
        oracle.settle(&backend, SOON).await.assert_kept(&protocol);
        let metrics = process.metrics().await;
        assert_eq!(dead_letters(&metrics), 0, "{protocol}");
        assert_eq!(metrics.books("logs").imbalance(), 0, "{protocol}");
        let status = String::from_utf8(process.control(&["status"]).stdout).unwrap();
        assert!(!status.contains("has been out for"), "{status}");
    }
}

/// Scenario: requests wait in the vault in an outage; the backend comes back refusing, for each reason
/// that is not theirs, and then takes them.
/// Guarantees: all of them are delivered, none is a dead letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_outlives_every_refusal_that_is_not_its_fault() {
    for (protocol, refusals) in [
        ("grpc", [16, 7, 12, 13, 2, 5].map(|code| BackendRefusal::new(code, 500))),
        ("http", [401, 403, 404, 500, 501, 405].map(|status| BackendRefusal::new(2, status))),
    ] {
        let backend = Backend::start().await;
        let site = site(&backend, protocol, "");
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        let mut taken = 0;
        for refusal in refusals {
            backend.set(Mode::Unavailable);
            for _ in 0..12 {
                client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
            }
            taken += 12;
            backend.set(Mode::Refuse(refusal));
            let before = backend.attempts();
            let what = format!("{refusal:?} was said");
            eventually(SOON, &what, || before + 3 < backend.attempts()).await;
            process.measured(SOON, &what, is_denied).await;
            backend.set(Mode::Accept);
            let what = format!("all is delivered after {refusal:?}");
            eventually(SOON, &what, || backend.requests() == taken).await;
        }
        assert_eq!(dead_letters(&process.metrics().await), 0, "{protocol}");
    }
}

/// Scenario: the same backend, and no vault.
/// Guarantees: the sender is told to come again: it has the only copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_vault_a_sender_is_told_to_come_again() {
    let backend = Backend::start().await;
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 200ms, answer_within: 500ms }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;
    let site = Site::new(backend.address(), yaml);
    let _process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    backend.set(Mode::Refuse(BackendRefusal::new(16, 401)));
    let parcel = traffic.request(Signal::Logs, 1);
    let status = client.send(&parcel).await.expect_err("nobody has it");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    backend.set(Mode::Accept);
    client.send(&parcel).await.unwrap();
}

/// Scenario: a backend says INTERNAL to one request of ten, always to the same ones.
/// Guarantees: the others are delivered and wait for none of these, which end as dead letters and are
/// told of in a few lines; every request is in exactly one of both places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_alone_is_refused_ends_and_holds_up_nothing() {
    let backend = Backend::start().await;
    let site = site(&backend, "grpc", "");
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    backend.set(Mode::RefuseOneOf(10, BackendRefusal::new(13, 500)));
    let is_refused = |parcel: &NumberedRequest| parcel.fingerprint.as_bytes()[0].is_multiple_of(10);
    let mut refused = 0;
    for _ in 0..400 {
        let parcel = traffic.request(Signal::Logs, 1);
        refused += i64::from(is_refused(&parcel));
        client.send(&parcel).await.unwrap();
    }
    // What is put off is judged beside others that are taken.
    let began = Instant::now();
    while dead_letters(&process.metrics().await) != refused {
        assert!(began.elapsed() < SOON, "{} of {refused}", dead_letters(&process.metrics().await));
        let parcel = traffic.request(Signal::Logs, 1);
        if !is_refused(&parcel) {
            client.send(&parcel).await.unwrap();
        }
    }
    let is_over = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.count("delivered") + refused == books.count("received") && books.imbalance() == 0
    };
    process.measured(SOON, "the others are delivered", is_over).await;
    assert!(backend.fingerprints().values().all(|times| *times == 1), "each arrived once");
    let lines = process.count_in_log("Moved requests to the dead-letter store");
    assert!((1..=6).contains(&lines), "{lines} lines");
    let line =
        ["Moved requests to the dead-letter store", "sink=backend", "requests=", "Internal: no"];
    process.logged(SOON, &line).await;
}

/// Scenario: a backend says `INVALID_ARGUMENT` to every third request that comes, of what is replayed.
/// Guarantees: each request is delivered or a dead letter, and none is both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_ends_in_one_place() {
    let backend = Backend::start().await;
    let site = site(&backend, "grpc", "");
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..120 {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    }
    backend.set(Mode::RefuseEvery(3, BackendRefusal::new(3, 400)));
    process.hold("auto");
    let is_over = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.count("delivered") + books.count("dead_lettered") == 120
    };
    process.measured(SOON, "each has found its end", is_over).await;
    let delivered = process.metrics().await.books("logs").count("delivered");
    assert_eq!(i64::try_from(backend.requests()).unwrap(), delivered, "and nothing twice");
    assert_eq!(i64::try_from(backend.fingerprints().len()).unwrap(), delivered);
    assert!(0 < delivered && delivered < 120, "{delivered}");
}

/// Scenario: a sink is told that `INTERNAL` is final, and `INVALID_ARGUMENT` is not.
/// Guarantees: so it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_can_be_told_what_codes_mean() {
    let backend = Backend::start().await;
    let more = "final_codes: [INTERNAL]\n    retryable_codes: [INVALID_ARGUMENT]";
    let site = site(&backend, "grpc", more);
    let _process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    backend.set(Mode::Refuse(BackendRefusal::new(13, 500)));
    let status = client.send(&traffic.request(Signal::Logs, 1)).await.expect_err("final");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    backend.set(Mode::Reject);
    let parcel = traffic.request(Signal::Logs, 1);
    client.send(&parcel).await.unwrap();
    backend.set(Mode::Accept);
    eventually(SOON, "it is delivered", || backend.has(&parcel.fingerprint) == 1).await;
}
