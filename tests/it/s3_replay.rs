//! The `s3_replay` source: an archive comes back through the pipeline, once, on however many hosts.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::Which;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Backend;
use crate::harness::Metrics;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::vault_archive::BUCKET;
use crate::vault_archive::PREFIX;
use crate::vault_archive::archive;
use crate::vault_archive::server;
use crate::vault_tools::make_of;

pub(crate) const DONE_WITHIN: Duration = Duration::from_mins(1);

/// An archive of two vaults, and a backend.
pub(crate) struct Fixture {
    _folder: TempDir,
    pub(crate) server: S3Server,
    pub(crate) backend: Backend,
    pub(crate) parcels: Vec<NumberedRequest>,
    pub(crate) segments: usize,
}

impl Fixture {
    pub(crate) async fn new(requests: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let (mut parcels, mut segments) = (Vec::new(), 0);
        let traffic = Traffic::default();
        for node in ["node-a", "node-b"] {
            let vault = folder.path().join(node);
            std::fs::create_dir(&vault).unwrap();
            parcels.extend(make_of(&traffic, &vault, requests / 2, 0));
            segments += archive(&server, &vault, node).len();
        }
        let backend = Backend::start().await;
        Self { _folder: folder, server, backend, parcels, segments }
    }

    /// A host that takes part, with more options.
    pub(crate) fn host(&self, options: &str) -> Site {
        self.host_with_lease("5s", options)
    }

    fn host_with_lease(&self, lease: &str, options: &str) -> Site {
        let yaml = format!(
            r#"
sources:
  archive:
    type: s3_replay
    bucket: {{ name: {BUCKET}, path_style: true, attempt_timeout: 2s }}
    prefix: {PREFIX}
    lease: {lease}
{options}
sinks:
  backend:
    type: otlp
    inputs: [archive]
    endpoint: "http://$BACKEND"
    retry: {{ min: 20ms, max: 200ms }}
"#
        );
        let mut site = Site::new(self.backend.address(), &yaml);
        site.env = self.server.environment();
        site
    }

    /// How often each request of the archive arrived; other bytes are a failure.
    pub(crate) fn arrivals(&self) -> Vec<u64> {
        let mut arrived = self.backend.fingerprints();
        let times: Vec<u64> = self
            .parcels
            .iter()
            .map(|parcel| arrived.remove(&parcel.fingerprint).unwrap_or(0))
            .collect();
        assert!(arrived.is_empty() && self.backend.unreadable() == 0, "bytes were altered");
        times
    }
}

/// Runs a host to its end; returns its log.
async fn run(site: &Site) -> String {
    ended(&mut Process::spawn(site)).await
}

pub(crate) async fn ended(process: &mut Process) -> String {
    let status = process.exit(DONE_WITHIN).await;
    assert!(status.success(), "{status}:\n{}", process.log());
    process.log()
}

/// A field of the summary.
pub(crate) fn summary(log: &str, field: &str) -> u64 {
    let line = log.lines().find(|line| line.contains("The replay is complete.")).expect(log);
    let value = line.split(&format!("{field}=")).nth(1);
    let value = value.unwrap_or_else(|| panic!("{field} is not in {line}"));
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect(line)
}

fn left_in(site: &Site) -> usize {
    let folder = site.dir().join("data/s3_replay/archive");
    let is_segment = |path: &Path| !path.ends_with("owner");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| is_segment(path)).count()
}

/// Scenario: one host replays an archive; then the same again, and once more under another name.
/// Guarantees: every request arrives exactly once, with its bytes, and the process ends with 0 and a
/// summary; what is done is not done again, except under another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_comes_back_once() {
    let fixture = Fixture::new(120).await;
    let site = fixture.host("");
    let log = run(&site).await;
    assert_eq!(fixture.arrivals(), vec![1; 120]);
    assert_eq!(summary(&log, "segments"), fixture.segments as u64, "{log}");
    assert_eq!((summary(&log, "requests"), summary(&log, "records")), (120, 360), "{log}");
    assert_eq!(left_in(&site), 0, "restored segments are removed");

    let log = run(&fixture.host("")).await;
    assert_eq!(fixture.arrivals(), vec![1; 120]);
    assert_eq!(
        (summary(&log, "segments"), summary(&log, "by_others")),
        (0, fixture.segments as u64)
    );

    run(&fixture.host("    replay_id: again")).await;
    assert_eq!(fixture.arrivals(), vec![2; 120]);
}

/// Scenario: one of two hosts is killed in the middle of its segments.
/// Guarantees: the other takes them over when the lease is over; every request arrives at least once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_is_replaced() {
    let fixture = Fixture::new(120).await;
    let slow = fixture.host("    rate: 30");
    let mut killed = Process::spawn(&slow);
    eventually(DONE_WITHIN, "some requests arrived", || 5 <= fixture.backend.requests()).await;
    killed.kill();
    assert!(fixture.arrivals().contains(&0), "it was in the middle");
    let log = run(&fixture.host("")).await;
    let arrivals = fixture.arrivals();
    assert!(arrivals.iter().all(|times| (1..=2).contains(times)), "{arrivals:?}");
    assert_eq!(summary(&log, "segments") + summary(&log, "by_others"), fixture.segments as u64);
}

/// Scenario: a host is killed in the middle of its segments, and started again with the same `data_dir`.
/// Guarantees: it goes on at once, long before its leases are over; nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_killed_takes_its_own_segments_back() {
    let fixture = Fixture::new(120).await;
    let host = fixture.host_with_lease("10m", "    rate: 60");
    let mut killed = Process::spawn(&host);
    eventually(DONE_WITHIN, "some requests arrived", || 5 <= fixture.backend.requests()).await;
    killed.kill();
    assert!(fixture.arrivals().contains(&0), "it was in the middle");
    run(&host).await;
    let arrivals = fixture.arrivals();
    assert!(arrivals.iter().all(|times| (1..=2).contains(times)), "{arrivals:?}");
    assert_eq!(left_in(&host), 0, "what the first run left is removed");
}

/// Scenario: a host is stopped in the middle of its segments, and another is started.
/// Guarantees: the first ends with 0 and gives its segments back at once; nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_stopped_gives_back_its_segments() {
    let fixture = Fixture::new(120).await;
    let slow = fixture.host_with_lease("10m", "    rate: 30");
    let mut stopped = Process::start(&slow).await;
    eventually(DONE_WITHIN, "some requests arrived", || 5 <= fixture.backend.requests()).await;
    stopped.stop(DONE_WITHIN).await;
    assert!(fixture.arrivals().contains(&0), "it was in the middle");
    run(&fixture.host("")).await;
    let arrivals = fixture.arrivals();
    assert!(arrivals.iter().all(|times| (1..=2).contains(times)), "{arrivals:?}");
}

/// Scenario: only some signals of one node in some time are selected.
/// Guarantees: exactly those requests arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_is_kept_to() {
    let fixture = Fixture::new(120).await;
    let selection = "    nodes: [node-b]\n    signals: [logs]\n    since: 2026-01-01T00:00:12Z\n    \
                     until: 2026-01-01T00:00:42Z";
    let log = run(&fixture.host(selection)).await;
    let arrivals = fixture.arrivals();
    let expected: Vec<u64> = (0..120_u64)
        .map(|idx| {
            let (node, number) = (idx / 60, idx % 60);
            let is_logs = Signal::ALL[usize::try_from(number % 3).unwrap()] == Signal::Logs;
            u64::from(node == 1 && is_logs && (12..42).contains(&number))
        })
        .collect();
    assert_eq!(arrivals, expected);
    assert_eq!(summary(&log, "requests"), 10, "{log}");
}

/// Scenario: every kind of request to the bucket fails now and then, and the backend for a second.
/// Guarantees: every request arrives exactly once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_fails_loses_and_repeats_nothing() {
    let fixture = Fixture::new(120).await;
    let faults = fixture.server.faults();
    for fault in [Fault::SLOW_DOWN, Fault::INTERNAL_ERROR, Fault::Close] {
        faults.next(RequestKind::List, 1, fault);
        faults.next(Which::from(RequestKind::Get).with("/manifest/"), 1, fault);
        faults.next(Which::from(RequestKind::Put).with("/claims/"), 1, fault);
    }
    faults.next(Which::from(RequestKind::Put).with("/claims/"), 2, Fault::AnswerLost);
    faults.next(Which::from(RequestKind::Get).with("/seg/"), 1, Fault::TruncatedBody);
    faults.next(Which::from(RequestKind::Get).with("/seg/"), 1, Fault::StallBody);
    let log = run(&fixture.host("")).await;
    assert_eq!(fixture.arrivals(), vec![1; 120], "{log}");
    assert_eq!(faults.injected(), 13);
}

/// Scenario: an object of the archive is gone.
/// Guarantees: the log says so, the others arrive, and the summary counts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_gone_does_not_hold_up_the_others() {
    let fixture = Fixture::new(120).await;
    let objects = fixture.server.objects(BUCKET).unwrap();
    let gone = objects.keys().find(|key| key.contains("/seg/")).unwrap();
    std::fs::remove_file(fixture.server.object_path(BUCKET, gone)).unwrap();
    let log = run(&fixture.host("")).await;
    assert_eq!(summary(&log, "unusable"), 1, "{log}");
    assert!(log.contains("Cannot replay the segment; it is skipped."), "{log}");
    let arrivals = fixture.arrivals();
    assert!(arrivals.iter().all(|times| *times <= 1));
    assert!(60 < arrivals.iter().sum::<u64>());
}

/// Scenario: one byte of an object of the archive has changed.
/// Guarantees: it is not read for ever: the log says so, the others arrive, the summary counts it, and the replay
/// ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_is_damaged_does_not_hold_up_the_others() {
    let fixture = Fixture::new(120).await;
    let objects = fixture.server.objects(BUCKET).unwrap();
    let damaged = objects.keys().find(|key| key.contains("/seg/") && !key.contains("/.")).unwrap();
    let path = fixture.server.object_path(BUCKET, damaged);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let log = run(&fixture.host("")).await;
    assert_eq!(summary(&log, "unusable"), 1, "{log}");
    assert!(log.contains("Cannot replay the segment; it is skipped."), "{log}");
    assert!(60 < fixture.arrivals().iter().sum::<u64>());
}

/// Scenario: a host follows; another segment is archived later.
/// Guarantees: the process goes on, and ends when it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_follows_does_not_end() {
    let fixture = Fixture::new(60).await;
    let host = fixture.host("    follow: true");
    let mut process = Process::start(&host).await;
    let all: HashMap<_, _> = fixture.parcels.iter().map(|it| (it.fingerprint, 1)).collect();
    eventually(DONE_WITHIN, "all arrived", || fixture.backend.fingerprints() == all).await;
    assert!(!process.has_ended());
    process.stop(DONE_WITHIN).await;
}

/// Scenario: an operator pauses replays while an archive is replayed, and lets them go on.
/// Guarantees: nothing is sent meanwhile; then all of it arrives, exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_paused_sends_nothing_until_it_may() {
    let fixture = Fixture::new(120).await;
    let site = fixture.host("    rate: 60");
    let mut process = site.start().await;
    eventually(DONE_WITHIN, "some arrived", || 5 <= fixture.backend.requests()).await;
    assert!(process.control(&["replay", "pause"]).status.success());
    // What was on its way arrives.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = fixture.backend.requests();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.backend.requests(), before);
    assert!(before < 120, "it was not over before");
    assert!(process.control(&["replay", "resume"]).status.success());
    ended(&mut process).await;
    assert!(fixture.arrivals().iter().all(|times| *times == 1));
}

/// What `gs-ctl status` says of the source, and the metrics say the same.
async fn status_of_source(process: &Process) -> Value {
    let output = process.control(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (source, metrics) = (status["s3_replays"][0].clone(), process.metrics().await);
    let segments = |state: &str| {
        let labels = [("source", "archive"), ("state", state)];
        metrics.sum("gophership_s3_replay_segments", &labels)
    };
    let names = ["waiting", "claimed", "done", "by_others", "unusable"];
    for (key, said) in [
        ("segments", names.map(segments).into_iter().sum()),
        ("claimed_segments", segments("claimed")),
        ("done_segments", segments("done")),
        ("segments_by_others", segments("by_others")),
        ("unusable_segments", segments("unusable")),
        ("delivered_requests", metrics.sum("gophership_s3_replay_requests_total", &[])),
        ("rejected_requests", metrics.sum("gophership_s3_replay_rejected_total", &[])),
    ] {
        assert_eq!(said, source[key].as_i64().unwrap(), "{key} in {source}");
    }
    source
}

/// Scenario: a host follows an archive; another one joins it when everything is delivered.
/// Guarantees: `gs-ctl status` shows what each has done of how many segments, as the metrics do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_shows_how_far_a_replay_is() {
    let fixture = Fixture::new(60).await;
    let all = i64::try_from(fixture.segments).unwrap();
    let hosts = ["    follow: true\n    rate: 90", "    follow: true"].map(|it| fixture.host(it));
    let mut ends = Vec::new();
    for (host, state) in hosts.iter().zip(["done", "by_others"]) {
        let mut process = Process::start(host).await;
        let segments = |it: &Metrics, state: &str| {
            it.sum("gophership_s3_replay_segments", &[("source", "archive"), ("state", state)])
        };
        if state == "done" {
            process.measured(DONE_WITHIN, "it has one", |it| 1 <= segments(it, "claimed")).await;
        }
        process.measured(DONE_WITHIN, "all are done", |it| segments(it, state) == all).await;
        ends.push(status_of_source(&process).await);
        process.stop(DONE_WITHIN).await;
    }
    let fields = |end: &Value| {
        [
            "segments",
            "claimed_segments",
            "done_segments",
            "segments_by_others",
            "delivered_requests",
        ]
        .map(|key| end[key].as_i64().unwrap())
    };
    assert_eq!(fields(&ends[0]), [all, 0, all, 0, 60]);
    assert_eq!(fields(&ends[1]), [all, 0, 0, all, 0]);
}
