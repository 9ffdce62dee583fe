//! What each refusal of the backend makes of a request: sent again, reported to its sender, or a dead letter.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;
use tonic::Code;

use crate::harness::Backend;
use crate::harness::BackendRefusal;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::vault_tools;

const SOON: Duration = Duration::from_secs(15);
const RECORDS: u64 = 3;
/// Longer than our own backoff.
const HINT: Duration = Duration::from_secs(1);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 6s }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    protocol: $PROTOCOL
    retry: { min: 20ms, max: 100ms }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// What is to become of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is sent again, not before this long.
    Again(Duration),
    Never,
}

const AT_ONCE: Fate = Fate::Again(Duration::ZERO);

/// Every gRPC code, and one that is none.
fn codes() -> Vec<(BackendRefusal, Fate)> {
    let never = [3, 6];
    let fate = |code| if never.contains(&code) { Fate::Never } else { AT_ONCE };
    let mut table: Vec<_> =
        (1..=17).map(|code| (BackendRefusal::new(code, 500), fate(code))).collect();
    let hinted =
        |code, delay| BackendRefusal { retry_info: Some(delay), ..BackendRefusal::new(code, 500) };
    table.extend([
        (hinted(8, Some(HINT)), Fate::Again(HINT)),
        (hinted(8, Some(Duration::ZERO)), AT_ONCE),
        (hinted(8, None), AT_ONCE),
        (hinted(14, Some(HINT)), Fate::Again(HINT)),
        (hinted(14, None), AT_ONCE),
        (hinted(3, Some(HINT)), Fate::Never),
        (hinted(13, Some(HINT)), AT_ONCE),
    ]);
    table
}

/// Every status that OTLP names, and some of each class.
fn statuses() -> Vec<(BackendRefusal, Fate)> {
    let never = [400, 413, 422];
    let of = [
        301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 422, 425, 429,
        431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 511, 599,
    ];
    let fate = |status| if never.contains(&status) { Fate::Never } else { AT_ONCE };
    let mut table: Vec<_> =
        of.into_iter().map(|status| (BackendRefusal::new(2, status), fate(status))).collect();
    let hinted =
        |status, hint| BackendRefusal { retry_after: Some(hint), ..BackendRefusal::new(2, status) };
    table.extend([
        (hinted(429, "1"), Fate::Again(HINT)),
        (hinted(503, "1"), Fate::Again(HINT)),
        (hinted(503, "0"), AT_ONCE),
        (hinted(503, "-30"), AT_ONCE),
        (hinted(503, "whenever you like"), AT_ONCE),
        (hinted(503, "Sun, 06 Nov 1994 08:49:37 GMT"), AT_ONCE),
        (hinted(408, "1"), AT_ONCE),
        (hinted(500, "1"), AT_ONCE),
        (hinted(400, "1"), Fate::Never),
    ]);
    table
}

struct Scene {
    backend: Backend,
    process: Process,
    client: GrpcClient,
    traffic: Traffic,
    received: u64,
    delivered: u64,
    rejected: u64,
    buried: u64,
}

impl Scene {
    async fn play(&mut self, refusal: BackendRefusal, fate: Fate) {
        let before = self.backend.attempts();
        let parcel = self.traffic.request(Signal::Logs, RECORDS);
        self.backend.set(Mode::Refuse(refusal));
        let begun = Instant::now();
        let sending = tokio::spawn({
            let (client, parcel) = (self.client.clone(), parcel.clone());
            async move { client.send(&parcel).await }
        });
        match fate {
            Fate::Again(after) => {
                let what = format!("{refusal:?} is tried again");
                eventually(SOON, &what, || before + 2 <= self.backend.attempts()).await;
                assert!(after <= begun.elapsed(), "{refusal:?}: after {:?}", begun.elapsed());
                self.backend.set(Mode::Accept);
                sending.await.unwrap().unwrap();
                let what = format!("{refusal:?} is over, and the request is delivered");
                let is_there = || self.backend.has(&parcel.fingerprint) == 1;
                eventually(SOON, &what, is_there).await;
                self.delivered += RECORDS;
            }
            Fate::Never => {
                let status = sending.await.unwrap().expect_err("refused for good");
                assert_eq!(status.code(), Code::InvalidArgument, "{refusal:?}");
                assert!(says_why(status.message()), "{status}");
                assert_eq!(self.backend.attempts(), before + 1, "{refusal:?}");
                self.rejected += RECORDS;
            }
        }
        self.received += RECORDS;
        self.books(&format!("{refusal:?}")).await;
    }

    /// The same for a request that its sender has its OK for.
    async fn replay(&mut self, refusal: BackendRefusal) {
        self.process.hold("red");
        self.client.send(&self.traffic.request(Signal::Logs, RECORDS)).await.unwrap();
        let before = self.backend.attempts();
        self.backend.set(Mode::Refuse(refusal));
        self.process.hold("auto");
        self.received += RECORDS;
        self.buried += RECORDS;
        self.books(&format!("{refusal:?} from the vault")).await;
        assert_eq!(self.backend.attempts(), before + 1, "{refusal:?}");
    }

    async fn books(&self, act: &str) {
        let count = |records: u64| i64::try_from(records).unwrap();
        let books = Books::of(&[
            ("received", count(self.received)),
            ("delivered", count(self.delivered)),
            ("rejected_by_backend", count(self.rejected)),
            ("dead_lettered", count(self.buried)),
        ]);
        self.process.books_become(Signal::Logs, &books, act).await;
    }
}

/// Whether what the backend said is in it. HTTP sends no body beside 304.
fn says_why(text: &str) -> bool {
    text.contains(": no") || text.contains("304")
}

async fn check(protocol: &str, table: Vec<(BackendRefusal, Fate)>) {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", protocol));
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let (received, delivered, rejected, buried) = (0, 0, 0, 0);
    let mut scene =
        Scene { backend, process, client, traffic, received, delivered, rejected, buried };
    for (refusal, fate) in &table {
        scene.play(*refusal, *fate).await;
    }
    let never: Vec<BackendRefusal> = table
        .iter()
        .filter(|(_, fate)| *fate == Fate::Never)
        .map(|(refusal, _)| *refusal)
        .collect();
    for refusal in &never {
        scene.replay(*refusal).await;
    }
    let dead_letters = site.dir().join("data/vault/deadletter").display().to_string();
    let listed = vault_tools::document(0, &["ls", "--requests", "-o", "json", &dead_letters]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), never.len());
    for letter in listed {
        let headers = letter["headers"].to_string();
        assert!(headers.contains("gophership-reason") && says_why(&headers), "{headers}");
    }
}

/// Scenario: a backend that answers every gRPC code once, with and without `RetryInfo`.
/// Guarantees: what speaks of the request is not sent again: its sender is told, or it is in the
/// dead-letter store. Everything else is sent again, when the backend wants it, and delivered: its sender
/// has its OK from the vault. The books say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_grpc_code_does_what_it_says() {
    check("grpc", codes()).await;
}

/// Scenario: the same over HTTP: every status that OTLP names, with every form of `Retry-After`.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_http_status_does_what_it_says() {
    check("http", statuses()).await;
}

/// Scenario: the backend refuses for good what is replayed, more than is on its way at once, while the
/// dead-letter store cannot be opened; then it takes everything, and the store can be opened.
/// Guarantees: what can neither be delivered nor moved to the dead-letter store is not sent round and round, and holds nothing
/// up; when there is a way for it again it goes that way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_dead_letter_store_does_not_take_stops_no_replay() {
    let backend = Backend::start().await;
    let yaml =
        YAML.replace("$PROTOCOL", "grpc").replace("vault: vault }", "vault: vault, in_flight: 8 }");
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    for _ in 0..20 {
        client.send(&traffic.request(Signal::Logs, RECORDS)).await.unwrap();
    }
    let store = site.dir().join("data/vault/deadletter");
    fs::write(&store, "in the way").unwrap();
    backend.set(Mode::Reject);
    process.hold("auto");
    let is_refused = || backend.attempts() >= 20;
    eventually(SOON, "each of them was sent", is_refused).await;
    process.logged(SOON, &["Dead-letter store is full or failed"]).await;
    assert_eq!(backend.attempts(), 20, "none of them twice");

    backend.set(Mode::Accept);
    process.hold("red");
    client.send(&traffic.request(Signal::Traces, RECORDS)).await.unwrap();
    process.hold("auto");
    let count = i64::try_from(RECORDS).unwrap();
    let arrived = Books::of(&[("received", count), ("delivered", count)]);
    process.books_become(Signal::Traces, &arrived, "nothing is in its way").await;

    fs::remove_file(&store).unwrap();
    let is_over = |metrics: &Metrics| {
        let books = metrics.books("logs");
        books.count("dead_lettered") > 0 && books.count("vaulted") == 0 && books.imbalance() == 0
    };
    process.measured(3 * SOON, "all have found a way", is_over).await;
}

/// Scenario: the vault holds a request of a signal that this version does not know.
/// Guarantees: it is kept in the dead-letter store, the vault is emptied, and the books know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_an_unknown_signal_is_buried() {
    type Done = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &YAML.replace("$PROTOCOL", "grpc"));
    let (writer, _) = Writer::<Done>::open(Options::new(site.dir().join("data/vault"))).unwrap();
    let (to, answer) = mpsc::channel();
    let (attrs, payload) = (&RECORDS.to_le_bytes(), b"of a later version");
    let record = NewRecord { signal: 9, received_unix_ns: 0, attrs, payload };
    assert!(writer.try_append(record, Box::new(move |result| to.send(result).unwrap())).is_ok());
    answer.recv().unwrap().unwrap();
    writer.close().unwrap();

    let process = site.start().await;
    let count = i64::try_from(RECORDS).unwrap();
    let buried = Books::of(&[("recovered", count), ("dead_lettered", count)]);
    process.books_become(Signal::Logs, &buried, "it is in the dead-letter store").await;
    let is_empty = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "the vault has nothing more to deliver", is_empty).await;
    assert_eq!(backend.attempts(), 0);
}
