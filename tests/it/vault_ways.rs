//! Ways to run the vault: what is noted beside a request, newest first, limited, dropping, strict.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use gophership::event::Note;
use gophership_otlp::Signal;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::json::wire_of;
use gophership_testbed::numbers;

const SOON: Duration = Duration::from_secs(15);

/// A vault that is replayed into a file, one request after another, so that the order shows.
const INTO_FILE: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    pivot: vault
    keep_headers: [x-tenant, x-region]
  replay: { type: vault_replay, vault: vault, in_flight: 1, $REPLAY }
sinks:
  file: { type: file, inputs: [otlp, replay], path: "$DIR/out/{signal}.jsonl" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, compression: none }
"#;

fn vault_dir(site: &Site) -> PathBuf {
    site.dir().join("data/vault")
}

fn notes(dir: &Path) -> Vec<Note> {
    let mut reader = OfflineReader::open(dir).unwrap();
    let mut notes = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let OfflineItem::Record(record) = item {
            notes.push(Note::read(&record.attrs));
        }
    }
    notes
}

/// Numbers of the log records in a file of OTLP JSON lines, in order.
fn delivered(site: &Site) -> Vec<u64> {
    let text = fs::read_to_string(site.dir().join("out/logs.jsonl")).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| text.get(..end).unwrap());
    complete
        .lines()
        .flat_map(|line| numbers(Signal::Logs, &wire_of(Signal::Logs, line)).unwrap())
        .collect()
}

/// Scenario: in Red one request comes over HTTP with the headers that are to be kept, one without.
/// Guarantees: the vault has source, record count and exactly those headers beside each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_and_chosen_headers_are_kept_beside_a_request() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &INTO_FILE.replace("$REPLAY", "rate: auto"));
    let mut process = site.start().await;
    process.hold("red");
    let (http, grpc) = (HttpClient::new(site.http()), GrpcClient::new(site.grpc()));
    let traffic = Traffic::default();
    let parcel = traffic.request(Signal::Logs, 3);
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("x-tenant", "shop"),
        ("x-other", "is not kept"),
    ];
    let answer = http.post(parcel.signal.http_path(), &headers, parcel.wire.clone()).await;
    assert_eq!(answer.status, 200);
    grpc.send(&traffic.request(Signal::Traces, 2)).await.unwrap();
    grpc.with("x-region", "north").send(&traffic.request(Signal::Metrics, 1)).await.unwrap();
    let note = |records, headers: &[(&str, &str)]| Note {
        records,
        source: Some("otlp".to_owned()),
        owed: Vec::new(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
    };
    let expected =
        [note(3, &[("x-tenant", "shop")]), note(2, &[]), note(1, &[("x-region", "north")])];
    assert_eq!(notes(&vault_dir(&site)), expected);
    process.stop(SOON).await;
}

/// Sends one log record of 100 KiB a request, so that ten fill a segment.
async fn fill(site: &Site, process: &Process, requests: u64) -> Vec<u64> {
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    process.hold("red");
    let mut sent = Vec::new();
    for _ in 0..requests {
        let parcel = traffic.padded(Signal::Logs, 1, 100 << 10);
        client.send(&parcel).await.unwrap();
        sent.extend(&parcel.numbers);
    }
    sent
}

/// Scenario: 45 requests fill several segments in Red; the replay is told to start with the newest.
/// Guarantees: the newest segment is delivered first, each in its order, and nothing is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newest_first_delivers_the_newest_segment_first() {
    let backend = Backend::start().await;
    let yaml = INTO_FILE.replace("$REPLAY", "order: newest_first");
    let without_replay = yaml.replace("[otlp, replay]", "[otlp]");
    let without_replay: Vec<&str> =
        without_replay.lines().filter(|line| !line.contains("vault_replay")).collect();
    let site = Site::new(backend.address(), &without_replay.join("\n"));
    let mut process = site.start().await;
    let sent = fill(&site, &process, 45).await;
    process.stop(SOON).await;
    site.configure(&yaml);
    let mut process = site.start().await;
    let books = Books::of(&[("recovered", 45), ("delivered", 45)]);
    process.books_become(Signal::Logs, &books, "replayed").await;
    let got = delivered(&site);
    let runs: Vec<&[u64]> = got.chunk_by(|a, b| a + 1 == *b).collect();
    assert!(4 <= runs.len(), "{runs:?}");
    assert!(runs.windows(2).all(|pair| pair[1][0] < pair[0][0]), "newest first: {runs:?}");
    let mut sorted = got.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, sent);
    process.stop(SOON).await;
}

/// Scenario: the replay of 20 requests of 100 KiB is limited to 1 MiB per second.
/// Guarantees: it takes the time that this asks for, and not twice as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_keeps_to_its_rate_in_bytes() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &INTO_FILE.replace("$REPLAY", "rate_bytes: 1MiB"));
    let mut process = site.start().await;
    fill(&site, &process, 20).await;
    // Before the command: the replay runs before `hold` has returned.
    let started = Instant::now();
    process.hold("auto");
    let books = Books::of(&[("received", 20), ("delivered", 20)]);
    process.books_become(Signal::Logs, &books, "replayed").await;
    let took = started.elapsed();
    // The first may have been read, and paid for, while red began.
    let least = Duration::from_secs_f64(18.0 * 100.0 / 1024.0);
    assert!(least <= took && took <= least * 2, "took {took:?}, not {least:?}");
    process.stop(SOON).await;
}

/// Scenario: a vault of 68 MiB that drops its oldest takes 120 MiB while the backend is away; then the
/// backend is back.
/// Guarantees: nothing is refused, what was dropped is counted record by record, the rest is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_oldest_refuses_nothing_and_books_what_it_drops() {
    let backend = Backend::start().await;
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault:
    type: raw_vault
    max_size: 68MiB
    segment_size: 1MiB
    compression: none
    when_full: drop_oldest
"#;
    let site = Site::new(backend.address(), yaml);
    let mut process = site.start().await;
    process.hold("red");
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..120 {
        client.send(&traffic.padded(Signal::Logs, 4, 250 << 10)).await.unwrap();
    }
    let is_told = |metrics: &crate::harness::Metrics| {
        let requests = metrics.sum("gophership_vault_dropped_requests_total", &[]);
        0 < requests && metrics.books("logs").count("dropped") == requests * 4
    };
    process.measured(SOON, "ledger and vault agree about what was dropped", is_told).await;
    let books = process.metrics().await.books("logs");
    let dropped = books.count("dropped");
    assert!(160 < dropped && dropped % 4 == 0, "{books:?}");
    assert_eq!((books.count("received"), books.imbalance()), (480, 0), "{books:?}");
    process.hold("auto");
    // Room is made ahead of need, so a segment more may have gone meanwhile.
    let is_over = |metrics: &crate::harness::Metrics| {
        let books = metrics.books("logs");
        books.count("vaulted") == 0 && books.count("delivered") + books.count("dropped") == 480
    };
    process.measured(SOON, "the rest is delivered", is_over).await;
    let delivered = process.metrics().await.books("logs").count("delivered");
    assert_eq!(i64::try_from(backend.requests()).unwrap(), delivered / 4);
    process.stop(SOON).await;
}

/// Scenario: the backend is away, and the vault fills to more than 70%; then the backend is back.
/// Guarantees: the zone is yellow because of the vault, replay is not slowed by that, and when the
/// vault is empty the zone is green.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filling_vault_turns_yellow_and_is_emptied_at_full_speed() {
    let backend = Backend::start().await;
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, ack: journaled }
  replay: { type: vault_replay, vault: vault, in_flight: 4 }
sinks:
  backend:
    type: otlp
    inputs: [replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 200ms }
  vault: { type: raw_vault, max_size: 68MiB, segment_size: 1MiB, compression: none }
somatic: { dwell: 200ms }
"#;
    let site = Site::new(backend.address(), yaml);
    let mut process = site.start().await;
    backend.set(Mode::Unavailable);
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..210 {
        client.send(&traffic.padded(Signal::Logs, 1, 250 << 10)).await.unwrap();
    }
    process.logged(SOON, &["Zone changed.", "to=yellow", "the vault vault is"]).await;
    assert_eq!(process.metrics().await.zone(), 1);
    backend.set(Mode::Accept);
    // At the trickle of Yellow the 210 requests would take 21 seconds.
    let books = Books::of(&[("received", 210), ("delivered", 210)]);
    process.books_become(Signal::Logs, &books, "replayed").await;
    process.measured(SOON, "the zone is green", |metrics| metrics.zone() == 0).await;
    process.stop(SOON).await;
}

/// Scenario: a segment with acknowledged requests is deleted behind the vault's back; the process is
/// started with `--strict`, then without.
/// Guarantees: strict, it says what is missing and does not start; else it starts, counts, and
/// delivers the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_does_not_start_over_acknowledged_loss() {
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), &INTO_FILE.replace("$REPLAY", "rate: auto"));
    let mut process = site.start().await;
    fill(&site, &process, 35).await;
    process.stop(SOON).await;
    let mut segments: Vec<PathBuf> =
        fs::read_dir(vault_dir(&site)).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "gsv"));
    segments.sort();
    fs::remove_file(&segments[1]).unwrap();

    site.env.push(("GOPHERSHIP_STRICT", "true".to_owned()));
    let mut process = Process::spawn(&site);
    let status = process.exit(SOON).await;
    assert_eq!(status.code(), Some(69), "{}", process.log());
    let log = process.log();
    assert!(log.contains("acknowledged requests are missing from the vault"), "{log}");

    site.env.clear();
    let mut process = site.start().await;
    let is_all = |metrics: &crate::harness::Metrics| {
        let lost = metrics.sum("gophership_vault_lost_requests_total", &[]);
        let books = metrics.books("logs");
        0 < lost && books.count("delivered") == 35 - lost && books.count("vaulted") == 0
    };
    process.measured(SOON, "the rest is delivered and the loss counted", is_all).await;
    process.stop(SOON).await;
}
