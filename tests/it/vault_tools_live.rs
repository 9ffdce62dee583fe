//! `gophership vault` beside a running server under load, and what `export` brings to whom.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;

use crate::harness::Backend;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::tool::begin;
use crate::tool::interrupt;
use crate::tool::tool;
use crate::vault_tools::document;
use crate::vault_tools::make;
use crate::vault_tools::sealed;

const WITHIN: Duration = Duration::from_secs(30);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: delivered, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 4GiB, segment_size: 1MiB }
"#;

/// A digest of every sealed segment, by name.
fn digests(dir: &Path) -> BTreeMap<String, blake3::Hash> {
    // One that is deleted meanwhile is none.
    let digest = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Some((name, blake3::hash(&fs::read(path).ok()?)))
    };
    sealed(dir).iter().filter_map(digest).collect()
}

/// Scenario: a server takes requests into its vault as fast as it can, then replays and deletes them,
/// while every command that looks is run again and again.
/// Guarantees: each succeeds and finds nothing wrong, no sealed byte changes, the server refuses
/// nothing and loses nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn looking_beside_a_server_under_load_disturbs_nothing() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let mut process = site.start().await;
    let dir = site.dir().join("data/vault");
    let path = dir.display().to_string();
    process.hold("red");
    // Small requests: on a busy machine a round takes long, and the tools yield while the vault grows.
    let shape = Shape { clients: 3, records: 5, padding: 100 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    load.advance(200, WITHIN).await;
    let mut looks = 0;
    for zone in ["red", "auto"] {
        process.hold(zone);
        for round in 0..3 {
            let before = digests(&dir);
            let out = site.dir().join(format!("out-{zone}-{round}")).display().to_string();
            let listed = document(0, &["ls", "-o", "json", &path]);
            assert_eq!(listed["in_use"], true);
            // In Red the server would let them wait.
            let speed = if zone == "red" { &["--full-speed"][..] } else { &[] };
            let document = |arguments: &[&str]| document(0, &[arguments, speed].concat());
            let verified = document(&["verify", "-o", "json", &path]);
            looks += verified["requests"].as_u64().unwrap();
            // With a limit: the vault grows all the while, and what looks yields to the server.
            let output = tool(&["cat", "--limit", "20000", &path]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            document(&["export", "--to", &out, "-o", "json", "--limit", "500", &path]);
            let after = digests(&dir);
            let changed = before
                .iter()
                .find(|(name, digest)| after.get(*name).is_some_and(|now| now != *digest));
            assert_eq!(changed, None);
        }
    }
    assert!(0 < looks, "there was something to see");
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    oracle.settle(&backend, WITHIN).await.assert_kept(&process.log());
    let log = process.stop(WITHIN).await;
    assert!(!log.contains("damaged") && !log.contains("ERROR"), "{log}");
}

/// Scenario: retention of a running server beside a hold that is placed meanwhile.
/// Guarantees: what is held is not deleted though all of it is delivered; released, it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_works_beside_a_running_server() {
    let backend = Backend::start().await;
    backend.set(Mode::Unavailable);
    let site = Site::new(backend.address(), YAML);
    let (traffic, oracle) = (Arc::new(Traffic::default()), Arc::new(Oracle::default()));
    let mut process = site.start().await;
    let dir = site.dir().join("data/vault");
    let path = dir.display().to_string();
    process.hold("red");
    let shape = Shape { clients: 4, records: 5, padding: 4000 };
    let load = SteadyLoad::start(site.grpc(), shape, &traffic, &oracle);
    eventually(WITHIN, "four segments are sealed", || 4 <= sealed(&dir).len()).await;
    load.stop().await;
    let first = sealed(&dir)[0].clone();
    let id: u64 =
        document(0, &["ls", "-o", "json", &first.display().to_string()])["segments"][0]["segment"]
            .as_u64()
            .unwrap();
    assert!(tool(&["hold", "keep", &path, "--segments", &id.to_string()]).status.success());
    backend.set(Mode::Accept);
    process.hold("auto");
    eventually(WITHIN, "what is not held is deleted", || sealed(&dir).len() <= 2).await;
    oracle.settle(&backend, WITHIN).await.assert_kept(&process.log());
    assert!(first.exists(), "what is held stays");
    assert!(tool(&["release", "keep", &path]).status.success());
    eventually(WITHIN, "what was held is deleted", || !first.exists()).await;
    process.stop(WITHIN).await;
}

/// Scenario: an export over gRPC and over HTTP to a backend that refuses at first.
/// Guarantees: it takes every request once, bit for bit, and the vault is as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_brings_every_request_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let parcels = make(dir.path(), 60, 10);
    let path = dir.path().display().to_string();
    for protocol in ["grpc", "http"] {
        let backend = Backend::start().await;
        backend.set(Mode::Unavailable);
        let before = digests(dir.path());
        let to = format!("http://{}", backend.address());
        let arguments = ["export", "--to", &to, "--protocol", protocol, "-o", "json", &path];
        let all: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let export = std::thread::spawn(move || {
            document(0, &all.iter().map(String::as_str).collect::<Vec<_>>())
        });
        eventually(WITHIN, "it was refused", || 4 <= backend.attempts()).await;
        backend.set(Mode::Accept);
        eventually(WITHIN, "it ends", || export.is_finished()).await;
        let report = export.join().unwrap();
        assert_eq!((&report["exported"], &report["rejected"]), (&60.into(), &0.into()));
        for parcel in &parcels {
            assert_eq!(backend.has(&parcel.fingerprint), 1, "{protocol}");
        }
        assert_eq!(backend.requests(), 60);
        assert_eq!(before, digests(dir.path()));
        let listed = document(0, &["ls", "-o", "json", &path]);
        assert_eq!(listed["cursors"][0]["backlog_requests"], 50, "nothing is marked as delivered");
    }
}

/// Scenario: backends that reject for good, take a part, or never answer.
/// Guarantees: rejected requests are counted and exit 1; without an answer it gives up, says from
/// which seq to go on, and exits 69.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_says_what_was_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 12, 0);
    let path = dir.path().display().to_string();
    let backend = Backend::start().await;
    let to = format!("http://{}", backend.address());
    backend.set(Mode::Reject);
    let report = document(1, &["export", "--to", &to, "-o", "json", &path]);
    assert_eq!((&report["exported"], &report["rejected"]), (&0.into(), &12.into()));
    backend.set(Mode::AcceptExcept(2));
    let report = document(1, &["export", "--to", &to, "-o", "json", &path]);
    assert_eq!(report["rejected_records"], 24);
    backend.set(Mode::Unavailable);
    let arguments = ["export", "--to", &to, "-o", "json", "--give-up-after", "300ms"];
    let arguments = [&arguments[..], &["--seq", "3..", &path]].concat();
    let report = document(69, &arguments);
    assert_eq!(report["next_seq"], 3, "{report:#}");
}

/// How much each thread of a process yields to others, each number once.
fn niceness(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(Result::unwrap);
    let of_task = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_whitespace().nth(16).unwrap().parse().unwrap()
    };
    let mut found: Vec<i32> = tasks.map(of_task).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Scenario: an export at a low rate is interrupted.
/// Guarantees: it yields to a server beside it, says where to go on, and going on there completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_export_can_be_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let parcels = make(dir.path(), 30, 0);
    let path = dir.path().display().to_string();
    let backend = Backend::start().await;
    let to = format!("http://{}", backend.address());
    let child = begin(&["export", "--to", &to, "--rate", "20", "-o", "json", &path]);
    eventually(WITHIN, "some are sent", || 5 <= backend.requests()).await;
    assert_eq!(niceness(child.id()), [19], "a server beside it goes first");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let next = report["next_seq"].as_u64().unwrap();
    assert!((5..30).contains(&next), "{report:#}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains(&format!("--seq {next}..")), "{words}");
    let range = format!("{next}..");
    document(0, &["export", "--to", &to, "-o", "json", "--seq", &range, &path]);
    assert!(parcels.iter().all(|parcel| 1 <= backend.has(&parcel.fingerprint)));
}

/// Scenario: an export into files small enough to be rotated.
/// Guarantees: the files hold every request in order, nothing unfinished is left, and a directory
/// that is not empty is refused.
#[test]
fn an_export_into_files_is_whole_and_never_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let parcels = make(dir.path(), 30, 0);
    let path = dir.path().display().to_string();
    let out = tempfile::tempdir().unwrap();
    let to = out.path().display().to_string();
    let arguments = ["export", "--to", &to, "--format", "protobuf", "--file-size", "32KiB"];
    let arguments = [&arguments[..], &["-o", "json", &path]].concat();
    let report = document(0, &arguments);
    let files = report["files"].as_array().unwrap();
    assert!(6 < files.len(), "{report:#}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), files.len());
    for signal in Signal::ALL {
        let mut bytes = Vec::new();
        let of_signal = files.iter().map(|file| file.as_str().unwrap());
        for file in of_signal.filter(|file| file.contains(&format!("/{signal}-"))) {
            bytes.extend(fs::read(file).unwrap());
        }
        let mut rest = bytes.as_slice();
        for parcel in parcels.iter().filter(|parcel| parcel.signal == signal) {
            let (len, tail) = rest.split_first_chunk::<4>().unwrap();
            let (wire, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            assert_eq!(wire, parcel.wire);
            rest = tail;
        }
        assert!(rest.is_empty());
    }
    let again = tool(&arguments);
    assert_eq!(again.status.code(), Some(64), "{again:?}");
}
