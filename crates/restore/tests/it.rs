//! An archive of a real vault on a server that fails as told: found, restored, and shared among hosts.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use gophership_archive::Archiver;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::ObjectFacts;
use gophership_archive::Prefix;
use gophership_archive::RequestInfo;
use gophership_archive::SegmentSummary;
use gophership_archive::encode;
use gophership_restore::Archive;
use gophership_restore::ClaimAnswer;
use gophership_restore::Claims;
use gophership_restore::HeldClaim;
use gophership_restore::RestoreError;
use gophership_restore::Selection;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3::ObjectBody;
use gophership_s3::PutOptions;
use gophership_s3_sim::ACCESS_KEY;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::SECRET_KEY;
use gophership_s3_sim::Which;
use gophership_units::HumanDuration;
use gophership_units::Secret;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::SealedSegment;
use gophership_vault::Writer;

type Done = Box<dyn FnOnce(Result<Receipt, gophership_vault::AppendError>) + Send>;

const BUCKET: &str = "archive";
/// Requests come in a second apart.
const SECOND: u64 = 1_000_000_000;

/// Fills a vault with requests of 8 KiB and closes it; returns its sealed segments.
fn fill(dir: &Path, records: u64) -> Vec<PathBuf> {
    let mut options = Options::new(dir);
    options.segment_bytes = 1 << 20;
    options.max_bytes = 1 << 30;
    let (writer, _) = Writer::<Done>::open(options).unwrap();
    let (tell, told) = channel();
    let mut state = 7_u64;
    for number in 0..records {
        let payload: Vec<u8> = (0..8192)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[7]
            })
            .collect();
        loop {
            let tell = tell.clone();
            let done: Done = Box::new(move |stored| tell.send(stored).unwrap());
            let received_unix_ns = (1 + number) * SECOND;
            let record = NewRecord { signal: 1, received_unix_ns, attrs: &[], payload: &payload };
            if writer.try_append(record, done).is_ok() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    drop(tell);
    for stored in told {
        stored.unwrap();
    }
    writer.close().unwrap();
    let mut segments: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|it| it == "gsv"));
    segments.sort();
    segments
}

/// A server with an archive of a vault.
struct Fixture {
    server: S3Server,
    folder: tempfile::TempDir,
    archive: Archive,
    segments: Vec<PathBuf>,
}

impl Fixture {
    /// As many nodes as names archive one vault of several segments each.
    async fn new(nodes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(&folder.path().join("server")).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let archive = archive(&server).await;
        let mut segments = Vec::new();
        for node in nodes {
            let own = fill(&folder.path().join(node), 300);
            for path in &own {
                upload(&server, path, node, &folder.path().join("object")).await;
            }
            segments.extend(own);
        }
        Self { server, folder, archive, segments }
    }

    fn target(&self) -> PathBuf {
        let target = self.folder.path().join("restored");
        fs::create_dir_all(&target).unwrap();
        target
    }
}

async fn bucket(server: &S3Server) -> BucketClient {
    let mut options = BucketOptions::new(BUCKET);
    options.endpoint = Some(server.endpoint());
    options.region = Some("us-east-1".to_owned());
    options.path_style = true;
    options.credentials.access_key_id = Some(Secret(ACCESS_KEY.to_owned()));
    options.credentials.secret_access_key = Some(Secret(SECRET_KEY.to_owned()));
    options.attempt_timeout = HumanDuration(Duration::from_secs(2));
    BucketClient::connect(&options).await.unwrap()
}

async fn archive(server: &S3Server) -> Archive {
    Archive::new(bucket(server).await, "backup".parse().unwrap(), 4)
}

async fn upload(server: &S3Server, path: &Path, node: &str, object: &Path) {
    let segment = SealedSegment::open(path).unwrap();
    let encoded =
        encode(&segment, object, FrameOptions::default(), || ControlFlow::Continue(())).unwrap();
    let meaning = |_: &gophership_vault::RecordNote<'_>| RequestInfo {
        signal: "logs",
        records: 1,
        source: format!("source-{node}"),
    };
    let summary = SegmentSummary::of(&segment, meaning).unwrap();
    let facts = ObjectFacts::of_segment(&encoded, &summary);
    let origin = Archiver { node: node.to_owned(), gophership: "0.1.0".to_owned() };
    let manifest = Manifest::new(&segment, &summary, &facts, &origin);
    let (bucket, prefix) = (bucket(server).await, "backup".parse::<Prefix>().unwrap());
    let bytes = Bytes::from(fs::read(object).unwrap());
    let key = manifest.segment_key();
    bucket.put(&key.key(&prefix), ObjectBody::Bytes(bytes), &PutOptions::default()).await.unwrap();
    let text = ObjectBody::Bytes(manifest.to_bytes().into());
    bucket.put(&key.manifest().key(&prefix), text, &PutOptions::default()).await.unwrap();
}

/// Scenario: two nodes have archived a vault each.
/// Guarantees: every segment is found, and restored bit for bit.
#[tokio::test]
async fn what_is_archived_is_restored_bit_for_bit() {
    let fixture = Fixture::new(&["a", "b"]).await;
    assert_eq!(fixture.archive.vaults().await.unwrap().len(), 2);
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    assert_eq!(manifests.len(), fixture.segments.len());
    assert!(4 < manifests.len());
    for manifest in &manifests {
        let mut came = 0;
        let restored = fixture.archive.restore(manifest, &fixture.target(), |it| came += it).await;
        let restored = restored.unwrap();
        assert_eq!(came, manifest.object.bytes);
        let file = restored.path.file_name().unwrap();
        let original = fixture.folder.path().join(&manifest.node).join(file);
        assert!(fs::read(&restored.path).unwrap() == fs::read(original).unwrap());
        fs::remove_file(restored.path).unwrap();
    }
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
}

/// Scenario: segments are selected by time, node, source, signal and number.
/// Guarantees: exactly those that may have such requests are found.
#[tokio::test]
async fn a_selection_finds_what_may_be_meant() {
    let fixture = Fixture::new(&["a", "b"]).await;
    let all = fixture.archive.manifests(&Selection::default()).await.unwrap();
    let found = async |selection: Selection| {
        let expected: Vec<&Manifest> = all.iter().filter(|it| selection.wants(it)).collect();
        let found = fixture.archive.manifests(&selection).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        found
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let of_a = found(Selection { nodes: names(&["a"]), ..Selection::default() }).await;
    assert!(!of_a.is_empty() && of_a.iter().all(|it| it.node == "a"));
    let of_b = found(Selection { sources: names(&["source-b"]), ..Selection::default() }).await;
    assert!(of_a.len() + of_b.len() == all.len() && of_b.iter().all(|it| it.node == "b"));
    let metrics = Selection { signals: names(&["metrics"]), ..Selection::default() };
    assert!(found(metrics).await.is_empty());
    let first = Selection { until_unix_ns: Some(2 * SECOND), ..Selection::default() };
    assert_eq!(found(first).await.len(), 2, "the first segment of each");
    let last = Selection { since_unix_ns: Some(300 * SECOND), ..Selection::default() };
    assert_eq!(found(last).await.len(), 2, "the last segment of each");
    let id = Some(all[0].vault_id);
    let one = Selection { segments: Some((1, 1)), vault_id: id, ..Selection::default() };
    assert_eq!(found(one).await.len(), 1);
}

/// Scenario: each kind of failure that passes, on listings, manifests and objects.
/// Guarantees: the segment is restored all the same.
#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again() {
    let fixture = Fixture::new(&["a"]).await;
    let faults = fixture.server.faults();
    let failing = [Fault::SLOW_DOWN, Fault::INTERNAL_ERROR, Fault::Close, Fault::ResetBody];
    for fault in failing {
        faults.next(RequestKind::List, 1, fault);
        faults.next(Which::from(RequestKind::Get).with("/manifest/"), 1, fault);
        let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
        faults.next(Which::from(RequestKind::Get).with("/seg/"), 1, fault);
        let manifest = &manifests[0];
        fixture.archive.restore(manifest, &fixture.target(), |_| {}).await.unwrap();
    }
    assert_eq!(faults.injected(), 3 * failing.len() as u64);
}

/// Scenario: an object has changed, is short, or is gone.
/// Guarantees: an error that says so; no file gets the name of a segment.
#[tokio::test]
async fn a_damaged_object_is_not_restored() {
    let fixture = Fixture::new(&["a"]).await;
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    let manifest = &manifests[0];
    let key = manifest.segment_key().key(&"backup".parse().unwrap());
    let path = fixture.server.object_path(BUCKET, &key);
    let good = fs::read(&path).unwrap();
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    for bytes in [changed, good[..good.len() / 2].to_vec()] {
        fs::write(&path, bytes).unwrap();
        let error = fixture.archive.restore(manifest, &fixture.target(), |_| {}).await;
        // The bucket finds it first, if it keeps a checksum.
        let error = error.err().unwrap();
        assert!(!error.is_retryable(), "it would be read for ever: {error}");
    }
    fs::remove_file(&path).unwrap();
    let error = fixture.archive.restore(manifest, &fixture.target(), |_| {}).await.err().unwrap();
    assert!(matches!(error, RestoreError::Missing { .. }), "{error}");
    let is_segment = |path: &Path| path.extension().is_some_and(|it| it == "gsv");
    let left = fs::read_dir(fixture.target()).unwrap().map(|it| it.unwrap().path());
    assert_eq!(left.filter(|path| is_segment(path)).count(), 0);
    let without = fixture.archive.without_manifest(manifest.vault_id, |it| it != 2).await.unwrap();
    assert_eq!(without.len(), 1, "that of segment 2, as asked: {without:?}");
}

fn held(answer: ClaimAnswer) -> HeldClaim {
    match answer {
        ClaimAnswer::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

/// Scenario: two hosts ask for the same segment; the one that has it renews, and finishes.
/// Guarantees: only one has it; when it is done, it is done for both.
#[tokio::test]
async fn one_host_has_a_segment() {
    let fixture = Fixture::new(&["a"]).await;
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    let lease = Duration::from_mins(1);
    let [one, two] = ["one", "two"].map(|it| Claims::new(fixture.archive.clone(), "r", it, lease));
    let mut claim = held(one.take(&manifests[0]).await.unwrap());
    let other = two.take(&manifests[0]).await.unwrap();
    assert!(matches!(other, ClaimAnswer::Taken { left } if left <= lease), "{other:?}");
    held(two.take(&manifests[1]).await.unwrap());
    assert!(one.renew(&mut claim).await.unwrap());
    assert!(one.finish(&mut claim).await.unwrap());
    assert_eq!(two.take(&manifests[0]).await.unwrap(), ClaimAnswer::Done);
    assert_eq!(one.take(&manifests[0]).await.unwrap(), ClaimAnswer::Done);
    let again = Claims::new(fixture.archive.clone(), "another-replay", "two", lease);
    held(again.take(&manifests[0]).await.unwrap());
}

/// Scenario: a host is silent for longer than its lease, and comes back.
/// Guarantees: another takes the segment over; the first can neither renew nor finish.
#[tokio::test]
async fn a_silent_host_loses_its_segment() {
    let fixture = Fixture::new(&["a"]).await;
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    let claims = |owner: &str, lease| Claims::new(fixture.archive.clone(), "r", owner, lease);
    let (one, two) = (claims("one", Duration::ZERO), claims("two", Duration::from_mins(1)));
    let mut lost = held(one.take(&manifests[0]).await.unwrap());
    let mut taken = held(two.take(&manifests[0]).await.unwrap());
    assert_eq!(taken.attempt(), 2);
    assert!(!one.renew(&mut lost).await.unwrap());
    assert!(!one.finish(&mut lost).await.unwrap());
    assert!(two.finish(&mut taken).await.unwrap());
}

/// Scenario: eight hosts ask for each of the segments at the same moment.
/// Guarantees: exactly one gets each.
#[tokio::test]
async fn of_many_hosts_one_gets_each_segment() {
    let fixture = Fixture::new(&["a"]).await;
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    for manifest in &manifests {
        let mut hosts = tokio::task::JoinSet::new();
        for host in 0..8 {
            let (archive, manifest) = (fixture.archive.clone(), manifest.clone());
            hosts.spawn(async move {
                let owner = format!("host-{host}");
                let claims = Claims::new(archive, "r", &owner, Duration::from_mins(1));
                claims.take(&manifest).await.unwrap()
            });
        }
        let answers = hosts.join_all().await;
        let winners = answers.iter().filter(|it| matches!(it, ClaimAnswer::Held(_))).count();
        assert_eq!(winners, 1, "{answers:?}");
    }
}

/// Scenario: the claim is written, and the answer is lost.
/// Guarantees: the host has the segment, and knows it.
#[tokio::test]
async fn a_lost_answer_does_not_lose_the_claim() {
    let fixture = Fixture::new(&["a"]).await;
    let manifests = fixture.archive.manifests(&Selection::default()).await.unwrap();
    let claims = Claims::new(fixture.archive.clone(), "r", "one", Duration::from_mins(1));
    let faults = fixture.server.faults();
    faults.next(RequestKind::Put, 1, Fault::AnswerLost);
    let mut claim = held(claims.take(&manifests[0]).await.unwrap());
    faults.next(RequestKind::Put, 1, Fault::AnswerLost);
    assert!(claims.renew(&mut claim).await.unwrap());
    faults.next(RequestKind::Put, 1, Fault::AnswerLost);
    assert!(claims.finish(&mut claim).await.unwrap());
    assert_eq!(faults.injected(), 3);
}
