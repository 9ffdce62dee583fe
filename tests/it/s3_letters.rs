//! The `s3_replay` source and what a sink refuses for good: a dead letter, or counted and left in the bucket;
//! never lost, never in the way.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use gophership_otlp::Signal;
use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;
use serde_json::Value;

use crate::audit::Audit;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::s3_replay::Fixture;
use crate::s3_replay::ended;
use crate::s3_replay::summary;
use crate::vault_archive::BUCKET;
use crate::vault_archive::PREFIX;
use crate::vault_archive::archive;

const SOON: Duration = Duration::from_mins(1);
const REQUESTS: u64 = 60;
/// What an archive has of each signal, in records.
const OF_EACH: i64 = 60;

type Answer = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

/// A host that replays to two backends, of which the second is `other`.
fn host(fixture: &Fixture, other: &Backend, more: &str) -> Site {
    let yaml = format!(
        r#"
sources:
  archive:
    type: s3_replay
    bucket: {{ name: {BUCKET}, path_style: true, attempt_timeout: 2s }}
    prefix: {PREFIX}
    lease: 5s
    {more}
  replay: {{ type: vault_replay, vault: vault }}
sinks:
  good: {{ type: otlp, inputs: [archive, replay], endpoint: "http://$BACKEND", retry: {{ min: 20ms, max: 200ms }} }}
  other: {{ type: otlp, inputs: [archive, replay], endpoint: "http://{}", retry: {{ min: 20ms, max: 200ms }} }}
  vault: {{ type: raw_vault, max_size: 128MiB, segment_size: 1MiB }}
"#,
        other.address()
    );
    let mut site = Site::new(fixture.backend.address(), &yaml);
    site.env = fixture.server.environment();
    site
}

fn figure(metrics: &Metrics, name: &str) -> u64 {
    u64::try_from(metrics.sum(name, &[("source", "archive")])).unwrap()
}

/// The letters that a sink missed.
fn letters(process: &Process, sink: &str) -> Vec<Value> {
    let arguments = ["dead-letters", "ls", "--each", "--limit", "0", "--sink", sink, "-o", "json"];
    let output = process.control(&arguments);
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    page["letters"].as_array().unwrap().clone()
}

/// Scenario: an archive is replayed to two sinks. The backend of one is out for a while, and then refuses
/// everything for good; later it takes everything, and the dead letters are sent again.
/// Guarantees: the replay comes to its end; the other sink gets each request once, however often the first was
/// tried; each refused request is one dead letter of the sink that refused it; the ledger balances all the time,
/// by source and by sink; what is sent again arrives once, and the other sink gets nothing again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sink_refuses_for_good_is_a_dead_letter_of_that_sink() {
    let (fixture, other) = (Fixture::new(REQUESTS).await, Backend::start().await);
    other.set(Mode::Unavailable);
    let site = host(&fixture, &other, "dead_letters: vault\n    follow: true");
    let mut process = site.start().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    other.set(Mode::Reject);
    let are_kept =
        |it: &Metrics| figure(it, "gophership_s3_replay_dead_lettered_total") == REQUESTS;
    process.measured(SOON, "all are dead letters", are_kept).await;
    let metrics = process.metrics().await;
    assert_eq!(figure(&metrics, "gophership_s3_replay_rejected_total"), REQUESTS);
    assert_eq!(fixture.arrivals(), vec![1; 60], "the other sink gets each once");
    assert_eq!(letters(&process, "other").len(), 60);
    assert_eq!(letters(&process, "good").len(), 0);
    let letter = &letters(&process, "other")[0];
    assert_eq!(letter["source"], "archive", "{letter}");
    assert!(letter["reason"].as_str().unwrap().ends_with(": no"), "{letter}");
    let refused = [
        ("received", OF_EACH),
        ("copies", OF_EACH),
        ("delivered", OF_EACH),
        ("dead_lettered", OF_EACH),
    ];
    for signal in Signal::ALL {
        process.books_become(signal, &Books::of(&refused), "refused").await;
    }
    let status = process.control(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["s3_replays"][0]["dead_lettered_requests"], 60, "{status:#}");
    Audit::balanced(&site, "quiet");

    other.set(Mode::Accept);
    let redrive = process.control(&["dead-letters", "redrive", "--wait", "--reason", "mended"]);
    assert!(redrive.status.success(), "{}", String::from_utf8_lossy(&redrive.stderr));
    assert_eq!(other.fingerprints().len(), 60);
    assert!(fixture.parcels.iter().all(|parcel| other.has(&parcel.fingerprint) == 1));
    assert_eq!(fixture.arrivals(), vec![1; 60]);
    assert_eq!(letters(&process, "other").len(), 0);
    let delivered = [("received", OF_EACH), ("copies", OF_EACH), ("delivered", 2 * OF_EACH)];
    for signal in Signal::ALL {
        process.books_become(signal, &Books::of(&delivered), "sent again").await;
    }
    Audit::balanced(&site, "quiet");
    process.stop(SOON).await;
}

/// Stores what is no OTLP.
fn make_noise(dir: &Path, requests: u64) {
    let mut options = Options::new(dir);
    options.segment_bytes = 64 << 10;
    options.max_bytes = 80 << 20;
    let (writer, _) = Writer::<Answer>::open(options).unwrap();
    for number in 0..requests {
        let (to, answer) = mpsc::channel();
        let record = NewRecord {
            // Half of them are of a signal that nobody knows.
            signal: if number % 2 == 0 { Signal::Logs as u8 } else { 77 },
            received_unix_ns: 1_767_225_600_000_000_000,
            attrs: &3_u64.to_le_bytes(),
            payload: &[0xff; 2000],
        };
        let done: Answer = Box::new(move |result| {
            let _closed = to.send(result);
        });
        assert!(writer.try_append(record, done).is_ok());
        answer.recv_timeout(SOON).unwrap().unwrap();
    }
    writer.close().unwrap();
}

/// Scenario: an archive also has requests that are no OTLP, half of them of a signal that is not known.
/// Guarantees: they are dead letters with the bytes and the reason; the others arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_otlp_is_a_dead_letter() {
    let (fixture, other) = (Fixture::new(REQUESTS).await, Backend::start().await);
    let noise = tempfile::tempdir().unwrap();
    make_noise(noise.path(), 10);
    archive(&fixture.server, noise.path(), "node-c");
    let site = host(&fixture, &other, "dead_letters: vault\n    follow: true");
    let mut process = site.start().await;
    let are_kept = |it: &Metrics| figure(it, "gophership_s3_replay_dead_lettered_total") == 10;
    process.measured(SOON, "they are dead letters", are_kept).await;
    let all = |it: &Metrics| figure(it, "gophership_s3_replay_requests_total") == REQUESTS;
    process.measured(SOON, "the others are delivered", all).await;
    assert_eq!(fixture.arrivals(), vec![1; 60]);
    let kept = letters(&process, "good");
    assert_eq!(kept.len(), 10);
    assert!(
        kept.iter().all(|it| it["reason"] == "this version cannot read it as OTLP"),
        "{kept:?}"
    );
    let id = kept[0]["id"].as_str().unwrap();
    let raw = process.control(&["dead-letters", "show", id, "--format", "raw"]);
    assert_eq!(raw.stdout, [0xff; 2000]);
    Audit::balanced(&site, "quiet");
    process.stop(SOON).await;
}

/// Scenario: a sink refuses everything for good, and there is no store: no vault is named, or the store cannot be
/// opened.
/// Guarantees: the replay ends all the same, soon; the summary and the log say what stays in the bucket only, the
/// log also why; the other sink has everything once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_the_replay_goes_on_and_says_what_stays_in_the_bucket() {
    for more in ["replay_id: a", "replay_id: b\n    dead_letters: vault"] {
        let (fixture, other) = (Fixture::new(REQUESTS).await, Backend::start().await);
        other.set(Mode::Reject);
        let site = host(&fixture, &other, more);
        let text = std::fs::read_to_string(site.config()).unwrap();
        // Without it the process ends with the archive.
        let text = text.replace("  replay: { type: vault_replay, vault: vault }\n", "");
        let text = text.replace("[archive, replay]", "[archive]");
        let has_vault = more.contains("vault");
        let (rest, vault) = text.split_at(text.find("  vault: {").unwrap());
        let text = if has_vault { format!("{rest}{vault}") } else { rest.to_owned() };
        std::fs::write(site.config(), text).unwrap();
        let store = site.dir().join("data/vault/deadletter");
        std::fs::create_dir_all(store.parent().unwrap()).unwrap();
        std::fs::write(&store, "no directory").unwrap();
        let log = ended(&mut Process::spawn(&site)).await;
        assert_eq!(fixture.arrivals(), vec![1; 60]);
        assert_eq!((summary(&log, "rejected"), summary(&log, "dead_lettered")), (60, 0), "{log}");
        assert!(
            log.contains("they stay in the bucket only") && log.contains("InvalidArgument: no"),
            "{log}"
        );
        assert_eq!(log.contains("takes no requests"), has_vault, "{log}");
        assert_eq!(log.contains("names no vault in `dead_letters`"), !has_vault, "{log}");
    }
}
