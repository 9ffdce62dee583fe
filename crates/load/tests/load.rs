//! The generator against a real server: the backend of the testbed, on loopback.
#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gophership_http_client::Compression;
use gophership_load::Load;
use gophership_load::LoadReport;
use gophership_load::LoadTarget;
use gophership_load::SendSchedule;
use gophership_otlp::Signal;
use gophership_otlp::prescan;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::Protocol;
use gophership_testbed::Backend;
use gophership_testbed::BackendLoad;
use gophership_testbed::Mode;
use gophership_testbed::RequestRecorder;
use http::HeaderMap;
use tokio::sync::watch;

/// Counts records.
#[derive(Default)]
struct Counter(AtomicU64);

impl RequestRecorder for Counter {
    fn taken(&self, signal: Signal, wire: Bytes, _: HeaderMap) {
        self.0.fetch_add(prescan(signal, &wire).unwrap().records, Ordering::SeqCst);
    }

    fn unreadable(&self) {
        panic!("the generator sends what can be read");
    }
}

/// A target that behaves as it is told; it ends with its test.
struct Peer {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    records: Arc<Counter>,
    work: Arc<BackendLoad>,
}

impl Peer {
    fn start(mode: Mode) -> Self {
        let backend = Backend::bind().unwrap();
        let (address, work) = (backend.address(), backend.work());
        let (mode, records) = (watch::Sender::new(mode), Arc::<Counter>::default());
        tokio::spawn(backend.serve(records.clone(), mode.subscribe()));
        Self { address, mode, records, work }
    }

    fn records(&self) -> u64 {
        self.records.0.load(Ordering::SeqCst)
    }

    /// 1,000 requests a second of 5 records each.
    fn load(&self, millis: u64) -> Load {
        Load {
            target: LoadTarget {
                url: format!("http://{}", self.address).parse().unwrap(),
                protocol: Protocol::Grpc,
                encoding: Encoding::Protobuf,
                compression: Compression::None,
                signal: Signal::Logs,
                headers: HeaderMap::new(),
                ca_file: None,
            },
            schedule: SendSchedule {
                rate: NonZeroU32::new(5_000).unwrap(),
                records: NonZeroU32::new(5).unwrap(),
                lasts: Duration::from_millis(millis),
            },
            connections: 2,
            streams: 4,
            in_flight_max: 10_000,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn run(load: Load) -> LoadReport {
    let interrupts = watch::Sender::new(0);
    gophership_load::run(load, interrupts.subscribe(), |_| {}).await.unwrap()
}

/// Scenario: a target accepts everything, over each protocol, in each signal and form.
/// Guarantees: what the report says is accepted is what the target has.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_as_accepted_is_there() {
    use Compression::{Gzip, None, Zstd};
    use Protocol::{Grpc, Http};

    for (protocol, encoding, signal, compression) in [
        (Grpc, Encoding::Protobuf, Signal::Logs, None),
        (Grpc, Encoding::Protobuf, Signal::Traces, Zstd),
        (Http, Encoding::Protobuf, Signal::Metrics, Gzip),
        (Http, Encoding::Json, Signal::Logs, None),
    ] {
        let peer = Peer::start(Mode::Accept);
        let mut load = peer.load(100);
        load.target.protocol = protocol;
        load.target.encoding = encoding;
        load.target.signal = signal;
        load.target.compression = compression;
        let report = run(load).await;
        assert!(report.is_all_accepted(), "{}", report.text());
        assert_eq!((report.offered, report.tally.accepted.requests), (100, 100));
        assert_eq!((report.tally.accepted.records, peer.records()), (500, 500));
        assert_eq!(report.tally.since_due.percentiles().count, 100);
    }
}

/// Scenario: a target stops answering for a second in the middle of two, with 8 requests under way.
/// Guarantees: all requests that were due in that second count with their wait, which the time since they were sent
/// does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_seen_by_every_request_that_was_due_meanwhile() {
    let peer = Peer::start(Mode::Accept);
    let mode = peer.mode.clone();
    let running = tokio::spawn(run(peer.load(2_000)));
    until(|| 500 <= peer.work.attempts()).await;
    mode.send_replace(Mode::Stall);
    tokio::time::sleep(Duration::from_secs(1)).await;
    mode.send_replace(Mode::Accept);
    let report = running.await.unwrap();
    assert!(report.is_all_accepted(), "{}", report.text());
    let (due, sent) = (report.tally.since_due.percentiles(), report.tally.since_sent.percentiles());
    assert!(Duration::from_millis(900) <= due.p99, "{}", report.text());
    // Of 2,000 requests only the 8 that were under way saw the stall after they had been sent.
    assert!(Duration::from_millis(900) <= sent.max && sent.p99 < due.p99, "{}", report.text());
}

/// Scenario: a target refuses everything.
/// Guarantees: every request is counted with its code, and none is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_their_code_and_not_sent_again() {
    for (protocol, code) in [(Protocol::Grpc, "UNAVAILABLE"), (Protocol::Http, "HTTP 503")] {
        let peer = Peer::start(Mode::Unavailable);
        let mut load = peer.load(100);
        load.target.protocol = protocol;
        let (report, greetings) = (run(load).await, 2);
        assert_eq!(report.tally.refused_by_code[code], 100, "{}", report.text());
        assert_eq!((report.tally.refused.records, peer.work.attempts()), (500, 100 + greetings));
        assert!(!report.is_all_accepted() && report.refusal.is_some());
        assert!(report.text().contains("FAILED: 500 of 500 records"), "{}", report.text());
    }
}

/// Scenario: a target says that it rejected two records of each request.
/// Guarantees: the records are counted, and the load has not passed.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_records_are_not_accepted() {
    let peer = Peer::start(Mode::AcceptExcept(2));
    let report = run(peer.load(100)).await;
    assert_eq!((report.tally.partly_rejected, report.tally.rejected_records), (100, 200));
    assert!(!report.is_all_accepted(), "{}", report.text());
}

/// Scenario: a target stops answering for good, with room for 20 requests, of which 8 are under way at a time.
/// Guarantees: those that were under way have no answer, most others were not sent, and every request is in the report.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sent_is_counted() {
    let peer = Peer::start(Mode::Accept);
    let mut load = peer.load(600);
    load.in_flight_max = 20;
    load.timeout = Duration::from_millis(500);
    let (mode, work) = (peer.mode.clone(), Arc::clone(&peer.work));
    let running = tokio::spawn(run(load));
    until(|| 50 <= work.attempts()).await;
    mode.send_replace(Mode::Hang);
    let report = running.await.unwrap();
    let tally = &report.tally;
    assert!(100 < report.not_sent, "{}", report.text());
    assert!((8..=40).contains(&tally.unanswered.requests), "{}", report.text());
    let all = tally.accepted.requests + tally.unanswered.requests + report.not_sent;
    assert_eq!((all, report.offered), (600, 600), "{}", report.text());
    assert!(report.text().contains("(--in-flight-max)"), "{}", report.text());
}

/// Scenario: a target is gone in the middle.
/// Guarantees: the generator goes on and says what it could not connect to.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_away_is_told() {
    let peer = Peer::start(Mode::Accept);
    let (mode, work) = (peer.mode.clone(), Arc::clone(&peer.work));
    let running = tokio::spawn(run(peer.load(600)));
    until(|| 50 <= work.attempts()).await;
    mode.send_replace(Mode::Gone);
    let report = running.await.unwrap();
    assert!(100 < report.tally.not_connected.requests, "{}", report.text());
    assert!(report.text().contains("Connection refused"), "{}", report.text());
}

/// Scenario: somebody interrupts a load of an hour.
/// Guarantees: the report is about what was offered until then.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_load_with_its_report() {
    let peer = Peer::start(Mode::Accept);
    let (interrupt, interrupts) = watch::channel(0);
    let load = peer.load(3_600_000);
    let running = tokio::spawn(gophership_load::run(load, interrupts, |_| {}));
    until(|| 50 <= peer.work.attempts()).await;
    interrupt.send_replace(1);
    let report = running.await.unwrap().unwrap();
    assert!(report.is_interrupted && report.is_all_accepted(), "{}", report.text());
    assert!((48..60_000).contains(&report.offered), "{}", report.text());
}

/// Runs the program.
async fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gophership-load"));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// Scenario: the program runs with a target that accepts, with one that refuses, with none, and with wrong arguments.
/// Guarantees: its exit codes are those of its help, and its document has the counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_what_came_of_it() {
    let peer = Peer::start(Mode::Accept);
    let url = format!("http://{}", peer.address);
    let arguments = [&url, "--rate", "10000", "--duration", "100ms", "--output", "json"];
    let output = program(&arguments).await;
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["accepted"]["records"], 1_000, "{document:#}");
    assert_eq!(document["latency"]["accepted_since_due"]["count"], 10, "{document:#}");
    assert_eq!(document["load"]["url"], url.as_str());

    peer.mode.send_replace(Mode::Reject);
    let output = program(&arguments[..5]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("INVALID_ARGUMENT") && text.contains("FAILED"), "{text}");

    peer.mode.send_replace(Mode::Gone);
    until(|| std::net::TcpStream::connect(peer.address).is_err()).await;
    let output = program(&arguments).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(&url) && said.contains("is the target running"), "{said}");

    for wrong in [&["localhost:4317"][..], &[&url, "--encoding", "json"], &[]] {
        let output = program(wrong).await;
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}
