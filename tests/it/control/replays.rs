//! `gs-ctl replay` of a range on a running process.

use std::process::Output;

use gophership_otlp::Signal;
use serde_json::Value;

use super::commands::json;
use super::commands::said;
use super::port::SOON;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;

const TWO_SINKS: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  first: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  second: { type: otlp, inputs: [otlp, replay], endpoint: "http://$SECOND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, compression: none }
"#;

/// Two backends, a site, and a process whose vault is held.
async fn start() -> ([Backend; 2], Site, Process) {
    let backends = [Backend::start().await, Backend::start().await];
    let yaml = TWO_SINKS.replace("$SECOND", &backends[1].address().to_string());
    let site = Site::new(backends[0].address(), &yaml);
    let process = site.start().await;
    json(&process, &["vault", "hold", "vault"]);
    (backends, site, process)
}

/// Puts requests of a signal, with two records each, into the vault.
async fn store(
    site: &Site,
    process: &Process,
    traffic: &Traffic,
    signal: Signal,
    requests: u64,
) -> Vec<NumberedRequest> {
    process.hold("red");
    let client = GrpcClient::new(site.grpc());
    let mut sent = Vec::new();
    for _ in 0..requests {
        let parcel = traffic.padded(signal, 2, 10 << 10);
        client.send(&parcel).await.unwrap();
        sent.push(parcel);
    }
    process.hold("green");
    sent
}

/// The last line of what a replay says that is followed.
fn last_line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// How often a backend has got each of some requests.
fn counts(backend: &Backend, sent: &[NumberedRequest]) -> Vec<u64> {
    sent.iter().map(|parcel| backend.has(&parcel.fingerprint)).collect()
}

/// Scenario: logs and traces are delivered from the vault to two backends, and held; then the logs are counted
/// and sent again to one of them.
/// Guarantees: what was counted is what is sent: the logs once more to the sink that was named, nothing else
/// to anybody; the ledger balances; no cursor has moved; times and sources that match nothing select
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_sent_once_more_to_the_sink_that_was_named() {
    let ([first, second], site, process) = start().await;
    let traffic = Traffic::default();
    let logs = store(&site, &process, &traffic, Signal::Logs, 120).await;
    let traces = store(&site, &process, &traffic, Signal::Traces, 10).await;
    let books = Books::of(&[("received", 240), ("copies", 240), ("delivered", 480)]);
    process.books_become(Signal::Logs, &books, "delivered").await;
    let books = Books::of(&[("received", 20), ("copies", 20), ("delivered", 40)]);
    process.books_become(Signal::Traces, &books, "delivered").await;

    let range = ["replay", "--vault", "vault", "--signal", "logs", "--to", "second"];
    let counted = json(&process, &[&range[..], &["--dry-run"]].concat());
    let bytes: usize = logs.iter().map(|parcel| parcel.wire.len()).sum();
    assert_eq!(
        (&counted["requests"], &counted["records"]),
        (&120.into(), &240.into()),
        "{counted}"
    );
    assert_eq!(
        (&counted["bytes"], &counted["sinks"]),
        (&bytes.into(), &serde_json::json!(["second"]))
    );
    assert!(
        counted["oldest"].as_str().unwrap() <= counted["newest"].as_str().unwrap(),
        "{counted}"
    );
    for nothing in [["--until", "1h"], ["--source", "other"], ["--signal", "metrics"]] {
        let range = [&["replay", "--vault", "vault", "--dry-run"][..], &nothing].concat();
        assert_eq!(json(&process, &range)["requests"], 0, "{nothing:?}");
    }
    let everything =
        ["replay", "--vault", "vault", "--dry-run", "--since", "1h", "--source", "otlp"];
    assert_eq!(json(&process, &everything)["requests"], 130);

    let follow = [&range[..], &["--follow", "--reason", "lost disk", "-o", "json"]].concat();
    let output = process.control(&follow);
    assert!(output.status.success(), "{}", said(&output));
    let told = last_line(&output);
    assert_eq!(
        (&told["state"], &told["delivered_requests"]),
        (&"done".into(), &120.into()),
        "{told}"
    );
    assert_eq!((&told["requests"], &told["bytes"]), (&counted["requests"], &counted["bytes"]));
    assert_eq!(counts(&second, &logs), [2; 120]);
    assert_eq!(counts(&first, &logs), [1; 120]);
    assert_eq!((counts(&first, &traces), counts(&second, &traces)), (vec![1; 10], vec![1; 10]));
    let books = Books::of(&[("received", 240), ("copies", 480), ("delivered", 720)]);
    process.books_become(Signal::Logs, &books, "sent again").await;
    let is_empty = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
    process.measured(SOON, "nothing waits", is_empty).await;
    let listed = json(&process, &["replay", "ls"]);
    assert_eq!(
        (&listed["replays"][0]["id"], &listed["replays"][0]["reason"]),
        (&told["id"], &"lost disk".into())
    );
    let changes = audit_lines(site.dir(), "change");
    let noted = changes.iter().find(|line| line["action"] == "StartReplay").unwrap();
    assert_eq!(noted["detail"], "vault=vault signal=logs to=second");
}

/// Scenario: one of two backends is out, so the vault keeps what it misses; the same range is sent to the
/// other one again; then the backend is back.
/// Guarantees: the replay moves no cursor: what the second one misses stays, and arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_range_moves_no_cursor() {
    let ([first, second], site, process) = start().await;
    second.set(Mode::Unavailable);
    let sent = store(&site, &process, &Traffic::default(), Signal::Logs, 30).await;
    eventually(SOON, "the first has all", || counts(&first, &sent) == [1; 30]).await;
    let to_first = ["replay", "--vault", "vault", "--to", "first", "--follow", "-o", "json"];
    let output = process.control(&to_first);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(last_line(&output)["delivered_requests"], 30);
    assert_eq!(counts(&first, &sent), [2; 30]);
    let waits = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 30;
    process.measured(SOON, "the second still misses all", waits).await;
    second.set(Mode::Accept);
    eventually(SOON, "the second has all", || counts(&second, &sent) == [1; 30]).await;
    let books = Books::of(&[("received", 60), ("copies", 120), ("delivered", 180)]);
    process.books_become(Signal::Logs, &books, "delivered").await;
    assert_eq!((counts(&first, &sent), counts(&second, &sent)), (vec![2; 30], vec![1; 30]));
}

/// Scenario: a replay begins while replays are paused; another is started beside it; it is stopped; another
/// one goes on after the pause. Segments that it is to read are pruned meanwhile.
/// Guarantees: nothing is sent in the pause, the second is refused, the first one ends as stopped, the
/// segments of the other one stay, and it sends everything afterwards, to all sinks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_range_waits_in_a_pause_and_can_be_stopped() {
    let ([first, second], site, process) = start().await;
    let sent = store(&site, &process, &Traffic::default(), Signal::Logs, 120).await;
    let books = Books::of(&[("received", 240), ("copies", 240), ("delivered", 480)]);
    process.books_become(Signal::Logs, &books, "delivered").await;
    json(&process, &["replay", "pause"]);
    let start = ["replay", "--vault", "vault"];
    let started = json(&process, &start);
    assert_eq!(
        (&started["state"], &started["sinks"]),
        (&"running".into(), &serde_json::json!(["first", "second"]))
    );
    let output = process.control(&start);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains("runs"), "{}", said(&output));
    let id = started["id"].to_string();
    let stopped = json(&process, &["replay", "stop", &id]);
    assert_eq!((&stopped["state"], &stopped["delivered_requests"]), (&"stopped".into(), &0.into()));

    let again = json(&process, &start);
    assert_ne!(again["id"], started["id"]);
    // From then on its segments stay.
    let has_begun = || json(&process, &["replay", "ls"])["replays"][0]["total_bytes"] != 0;
    eventually(SOON, "the replay has opened the vault", has_begun).await;
    json(&process, &["vault", "release", "vault"]);
    json(&process, &["replay", "resume"]);
    let is_done = || json(&process, &["replay", "ls"])["replays"][0]["state"] == "done";
    eventually(SOON, "the replay is done", is_done).await;
    let told = json(&process, &["replay", "ls"])["replays"][0].clone();
    assert_eq!(told["delivered_requests"], 240, "{told}");
    assert_eq!((counts(&first, &sent), counts(&second, &sent)), (vec![2; 120], vec![2; 120]));
    let is_balanced = |metrics: &Metrics| metrics.books("logs").imbalance() == 0;
    process.measured(SOON, "the books balance", is_balanced).await;
    for (arguments, code, words) in [
        (&["replay", "stop", "77"][..], 74, "there is no replay 77"),
        (&["replay", "--vault", "vault", "--to", "third"], 74, "sinks: first, second"),
        (&["replay", "--vault", "vault", "--signal", "smoke"], 74, "logs, traces or metrics"),
        (&["replay"], 64, "--vault"),
    ] {
        let output = process.control(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
}
