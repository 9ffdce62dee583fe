//! A vault with sealed segments, a bucket that fails as told, and a sink between them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::time::Duration;

use gophership_archive::Archiver;
use gophership_archive::FrameOptions;
use gophership_archive::Manifest;
use gophership_archive::Prefix;
use gophership_archive::Restorer;
use gophership_archive::SegmentKey;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3_sim::ACCESS_KEY;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::SECRET_KEY;
use gophership_units::HumanDuration;
use gophership_units::Secret;
use gophership_vault::AppendError;
use gophership_vault::Log;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Throttle;
use gophership_vault::Writer;
use tempfile::TempDir;

use super::super::archive::Haste;
use super::super::archive::SegmentShip;
use super::super::attempts::Attempts;
use super::super::follow::Follower;
use super::super::look::BucketInspector;
use super::super::options::S3RetryConfig;
use super::super::pace::UploadThrottle;
use super::super::upload::Uploader;
use crate::component::ComponentId;
use crate::component::Stop;
use crate::component::copy_cursor_name;
use crate::event::Provenance;
use crate::event::Signal;
use crate::flow::RateLimit;
use crate::metrics::Metrics;
use crate::somatic::Gauges;
use crate::somatic::Governor;

pub(super) const BUCKET: &str = "archive";
const SMALL_SEGMENT: u64 = 64 * 1024;
/// A test that takes longer has come to a halt.
const WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) type Done = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

pub(super) struct Rig {
    pub(super) dir: TempDir,
    pub(super) server: S3Server,
    _writer: Writer<Done>,
    pub(super) log: Arc<Log>,
    /// Every sealed segment as it was, by its number.
    pub(super) originals: BTreeMap<u64, Vec<u8>>,
    pub(super) prefix: Prefix,
}

/// A sink that follows the vault; to be stopped as a process is.
pub(super) struct Running {
    pub(super) stop: Stop,
    pub(super) metrics: Arc<Metrics>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

fn options(dir: &Path, segment_bytes: u64) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = segment_bytes;
    options.max_bytes = 1 << 30;
    options.segment_age_max = Duration::from_hours(1);
    options.staging_bytes = 1 << 20;
    options
}

/// Stores a request that compresses to about as much.
fn append(writer: &Writer<Done>, number: u64) {
    let mut random = fastrand::Rng::with_seed(number);
    let payload: Vec<u8> = (0..20_000).map(|_| random.u8(..)).collect();
    let provenance = Provenance::forever("otlp");
    let mut space = crate::event::NoteSpace::default();
    let attrs = provenance.note(number, std::iter::empty(), &mut space).to_vec();
    let (tell, told) = channel();
    let record = NewRecord {
        signal: Signal::Logs as u8,
        received_unix_ns: 1_000 + number,
        attrs: &attrs,
        payload: &payload,
    };
    let done: Done = Box::new(move |stored| tell.send(stored).unwrap());
    writer.try_append(record, done).map_err(|refused| refused.reason).unwrap();
    told.recv().unwrap().unwrap();
}

impl Rig {
    /// Makes a vault with so many sealed segments at least, and a bucket.
    pub(super) fn new(segments: usize) -> Self {
        Self::with_segments(segments, SMALL_SEGMENT)
    }

    /// The same, with segments of this size.
    pub(super) fn with_segments(segments: usize, segment_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = S3Server::start(&dir.path().join("server")).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let vault = dir.path().join("vault");
        let (writer, _) = Writer::<Done>::open(options(&vault, segment_bytes)).unwrap();
        let sealed = || {
            let files = fs::read_dir(&vault).unwrap().map(|entry| entry.unwrap().path());
            files.filter(|path| path.extension().is_some_and(|end| end == "gsv")).count()
        };
        let mut number = 0;
        while sealed() < segments {
            append(&writer, number);
            number += 1;
        }
        writer.close().unwrap();
        drop(writer);
        let (writer, _) = Writer::<Done>::open(options(&vault, segment_bytes)).unwrap();
        let log = writer.log();
        let originals = log.segments().into_iter().filter(|info| 0 < info.records);
        let originals: BTreeMap<u64, Vec<u8>> =
            originals.map(|info| (info.id.get(), fs::read(info.path).unwrap())).collect();
        assert!(segments <= originals.len());
        let prefix = "backup/a".parse().unwrap();
        Self { dir, server, _writer: writer, log, originals, prefix }
    }

    pub(super) fn bucket_options(&self) -> BucketOptions {
        let mut options = BucketOptions::new(BUCKET);
        options.endpoint = Some(self.server.endpoint());
        options.region = Some("us-east-1".to_owned());
        options.path_style = true;
        options.credentials.access_key_id = Some(Secret(ACCESS_KEY.to_owned()));
        options.credentials.secret_access_key = Some(Secret(SECRET_KEY.to_owned()));
        options.attempt_timeout = HumanDuration(Duration::from_millis(300));
        options
    }

    pub(super) fn id() -> ComponentId {
        "archive".parse().unwrap()
    }

    /// Starts a sink, as a new process does.
    pub(super) async fn start(&self, concurrency: usize) -> Running {
        self.start_at(concurrency, Arc::new(Governor::default()), None).await
    }

    /// The same, as a governor allows, and at a rate in bytes per second.
    pub(super) async fn start_at(
        &self,
        concurrency: usize,
        governor: Arc<Governor>,
        rate: Option<u64>,
    ) -> Running {
        let (metrics, stop) = (Metrics::new(), Stop::new());
        let figures = metrics.s3("archive");
        let retry = S3RetryConfig {
            min: HumanDuration(Duration::from_millis(2)),
            max: HumanDuration(Duration::from_millis(20)),
        };
        let limit = Duration::from_millis(300);
        let attempts =
            Attempts::new(&Self::id(), &Gauges::default(), figures.clone(), &retry, limit);
        let spool = self.dir.path().join("spool");
        fs::create_dir_all(&spool).unwrap();
        let rate = rate.map(RateLimit::new);
        let uploader = Arc::new(Uploader {
            bucket: BucketClient::connect(&self.bucket_options()).await.unwrap(),
            attempts,
            figures: figures.clone(),
            look: BucketInspector { reads_back: true },
            part_bytes: 8 << 20,
            pace: Arc::new(UploadThrottle::new(governor, rate, figures)),
            stop: stop.clone(),
            spool,
            spooled: AtomicU64::new(0),
        });
        let ship = SegmentShip {
            uploader: Arc::clone(&uploader),
            haste: Haste {
                fill_permille: Box::new(|| 0),
                calm: Throttle::default(),
                hurried: Throttle::default(),
                is_starved: AtomicBool::new(false),
            },
            prefix: self.prefix.clone(),
            origin: Archiver { node: "node".to_owned(), gophership: "1".to_owned() },
            frame: FrameOptions::default(),
            stop: stop.clone(),
        };
        let follower =
            Follower { id: Self::id(), uploader, ship: Arc::new(ship), concurrency, sweep: None };
        let (log, stopped) = (Arc::clone(&self.log), stop.clone());
        let task = tokio::spawn(async move {
            follower.run(|| Some(Arc::clone(&log)), || false, &stopped).await;
        });
        Running { stop, metrics, task }
    }

    /// Whether the cursor has passed, durably, a segment.
    pub(super) fn is_passed(&self, segment: u64) -> bool {
        let Some(cursor) = self.log.cursor(&copy_cursor_name(&Self::id())) else { return false };
        let info = self.log.segments().into_iter().find(|info| info.id.get() == segment);
        info.is_none_or(|info| cursor.covers(info.first_seq, info.last_seq))
    }

    /// Waits until all segments are passed.
    pub(super) async fn until_archived(&self) {
        let all = || self.originals.keys().all(|segment| self.is_passed(*segment));
        eventually("all segments are archived", all).await;
    }

    /// The keys of all objects, without those files that the server keeps for itself.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        let objects = self.server.objects(BUCKET).unwrap();
        objects.into_keys().filter(|key| !key.contains("/.") && !key.starts_with('.')).collect()
    }

    fn object(&self, key: &str) -> Vec<u8> {
        fs::read(self.server.object_path(BUCKET, key)).unwrap()
    }

    /// Checks that the bucket has exactly one object and one manifest of each segment, and that each object
    /// comes to the segment, byte for byte.
    pub(super) fn assert_complete(&self, context: &str) {
        let keys = self.keys();
        let mut expected = BTreeSet::new();
        for (segment, original) in &self.originals {
            let folder = self.prefix.manifests(self.log.vault_id());
            let manifest_key = format!("{folder}{segment:020}.json");
            assert!(keys.contains(&manifest_key), "{context}: {manifest_key} is missing");
            let manifest = Manifest::read(&self.object(&manifest_key), &manifest_key).unwrap();
            let key = manifest.object_key(&self.prefix, &manifest_key).unwrap();
            let out = tempfile::tempdir().unwrap();
            let mut restorer = Restorer::new(&manifest, out.path()).unwrap();
            restorer.push(&self.object(&key)).unwrap();
            let file = restorer.finish().unwrap().path;
            assert!(fs::read(file).unwrap() == *original, "{context}: {segment} differs");
            assert!(SegmentKey::parse(&self.prefix, &key).is_some(), "{context}");
            expected.extend([manifest_key, key]);
        }
        assert_eq!(keys, expected, "{context}");
    }

    /// Checks that a segment is in the vault, or its object and manifest are in the bucket.
    pub(super) fn assert_kept_until_complete(&self, segment: u64) {
        if !self.local(segment).exists() || self.is_passed(segment) {
            let part = format!("/{segment:020}");
            let keys = self.keys();
            let parts = keys.iter().filter(|key| key.contains(&part)).count();
            assert_eq!(parts, 2, "{segment} is let go before it is complete: {keys:?}");
        }
    }

    /// The file of a segment in the vault.
    pub(super) fn local(&self, segment: u64) -> PathBuf {
        self.dir.path().join("vault").join(format!("seg-{segment:020}.gsv"))
    }
}

impl Running {
    /// Ends it as it is asked to.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// The sum of a figure.
    pub(super) fn figure(&self, name: &str, label: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let is_of = |line: &&str| line.starts_with(name) && line.contains(label);
        let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let sum = text.lines().filter(is_of).map(value).sum::<f64>() as u64;
        sum
    }
}

/// Waits until something is so.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    assert!(tokio::time::timeout(WITHIN, waiting).await.is_ok(), "not in time: {what}");
}
