//! The books: origins equal destinations, and every bucket is what the test knows.

use std::time::Duration;

use gophership_otlp::Signal;
use tonic::Code;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(15);

/// Odd records are taken out; what is left goes to two sinks.
pub(crate) const EVEN_TO_TWO: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, patience: 300ms, pivot: vault }
  replay: { type: vault_replay, vault: vault }
transforms:
  even: { type: filter, inputs: [otlp, replay], drop: [{ attribute: test.parity, equals: odd }] }
sinks:
  first: { type: otlp, inputs: [even], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  second: { type: otlp, inputs: [even], endpoint: "http://${OTHER}" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Expected books of one signal, built up act by act.
#[derive(Clone, Copy, Default)]
struct Expected {
    received: i64,
    copies: i64,
    delivered: i64,
    filtered: i64,
    dead_lettered: i64,
    rejected_by_backend: i64,
}

impl Expected {
    fn books(self) -> Books {
        Books::of(&[
            ("received", self.received),
            ("copies", self.copies),
            ("delivered", self.delivered),
            ("filtered", self.filtered),
            ("dead_lettered", self.dead_lettered),
            ("rejected_by_backend", self.rejected_by_backend),
        ])
    }

    /// Half of the records are odd; the others have a copy for the second sink.
    fn passes(&mut self, records: i64) {
        self.filtered += records / 2;
        self.copies += records / 2;
        self.delivered += records;
    }
}

struct Scene {
    backend: Backend,
    other: Backend,
    process: Process,
    client: GrpcClient,
    traffic: Traffic,
}

impl Scene {
    async fn books_are(&self, signal: Signal, expected: Expected, act: &str) {
        self.process.books_become(signal, &expected.books(), act).await;
    }

    /// One signal through everything that can become of a record.
    async fn play(&self, signal: Signal) -> Expected {
        let mut expected = Expected::default();
        // Delivered to both sinks.
        for _ in 0..5 {
            let parcel = self.traffic.request(signal, 6);
            self.client.send(&parcel).await.unwrap();
            expected.received += 6;
            expected.passes(6);
        }
        self.books_are(signal, expected, "delivered").await;

        // Nothing is left: an even number is skipped, then one odd record is sent.
        let parcel = self.odd(signal);
        self.client.send(&parcel).await.unwrap();
        expected.received += 1;
        expected.filtered += 1;
        self.books_are(signal, expected, "filtered altogether").await;

        // One sink refuses for good, the other takes it.
        self.backend.set(Mode::Reject);
        let status = self.client.send(&self.traffic.request(signal, 6)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        expected.received += 6;
        expected.passes(6);
        expected.delivered -= 3;
        expected.rejected_by_backend += 3;
        self.books_are(signal, expected, "rejected by one of two").await;

        self.late(signal, &mut expected).await;
        self.replayed(signal, &mut expected).await;
        expected
    }

    /// The first sink hangs until patience is over: its copy is withdrawn, and it alone gets the vault's.
    async fn late(&self, signal: Signal, expected: &mut Expected) {
        self.backend.set(Mode::Hang);
        self.client.send(&self.traffic.request(signal, 6)).await.unwrap();
        self.backend.set(Mode::Accept);
        expected.received += 6;
        // The second sink had it in time.
        expected.filtered += 3;
        expected.delivered += 3;
        // The vault's copy.
        expected.copies += 6;
        expected.filtered += 3;
        expected.delivered += 3;
        self.books_are(signal, *expected, "late").await;
    }

    /// Red, then replay; the second time a sink refuses what is replayed for good.
    async fn replayed(&self, signal: Signal, expected: &mut Expected) {
        self.process.hold("red");
        for _ in 0..3 {
            self.client.send(&self.traffic.request(signal, 6)).await.unwrap();
            expected.received += 6;
        }
        let books = self.process.metrics().await.books(signal.name());
        assert_eq!((books.count("vaulted"), books.imbalance()), (18, 0));
        self.process.hold("auto");
        // For each of the sinks a copy passes the filter.
        expected.copies += 18;
        expected.filtered += 18;
        expected.delivered += 18;
        self.books_are(signal, *expected, "replayed").await;
    }

    /// A request of a single record with an odd number.
    fn odd(&self, signal: Signal) -> NumberedRequest {
        loop {
            let parcel = self.traffic.request(signal, 1);
            if parcel.numbers[0] % 2 == 1 {
                return parcel;
            }
        }
    }
}

/// Scenario: each signal is delivered, filtered, rejected, late, kept in Red and replayed, through a
/// filter to two sinks.
/// Guarantees: after each act every bucket is exact to the record and the books balance; the ledger
/// is in the metrics and is printed at exit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bucket_is_exact_after_every_act() {
    let (backend, other) = (Backend::start().await, Backend::start().await);
    let mut site = Site::new(backend.address(), EVEN_TO_TWO);
    site.env.push(("OTHER", other.address().to_string()));
    let process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let mut scene = Scene { backend, other, process, client, traffic: Traffic::default() };
    let mut lines = Vec::new();
    for signal in Signal::ALL {
        let Expected { received, copies, delivered, filtered, rejected_by_backend, .. } =
            scene.play(signal).await;
        let taken = |backend: &Backend| -> u64 { backend.records(signal).values().sum() };
        let both = taken(&scene.backend) + taken(&scene.other);
        assert_eq!(u64::try_from(delivered).unwrap(), both, "{signal}");
        lines.push(format!(
            "Ledger in records. signal=\"{signal}\" received={received} copies={copies} \
             delivered={delivered} filtered={filtered} rejected_by_backend={rejected_by_backend} \
             imbalance=0"
        ));
    }
    let log = scene.process.stop(SOON).await;
    for (signal, line) in Signal::ALL.iter().zip(&lines) {
        let of_signal = format!("signal=\"{signal}\"");
        let is_it = |logged: &&str| logged.contains(line) && logged.contains(&of_signal);
        assert!(log.lines().any(|logged| is_it(&logged)), "{line} of {signal} is not in\n{log}");
    }
}

const DEAD_LETTERS: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Scenario: the backend refuses for good what is replayed; then more is replayed and taken.
/// Guarantees: the former is in the dead-letter store and does not block the latter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_delivered_is_buried_and_blocks_nothing() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), DEAD_LETTERS);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    client.send(&traffic.request(Signal::Traces, 4)).await.unwrap();
    backend.set(Mode::Reject);
    process.hold("auto");
    let buried = Books::of(&[("received", 4), ("dead_lettered", 4)]);
    process.books_become(Signal::Traces, &buried, "dead-lettered").await;
    backend.set(Mode::Accept);
    process.hold("red");
    client.send(&traffic.request(Signal::Traces, 5)).await.unwrap();
    process.hold("auto");
    let both = Books::of(&[("received", 9), ("delivered", 5), ("dead_lettered", 4)]);
    process.books_become(Signal::Traces, &both, "the next").await;
}

/// Scenario: the process stops with records in the vault, and the next one replays them.
/// Guarantees: the next one's books begin with what it found, and end with all of it delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_process_left_is_booked_as_recovered() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), DEAD_LETTERS);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..3 {
        client.send(&traffic.request(Signal::Metrics, 7)).await.unwrap();
    }
    let log = process.stop(SOON).await;
    assert!(log.contains("received=21 vaulted=21 imbalance=0"), "{log}");
    let process = site.start().await;
    let expected = Books::of(&[("recovered", 21), ("delivered", 21)]);
    process.books_become(Signal::Metrics, &expected, "replayed").await;
    assert_eq!(backend.records(Signal::Metrics).len(), 21);
}

/// Scenario: what an earlier process left is being replayed, in vain, when the replay's options are
/// changed by a reload; then the backend is back.
/// Guarantees: what is read a second time is booked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_begins_anew_recovers_nothing_twice() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), DEAD_LETTERS);
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..3 {
        client.send(&traffic.request(Signal::Traces, 7)).await.unwrap();
    }
    process.stop(SOON).await;
    backend.set(Mode::Unavailable);
    let process = site.start().await;
    eventually(SOON, "the replay retries", || backend.attempts() > 2).await;
    site.configure(&DEAD_LETTERS.replace("vault: vault }", "vault: vault, in_flight: 7 }"));
    process.signal(rustix::process::Signal::HUP);
    process.logged(SOON, &["component=replay outcome=started"]).await;
    backend.set(Mode::Accept);
    let expected = Books::of(&[("recovered", 21), ("delivered", 21)]);
    process.books_become(Signal::Traces, &expected, "replayed by the second replay").await;
}

const TWO_DOORS: &str = r#"
sources:
  patient:
    type: otlp
    grpc: { listen: "$GRPC" }
    patience: 100ms
    answer_within: 3s
  hasty:
    type: otlp
    grpc: { listen: "$HTTP" }
    patience: 100ms
    answer_within: 500ms
sinks:
  backend:
    type: otlp
    inputs: [patient, hasty]
    endpoint: "http://$BACKEND"
    concurrency: 1
    buffer: { batches: 1 }
"#;

/// Scenario: no vault, an edge of one batch, and a backend that hangs: one request in the sink's
/// hands, one in its edge, and three that find no room until their time is up.
/// Guarantees: each is refused as retryable, and each record is booked as rejected, by its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_vault_every_refusal_has_its_reason() {
    let backend = Backend::start().await;
    backend.set(Mode::Hang);
    let site = Site::new(backend.address(), TWO_DOORS);
    let process = site.start().await;
    let traffic = Traffic::default();
    let mut requests = Vec::new();
    let mut send = |address, parcel: NumberedRequest| {
        let client = GrpcClient::new(address);
        requests.push(tokio::spawn(async move { client.send(&parcel).await }));
    };
    send(site.grpc(), traffic.request(Signal::Logs, 10));
    eventually(SOON, "the sink has the first", || backend.attempts() == 1).await;
    send(site.grpc(), traffic.request(Signal::Logs, 20));
    let is_full = |metrics: &Metrics| {
        metrics.sum("gophership_edge_batches", &[("component", "backend")]) == 1
    };
    process.measured(SOON, "the edge holds the second", is_full).await;
    for _ in 0..3 {
        send(site.http(), traffic.request(Signal::Logs, 100));
    }
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    let books = Books::of(&[("received", 330), ("rejected_failed", 30), ("rejected_no_room", 300)]);
    process.books_become(Signal::Logs, &books, "refused").await;
}
