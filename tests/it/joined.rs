//! `batch` in the running process: requests that are joined or divided arrive once, and whoever sent
//! them is told what became of them.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;
use tokio::task::JoinSet;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(20);

fn yaml(batch: &str) -> String {
    format!(
        r#"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "$GRPC" }}, pivot: vault, patience: 1s }}
  replay: {{ type: vault_replay, vault: vault }}
transforms:
  batch: {{ type: batch, inputs: [otlp, replay], {batch} }}
sinks:
  backend: {{ type: otlp, inputs: [batch], endpoint: "http://$BACKEND", retry: {{ min: 20ms, max: 200ms }} }}
  vault: {{ type: raw_vault, max_size: 128MiB, segment_size: 1MiB }}
"#
    )
}

fn measured(metrics: &Metrics, name: &str) -> i64 {
    metrics.sum(&format!("gophership_transform_{name}_total"), &[("transform", "batch")])
}

/// Scenario: forty clients send a log record each, then one sends a request that is too large.
/// Guarantees: the backend gets every record once, the forty in a few requests and the large one in
/// parts; everybody has an OK, and books and metrics say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_are_joined_and_large_ones_divided() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &yaml("timeout: 300ms, records_max: 50"));
    let process = site.start().await;
    let (traffic, client) = (Traffic::default(), GrpcClient::new(site.grpc()));
    let mut senders = JoinSet::new();
    for _ in 0..40 {
        let (client, parcel) = (client.clone(), traffic.request(Signal::Logs, 1));
        senders.spawn(async move { client.send(&parcel).await });
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap().unwrap();
    }
    let joined = backend.requests();
    assert!((1..=10).contains(&joined), "{joined} requests for forty");
    let metrics = process.metrics().await;
    assert_eq!(measured(&metrics, "joined_requests"), 40);
    assert_eq!(measured(&metrics, "joined").unsigned_abs(), joined);

    client.send(&traffic.request(Signal::Logs, 120)).await.unwrap();
    assert_eq!(backend.requests() - joined, 3, "50, 50 and 20");
    assert_eq!(measured(&process.metrics().await, "divided_requests"), 1);
    let records = backend.records(Signal::Logs);
    assert_eq!((records.len(), records.values().max()), (160, Some(&1)));
    let books = Books::of(&[("received", 160), ("delivered", 160)]);
    process.books_become(Signal::Logs, &books, "all is sent").await;
}

/// Scenario: requests would wait for longer to be joined than their source has patience.
/// Guarantees: the sender has its OK when the patience ends, the vault delivers the request, and what
/// was held is withdrawn: the backend has every record once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_longer_than_its_source_is_the_vaults() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &yaml("timeout: 3s"));
    let process = site.start().await;
    let (traffic, client) = (Traffic::default(), GrpcClient::new(site.grpc()));
    let begun = Instant::now();
    client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let books = Books::of(&[("received", 3), ("delivered", 3)]);
    process.books_become(Signal::Logs, &books, "the copy that was held is withdrawn").await;
    let records = backend.records(Signal::Logs);
    assert_eq!((records.len(), records.values().max()), (3, Some(&1)));
    assert_eq!(measured(&process.metrics().await, "joined"), 0);
}

/// Scenario: the backend refuses for good what it is sent, then takes everything; a few clients sent
/// meanwhile.
/// Guarantees: nobody is told that a request was rejected because of others that it was joined to: the
/// vault has each of them by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_refused_together_are_judged_alone() {
    let backend = Backend::start().await;
    backend.set(Mode::Reject);
    let site = Site::new(backend.address(), &yaml("timeout: 300ms, records_max: 30"));
    let process = site.start().await;
    process.hold("green");
    let (traffic, client) = (Traffic::default(), GrpcClient::new(site.grpc()));
    let mut senders = JoinSet::new();
    for _ in 0..10 {
        let (client, parcel) = (client.clone(), traffic.request(Signal::Logs, 3));
        senders.spawn(async move { client.send(&parcel).await });
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap().unwrap();
    }
    let buried = Books::of(&[("received", 30), ("dead_lettered", 30)]);
    process.books_become(Signal::Logs, &buried, "each was refused alone").await;
    assert!(backend.attempts() >= 11, "once together, and ten times alone");
}

/// Scenario: clients send all signals while the backend cannot, and can again; then the process is
/// asked to stop under load.
/// Guarantees: nothing is lost that was acknowledged, nobody is refused, the books balance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_and_a_stop_lose_nothing_that_is_held() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &yaml("timeout: 50ms, by: [service.name]"));
    let mut process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let shape = Shape { clients: 6, ..Shape::default() };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    load.advance(60, SOON).await;
    backend.set(Mode::Unavailable);
    load.advance(60, SOON).await;
    backend.set(Mode::Accept);
    load.advance(60, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    let is_all_there = || oracle.missing_records(&backend).is_empty();
    eventually(SOON, "the backend has all that was acknowledged", is_all_there).await;
    for signal in Signal::ALL {
        let books = process.metrics().await.books(signal.name());
        assert_eq!(books.imbalance(), 0, "{signal}: {books:?}");
    }

    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    load.advance(30, SOON).await;
    let log = process.stop(SOON).await;
    load.stop().await;
    assert_eq!(log.matches("imbalance=0").count(), 3, "{log}");
    let _next = site.start().await;
    eventually(SOON, "nor did the stop lose any", is_all_there).await;
}

/// Scenario: while clients send, the zone is held red and green in turn, where red leaves the transform
/// out, and reloads give it other options.
/// Guarantees: what is held at each change is sent on: nothing is lost that was acknowledged, nobody
/// is refused, and nothing is left in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_zone_or_options_change_is_sent_on() {
    let backend = Backend::start().await;
    let options = |number: i64| yaml(&format!("timeout: {}ms, shed_in: red", 80 + number));
    let site = Site::new(backend.address(), &options(0));
    let process = site.start().await;
    let (traffic, oracle) = (Arc::<Traffic>::default(), Arc::<Oracle>::default());
    let shape = Shape { clients: 6, ..Shape::default() };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    for number in 1..=4 {
        load.advance(12, SOON).await;
        process.hold("red");
        load.advance(12, SOON).await;
        process.hold("green");
        load.advance(12, SOON).await;
        site.configure(&options(number));
        process.signal(ProcessSignal::HUP);
        let is_reloaded = |metrics: &Metrics| {
            metrics.sum("gophership_config_reloads_total", &[("result", "ok")]) == number
        };
        process.measured(SOON, "it is reloaded", is_reloaded).await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    let is_all_there = || oracle.missing_records(&backend).is_empty();
    eventually(SOON, "the backend has all that was acknowledged", is_all_there).await;
    let is_at_rest = |metrics: &Metrics| {
        Signal::ALL.iter().all(|signal| {
            let books = metrics.books(signal.name());
            books.imbalance() == 0 && books.count("in_flight") == 0
        })
    };
    process.measured(SOON, "nothing is in flight", is_at_rest).await;
    assert!(measured(&process.metrics().await, "joined") > 0);
}

/// Scenario: a request of five parts is in the vault, and the queue in front of a slow backend has room
/// for one that is replayed.
/// Guarantees: it gets through, and the backend has every record once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_is_replayed_through_a_narrow_queue() {
    let backend = Backend::start().await;
    backend.set(Mode::Slow(Duration::from_millis(50)));
    let yaml =
        yaml("records_max: 50").replace("retry:", "buffer: { batches: 2 }, concurrency: 1, retry:");
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    process.hold("red");
    let (traffic, client) = (Traffic::default(), GrpcClient::new(site.grpc()));
    client.send(&traffic.request(Signal::Logs, 250)).await.unwrap();
    let books = Books::of(&[("received", 250), ("vaulted", 250)]);
    process.books_become(Signal::Logs, &books, "it is in the vault").await;
    process.hold("green");
    eventually(SOON, "it is delivered", || backend.records(Signal::Logs).len() == 250).await;
    assert_eq!(backend.records(Signal::Logs).values().max(), Some(&1));
    let books = Books::of(&[("received", 250), ("delivered", 250)]);
    process.books_become(Signal::Logs, &books, "all is sent").await;
}
