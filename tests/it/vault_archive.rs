//! `gophership vault ls|verify|cat|export s3://..`: an archive reads as the vault that it is of.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use gophership_archive::Archiver;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::Prefix;
use gophership_archive::RequestInfo;
use gophership_archive::SegmentSummary;
use gophership_archive::encode;
use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_vault::SealedSegment;
use serde_json::Value;
use tempfile::TempDir;

use crate::vault_tools::make;
use crate::vault_tools::sealed;

pub(crate) const BUCKET: &str = "archive";
pub(crate) const PREFIX: &str = "backup";

/// A server with a bucket.
pub(crate) fn server(folder: &Path) -> S3Server {
    let server = S3Server::start(&folder.join("server")).unwrap();
    server.create_bucket(BUCKET).unwrap();
    server
}

/// Archives the sealed segments of a vault, as the sink does, by writing files where the server keeps
/// objects.
pub(crate) fn archive(server: &S3Server, vault: &Path, node: &str) -> Vec<Manifest> {
    let prefix: Prefix = PREFIX.parse().unwrap();
    let spool = tempfile::tempdir().unwrap();
    let object = spool.path().join("object");
    let mut manifests = Vec::new();
    for path in sealed(vault) {
        let segment = SealedSegment::open(&path).unwrap();
        let go_on = || ControlFlow::Continue(());
        let encoded = encode(&segment, &object, FrameOptions::default(), go_on).unwrap();
        let meaning = |note: &gophership_vault::RecordNote<'_>| RequestInfo {
            signal: Signal::from_u8(note.signal).map_or("unknown", Signal::name),
            records: 3,
            source: "unknown".to_owned(),
        };
        let summary = SegmentSummary::of(&segment, meaning).unwrap();
        let facts = ObjectFacts::of_segment(&encoded, &summary);
        let origin = Archiver { node: node.to_owned(), gophership: "0.1.0".to_owned() };
        let manifest = Manifest::new(&segment, &summary, &facts, &origin);
        let key = manifest.segment_key();
        store(server, &key.key(&prefix), &fs::read(&object).unwrap());
        store(server, &key.manifest().key(&prefix), &manifest.to_bytes());
        manifests.push(manifest);
    }
    manifests
}

fn store(server: &S3Server, key: &str, bytes: &[u8]) {
    let path = server.object_path(BUCKET, key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A vault, its archive, and the program that reads both.
struct Fixture {
    folder: TempDir,
    server: S3Server,
    vault: PathBuf,
    manifests: Vec<Manifest>,
}

impl Fixture {
    fn new(requests: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path());
        let vault = folder.path().join("vault");
        fs::create_dir(&vault).unwrap();
        make(&vault, requests, 0);
        let manifests = archive(&server, &vault, "node-a");
        assert!(3 < manifests.len());
        Self { folder, server, vault, manifests }
    }

    /// Runs `gophership vault` on the archive; its exit code, and what it said.
    fn tool(&self, arguments: &[&str]) -> (i32, String, String) {
        let temporary = self.folder.path().join("temporary");
        fs::create_dir_all(&temporary).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_gophership"))
            .arg("vault")
            .args(arguments)
            .env_remove("GOPHERSHIP_CONFIG")
            .env("TMPDIR", &temporary)
            .envs(self.server.environment())
            .output()
            .unwrap();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "restored segments are removed");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command on the archive.
    fn on_archive(&self, command: &str, arguments: &[&str]) -> (i32, String, String) {
        let url = format!("s3://{BUCKET}/{PREFIX}");
        self.tool(&[&[command, url.as_str(), "--s3-path-style"], arguments].concat())
    }

    /// Runs a command on the vault.
    fn on_vault(&self, command: &str, arguments: &[&str]) -> (i32, String, String) {
        let path = self.vault.display().to_string();
        self.tool(&[&[command, path.as_str()], arguments].concat())
    }

    fn document(&self, code: i32, command: &str) -> Value {
        let (found, out, err) = self.on_archive(command, &["-o", "json"]);
        assert_eq!(found, code, "{out}\n{err}");
        serde_json::from_str(&out).unwrap()
    }

    fn object(&self, idx: usize) -> PathBuf {
        let key = self.manifests[idx].segment_key().key(&PREFIX.parse().unwrap());
        self.server.object_path(BUCKET, &key)
    }
}

/// The files of a folder with what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().to_owned();
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

/// Scenario: a vault is archived, and read from both places with the same filters.
/// Guarantees: what comes out is the same, byte for byte.
#[test]
fn an_archive_reads_as_its_vault() {
    let fixture = Fixture::new(120);
    for filter in [
        &[][..],
        &["--signal", "logs"],
        &["--segment", "2..3"],
        &["--seq", "20..40"],
        &["--since", "2026-01-01T00:01:00Z", "--until", "2026-01-01T00:01:30Z"],
        &["--limit", "7"],
        &["--format", "text"],
    ] {
        let (code, of_vault, _) = fixture.on_vault("cat", filter);
        assert_eq!(code, 0, "{filter:?}");
        let (code, of_archive, said) = fixture.on_archive("cat", filter);
        assert_eq!(code, 0, "{filter:?} {said}");
        assert!(!of_vault.is_empty() && of_archive == of_vault, "{filter:?}");
    }
    let (to_one, to_other) =
        (fixture.folder.path().join("one"), fixture.folder.path().join("other"));
    fixture.on_vault("export", &["--to", to_one.to_str().unwrap(), "-q"]);
    let (code, out, err) =
        fixture.on_archive("export", &["--to", to_other.to_str().unwrap(), "-q"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("120 requests exported"), "{out}");
    assert!(files(&to_one) == files(&to_other));
}

/// Scenario: an archive is listed and verified.
/// Guarantees: the numbers are those of the vault; it is sound.
#[test]
fn an_archive_is_listed_and_verified() {
    let fixture = Fixture::new(90);
    let listed = fixture.document(0, "ls");
    assert_eq!(listed["totals"]["requests"], 90);
    assert_eq!(listed["totals"]["segments"], fixture.manifests.len());
    assert_eq!(listed["segments"][0]["node"], "node-a");
    assert_eq!(listed["archive"], format!("s3://{BUCKET}/{PREFIX}"));
    let (_, table, _) = fixture.on_archive("ls", &[]);
    assert!(table.contains("90 requests in"), "{table}");
    let (_, records, _) = fixture.on_archive("ls", &["--requests", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&records).unwrap().as_array().unwrap().len(), 90);

    let verified = fixture.document(0, "verify");
    assert_eq!(verified["sound"], true);
    assert_eq!(verified["requests"], 90);
    assert_eq!(verified["without_manifest"], Value::Array(Vec::new()));
    let one_vault = format!("s3://{BUCKET}/{PREFIX}/v1/{:032x}", fixture.manifests[0].vault_id);
    let (code, out, err) = fixture.tool(&["verify", &one_vault, "--s3-path-style"]);
    assert_eq!((code, out.contains("sound: 90 requests")), (0, true), "{out}{err}");
}

/// Scenario: one object has changed, one is gone, and one has no manifest.
/// Guarantees: `verify` names each; `cat` gives out what the others hold, and says what it could not.
#[test]
fn damage_of_an_archive_is_found() {
    let fixture = Fixture::new(120);
    let mut bytes = fs::read(fixture.object(1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(fixture.object(1), bytes).unwrap();
    fs::remove_file(fixture.object(2)).unwrap();
    let key = fixture.manifests[3].segment_key().manifest().key(&PREFIX.parse().unwrap());
    fs::remove_file(fixture.server.object_path(BUCKET, &key)).unwrap();

    let verified = fixture.document(1, "verify");
    let faults = verified["faults"].as_array().unwrap();
    let segments: Vec<u64> = faults.iter().map(|it| it["segment"].as_u64().unwrap()).collect();
    assert_eq!(segments, [fixture.manifests[1].segment, fixture.manifests[2].segment]);
    assert_eq!(verified["without_manifest"].as_array().unwrap().len(), 1);

    let (code, out, err) = fixture.on_archive("cat", &[]);
    assert_eq!(code, 1, "{err}");
    let lost: u64 = fixture.manifests[1..=3].iter().map(|manifest| manifest.requests).sum();
    assert_eq!(out.lines().count() as u64, 120 - lost);
    assert_eq!(err.matches("damaged: segment").count(), 2, "{err}");
}

/// Scenario: the bucket fails for a moment; then it is away.
/// Guarantees: the first is not noticed; the second is an error that names the bucket.
#[test]
fn a_bucket_that_fails_is_asked_again() {
    let fixture = Fixture::new(60);
    let faults = fixture.server.faults();
    for fault in [Fault::SLOW_DOWN, Fault::Close] {
        faults.next(RequestKind::List, 1, fault);
        faults.next(RequestKind::Get, 2, fault);
    }
    let (code, out, err) = fixture.on_archive("cat", &[]);
    assert_eq!((code, out.lines().count()), (0, 60), "{err}");
    assert_eq!(faults.injected(), 6);
    faults.always(RequestKind::List, Fault::ACCESS_DENIED);
    let (code, _, err) = fixture.on_archive("ls", &[]);
    assert_eq!(code, 69, "{err}");
    assert!(err.contains("cannot list s3://archive/backup/v1/: 403 AccessDenied"), "{err}");
    assert!(err.contains("grant the permission"), "{err}");
}

/// Scenario: what an archive does not have is asked for.
/// Guarantees: the exit code says that it is the user's, and the message what to do.
#[test]
fn what_an_archive_cannot_do_is_said() {
    let fixture = Fixture::new(60);
    for (command, arguments, code, word) in [
        ("repair", &[][..], 64, "an archive can only be read"),
        ("prune", &["--quarantine"], 64, "an archive can only be read"),
    ] {
        let url = format!("s3://{BUCKET}/{PREFIX}");
        let (found, _, err) = fixture.tool(&[&[command, url.as_str()], arguments].concat());
        assert_eq!(found, code, "{err}");
        assert!(err.contains(word), "{err}");
    }
    let (code, _, err) = fixture.on_archive("cat", &["--cursor", "sink"]);
    assert_eq!((code, err.contains("neither cursors nor")), (64, true), "{err}");
    let (code, _, err) = fixture.on_archive("ls", &["--deadletter"]);
    assert_eq!((code, err.contains("no dead letters")), (64, true), "{err}");
    let other = format!("s3://{BUCKET}/elsewhere");
    let (code, _, err) = fixture.tool(&["ls", &other, "--s3-path-style"]);
    assert_eq!((code, err.contains("there is no archive at")), (66, true), "{err}");
}
