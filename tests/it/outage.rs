//! A backend that is out: what comes passes by it at once, and is delivered when it is back.

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::harness::get;

const SOON: Duration = Duration::from_secs(20);
/// Longer than any test: whoever waits for it would be noticed.
const PATIENCE: Duration = Duration::from_secs(2);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 2s }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

const TWO_BACKENDS: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 300ms }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  other: { type: otlp, inputs: [otlp], endpoint: "http://127.0.0.1:1" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, replay: off }
"#;

fn is_out(metrics: &Metrics) -> bool {
    let circuit = [("kind", "circuit"), ("place", "backend")];
    metrics.pressure(&circuit) > 0.0
}

/// Scenario: the backend says that it cannot, or is gone, or hangs, while clients send.
/// Guarantees: once that is noticed nobody waits for it; the vault has everything; when the backend is
/// back it gets all of it, soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_backend_that_is_out() {
    for mode in [Mode::Unavailable, Mode::Gone, Mode::Hang] {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), YAML);
        let process = site.start().await;
        let (traffic, oracle) =
            (std::sync::Arc::<Traffic>::default(), std::sync::Arc::<Oracle>::default());
        let load = SteadyLoad::start(site.grpc(), Shape::default(), &traffic, &oracle);
        load.advance(20, SOON).await;
        backend.set(mode);
        process.measured(SOON, "the backend is out", is_out).await;
        process.logged(SOON, &["Backend is out"]).await;

        let client = GrpcClient::new(site.grpc());
        let begun = Instant::now();
        for _ in 0..20 {
            let parcel = traffic.request(Signal::Logs, 1);
            oracle.sends(&parcel);
            client.send(&parcel).await.unwrap();
            oracle.acknowledged(&parcel);
        }
        let waited = begun.elapsed();
        assert!(waited < PATIENCE, "{mode:?}: twenty requests took {waited:?}");
        let seen = load.stop().await;
        assert!(seen.refusals.is_empty(), "{mode:?}: {:?}", seen.refusals);

        backend.set(Mode::Accept);
        let returned = Instant::now();
        oracle.settle(&backend, SOON).await.assert_kept(&format!("{mode:?}"));
        let took = returned.elapsed();
        process.logged(SOON, &["Backend is back"]).await;
        process.measured(SOON, "the backend is back", |metrics| !is_out(metrics)).await;
        let books = process.metrics().await.books("logs");
        assert_eq!(books.imbalance(), 0, "{mode:?}: {books:?}");
        // Whose requests the vault takes at once sends many.
        let requests = u32::try_from(backend.requests()).unwrap();
        let within = Duration::from_secs(8) + requests * Duration::from_millis(3);
        assert!(took < within, "{mode:?}: {requests} requests delivered after {took:?}");
    }
}

/// Scenario: a backend is out for seconds while 20 requests come, and is back.
/// Guarantees: one line says that the vault keeps requests for the sink, one that all are delivered, with how
/// many; in between the metrics say how many wait and for how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vault_keeps_is_told_when_it_begins_and_when_it_is_over() {
    const KEEPS: &str = "The vault keeps requests for a sink that does not accept them now";
    const IS_OVER: &str = "The vault has delivered everything that it kept for the sink";
    let sink = [("sink", "backend")];
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let (client, traffic, oracle) =
        (GrpcClient::new(site.grpc()), Traffic::default(), std::sync::Arc::<Oracle>::default());
    backend.set(Mode::Unavailable);
    for _ in 0..20 {
        let request = traffic.request(Signal::Logs, 5);
        oracle.sends(&request);
        client.send(&request).await.unwrap();
        oracle.acknowledged(&request);
    }
    let waits = |metrics: &Metrics| {
        metrics.sum("gophership_sink_backlog_requests", &sink) == 20
            && 0 < metrics.sum("gophership_sink_backlog_bytes", &sink)
            && 1.0 < metrics.real_sum("gophership_sink_backlog_seconds", &sink)
    };
    process.measured(SOON, "20 requests wait", waits).await;
    process.logged(SOON, &[KEEPS, "sink=backend", "vault=vault", "requests=20"]).await;
    assert_eq!(process.count_in_log(IS_OVER), 0);
    let ready = async || get(site.metrics(), "/readyz").await.unwrap_or_default();
    let (status, said) = ready().await;
    let keeps = "degraded: sink backend has been out for ";
    assert_eq!((status, said.contains(keeps)), (200, true), "{said}");
    assert!(said.contains(", 20 requests ("), "{said}");

    backend.set(Mode::Accept);
    oracle.settle(&backend, SOON).await.assert_kept(&"out for seconds");
    let all_told = ["requests=20", "records=100", "dead_letters=0", "lost=0"];
    process.logged(SOON, &[&[IS_OVER, "sink=backend"][..], &all_told].concat()).await;
    let is_over = |metrics: &Metrics| {
        metrics.sum("gophership_sink_backlog_requests", &sink) == 0
            && metrics.real_sum("gophership_sink_backlog_seconds", &sink) == 0.0
    };
    process.measured(SOON, "nothing waits", is_over).await;
    eventually_async(SOON, "nothing is degraded", async || {
        ready().await.1 == "ready, zone green\n"
    })
    .await;
    assert_eq!((process.count_in_log(KEEPS), process.count_in_log(IS_OVER)), (1, 1));
}

/// Scenario: of two backends one was never there.
/// Guarantees: the other one gets every request at once; its requests do not wait for the vault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_there_is_not_passed_by() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), TWO_BACKENDS);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..10 {
        let parcel = traffic.request(Signal::Logs, 1);
        client.send(&parcel).await.unwrap();
        let what = "the backend that is there has it";
        eventually_async(SOON, what, async || backend.has(&parcel.fingerprint) == 1).await;
    }
    process.logged(SOON, &["Backend is out", "sink=other"]).await;
    let diverted = [("cause", "diverted")];
    assert_eq!(process.metrics().await.sum("gophership_somatic_pivots_total", &diverted), 0);
}

/// Scenario: a backend that answered hangs, and nobody loses patience with it for a minute.
/// Guarantees: it is passed by all the same: the vault takes the request that waits when the silence is
/// noticed, and at once what comes then. When the backend is there again it gets everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_has_become_silent_is_passed_by() {
    let backend = Backend::start().await;
    let yaml = YAML.replace("patience: 2s", "patience: 60s, answer_within: 70s");
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let parcels: Vec<_> = (0..12).map(|_| traffic.request(Signal::Logs, 1)).collect();
    client.send(&parcels[0]).await.unwrap();

    backend.set(Mode::Hang);
    let begun = Instant::now();
    for parcel in &parcels[1..] {
        client.send(parcel).await.unwrap();
    }
    assert!(begun.elapsed() < SOON, "eleven requests took {:?}", begun.elapsed());
    process.measured(SOON, "the backend is out", is_out).await;

    backend.set(Mode::Accept);
    process.measured(SOON, "the backend answers again", |metrics| !is_out(metrics)).await;
    for parcel in &parcels {
        let what = "the backend has it";
        eventually_async(SOON, what, async || backend.has(&parcel.fingerprint) == 1).await;
    }
}

/// Scenario: a backend says once that it cannot, or breaks a connection, and nobody loses patience for a
/// minute; its sink pauses for as long after a failure.
/// Guarantees: the vault has the request at once, and with it the sender its answer; it is delivered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_is_enough_to_go_to_the_vault() {
    for mode in [Mode::Unavailable, Mode::Gone] {
        let backend = Backend::start().await;
        let yaml = YAML
            .replace("patience: 2s", "patience: 60s, answer_within: 70s")
            .replace("\"http://$BACKEND\"", "\"http://$BACKEND\", retry: { min: 50s, max: 60s }");
        let site = Site::new(backend.address(), &yaml);
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();

        process.hold("yellow");
        backend.set(mode);
        let (parcel, begun) = (traffic.request(Signal::Logs, 1), Instant::now());
        client.send(&parcel).await.unwrap();
        assert!(begun.elapsed() < SOON, "{mode:?}: {:?}", begun.elapsed());
        let failed = [("cause", "failed")];
        let pivots = process.metrics().await.sum("gophership_somatic_pivots_total", &failed);
        assert_eq!(pivots, 1, "{mode:?}");
    }
}

/// Scenario: a backend is out, and the source has no vault; then so many requests come at once that the queue to the
/// sink is full.
/// Guarantees: each sender is told that a backend is out and that there is no vault, over gRPC and over HTTP; none is
/// told of room or memory only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_vault_senders_are_told_that_the_sink_delivers_nothing() {
    const ALONE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" }, patience: 200ms, answer_within: 500ms }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", concurrency: 1, buffer: { batches: 2 } }
"#;
    const LATE: &str =
        "no sink delivered the request in time, and the source has no vault; retry later";
    const FULL: &str = "the queues to the sinks are full, because a backend is slow or out, and the source has no vault; \
                        retry later";
    let backend = Backend::start().await;
    backend.set(Mode::Unavailable);
    let site = Site::new(backend.address(), ALONE);
    let _process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let refused = client.send(&traffic.request(Signal::Logs, 1)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unavailable, LATE));
    let http = HttpClient::new(site.http());
    let kind = [("content-type", "application/x-protobuf")];
    let answer = http.post("/v1/logs", &kind, traffic.request(Signal::Logs, 1).wire).await;
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status == 503 && said.contains(LATE), "{said}");

    let sending = (0..30).map(|_| {
        let (client, request) = (client.clone(), traffic.request(Signal::Logs, 1));
        tokio::spawn(async move { client.send(&request).await.unwrap_err() })
    });
    let sending: Vec<_> = sending.collect();
    let mut full = 0;
    for refused in sending {
        let refused = refused.await.unwrap();
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
        assert!([LATE, FULL].contains(&refused.message()), "{refused}");
        full += usize::from(refused.message() == FULL);
    }
    assert!(0 < full, "the queue takes two of thirty");
}
