//! S1, S2 and S3: a bucket that holds what was acknowledged, through kills, an outage, and the way back.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use gophership_archive::Manifest;
use gophership_archive::Prefix;
use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::Which;
use gophership_testbed::numbers;
use tempfile::TempDir;

use crate::harness::Process;
use crate::harness::Shape;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::server::READY_WITHIN;
use super::server::Scene;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "bucket";
const SOON: Duration = Duration::from_mins(1);
const UPLOADED_WITHIN: Duration = Duration::from_mins(5);
pub(super) const ENDED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What the memory of the server may vary by in an outage, once a third of it is over.
const MEMORY_MAX: u64 = 32 * MIB;
/// From so many MiB on, a round trip has the requests and segments of a busy server.
const MUCH_FROM: u64 = 256;
/// Of a round trip of less; a request has some 10 KiB.
const MIXED: Shape = Shape { clients: 6, records: 20, padding: 400 };
/// Of one of much: a request has some 300 KiB and compresses to a tenth, so that bytes take the time, and not the
/// making of records or a sync for each few.
const MUCH: Shape = Shape { clients: 32, records: 10, padding: 32_000 };

pub(super) const KILLED: Suite = Suite {
    id: "S1",
    title: "kill -9 of a server that writes requests to a bucket which fails at times: every acknowledged record is in exactly one object",
    fast: 3,
    long: 50,
    run: |run| server::block_on(killed(run)),
};

pub(super) const OUTAGE: Suite = Suite {
    id: "S2",
    title: "the bucket is out under load, for one second per run: constant memory, every acknowledged record is in exactly one object afterwards",
    fast: 6,
    long: 600,
    run: |run| server::block_on(outage(run)),
};

pub(super) const ROUND_TRIP: Suite = Suite {
    id: "S3",
    title: "one MiB of all signals per run, from vault to bucket and back: every object opens with the stock zstd tool, every request comes back once, the same to the byte",
    fast: 16,
    long: 1024,
    run: |run| server::block_on(round_trip(run)),
};

const LAKE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: delivered, pivot: off }
sinks:
  lake:
    type: s3
    inputs: [otlp]
    bucket: { name: bucket, path_style: true, attempt_timeout: 2s }
    prefix: lake
    node: node-1
    concurrency: 2
    retry: { min: 10ms, max: 100ms }
    objects: { max_bytes: 1MiB, max_age: 300ms, spool_max_size: 256MiB }
"#;

const ARCHIVE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, pivot: vault }
sinks:
  nowhere: { type: blackhole, inputs: [otlp] }
  vault: { type: raw_vault, max_size: $VAULT, segment_size: $SEGMENT, segment_age: $AGE }
  archive:
    type: s3
    vault: vault
    bucket: { name: bucket, path_style: true }
    prefix: archive
"#;

const REPLAY: &str = r#"
sources:
  archive:
    type: s3_replay
    bucket: { name: bucket, path_style: true }
    prefix: archive
sinks:
  backend: { type: otlp, inputs: [archive], endpoint: "http://$BACKEND" }
"#;

/// A bucket, and a server that writes requests to it.
pub(super) struct Lake {
    pub(super) scene: Scene,
    pub(super) bucket: S3Server,
    /// The objects that were read already.
    read: BTreeSet<String>,
    /// How often each record was in one of them.
    counts: HashMap<u64, u32>,
    _dir: TempDir,
}

impl Lake {
    pub(super) async fn new() -> Self {
        let (bucket, dir) = empty_bucket();
        let mut scene = Scene::new(LAKE).await;
        scene.site.env = bucket.environment();
        Self { scene, bucket, read: BTreeSet::new(), counts: HashMap::new(), _dir: dir }
    }

    /// Reads the objects that are new.
    fn look(&mut self) {
        for key in keys(&self.bucket, "") {
            if self.read.contains(&key) {
                continue;
            }
            let object = fs::File::open(self.bucket.object_path(BUCKET, &key));
            let unpacked = object.and_then(|object| {
                let mut bytes = Vec::new();
                zstd::Decoder::new(object)?.read_to_end(&mut bytes).map(|_| bytes)
            });
            let bytes = unpacked.unwrap_or_else(|error| panic!("{key}: {error}"));
            let is_of = |signal: &Signal| {
                key.rsplit('/').next().is_some_and(|name| name.starts_with(signal.name()))
            };
            let signal =
                Signal::ALL.into_iter().find(is_of).expect("the name begins with a signal");
            for request in requests(&bytes) {
                let found = numbers(signal, request);
                for number in found.unwrap_or_else(|| panic!("{key} has something else")) {
                    *self.counts.entry(number).or_default() += 1;
                }
            }
            self.read.insert(key);
        }
    }

    /// Waits until everything acknowledged is in the bucket, and says what is not as it must be.
    pub(super) async fn settle(&mut self) -> Vec<String> {
        let acknowledged = self.scene.oracle.acknowledged_records();
        let deadline = Instant::now() + UPLOADED_WITHIN;
        let missing = loop {
            self.look();
            let is_missing = |number: &&u64| !self.counts.contains_key(number);
            let missing = acknowledged.iter().filter(is_missing).count();
            if missing == 0 || deadline <= Instant::now() {
                break missing;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let twice = self.counts.values().filter(|count| 1 < **count).count();
        let mut violations = Vec::new();
        if 0 < missing {
            violations.push(format!("{missing} acknowledged records are in no object"));
        }
        if 0 < twice {
            violations.push(format!("{twice} records are in several objects"));
        }
        if acknowledged.is_empty() {
            violations.push("nothing was acknowledged".to_owned());
        }
        violations
    }

    pub(super) fn figures(&self) -> String {
        let acknowledged = self.scene.oracle.acknowledged_records().len();
        let (records, objects) = (self.counts.len(), self.read.len());
        format!("{acknowledged} acknowledged records, {records} records in {objects} objects")
    }
}

async fn killed(run: &mut Run) {
    let mut lake = Lake::new().await;
    let mut process = lake.scene.start().await;
    let mut at_work = 0;
    for seed in run.seed..run.seed + run.runs {
        let mut random = Rng::with_seed(seed);
        if random.bool() {
            lake.bucket.faults().next(Which::any(), 3, Fault::AnswerLost);
            lake.bucket.faults().next(Which::any(), 3, Fault::SLOW_DOWN);
        }
        let padding = random.usize(0..2_000);
        let load = lake.scene.load(Shape { clients: 12, records: 5, padding });
        // From before the first object on, to well into the uploads.
        tokio::time::sleep(Duration::from_micros(random.u64(50_000..=1_500_000))).await;
        process.kill();
        at_work += u64::from(0 < load.stop().await.acknowledged);
        process = lake.scene.start().await;
        if let Some(panic) = server::panicked(&process) {
            run.violation(seed, panic);
        }
        run.done(1);
    }
    lake.bucket.faults().clear();
    for violation in lake.settle().await {
        run.violation(run.seed, violation);
    }
    process.stop(ENDED_WITHIN).await;
    if at_work < run.runs / 2 {
        run.violation(run.seed, format!("only {at_work} kills hit a server at work"));
    }
    let slowest = lake.scene.slowest_start;
    if READY_WITHIN < slowest {
        run.violation(run.seed, format!("ready only after {slowest:?}"));
    }
    run.note(format!("{}, slowest start {slowest:.1?}", lake.figures()));
}

async fn outage(run: &mut Run) {
    let mut lake = Lake::new().await;
    let mut process = lake.scene.start().await;
    let load = lake.scene.load(Shape { clients: 4, records: 5, padding: 2_000 });
    load.advance(50, SOON).await;
    lake.bucket.faults().always(Which::any(), Fault::Close);
    let (mut early_bytes, mut late_bytes) = (0, 0);
    for second in 0..run.runs {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let most = if second < run.runs.div_ceil(3) { &mut early_bytes } else { &mut late_bytes };
        *most = server::resident_bytes(process.id()).max(*most);
        run.done(1);
    }
    if early_bytes + MEMORY_MAX < late_bytes {
        let (from, to) = (early_bytes / MIB, late_bytes / MIB);
        run.violation(run.seed, format!("memory grows from {from} MiB to {to} MiB"));
    }
    if process.metrics().await.sum("gophership_s3_out", &[("sink", "lake")]) != 1 {
        run.violation(run.seed, "the metrics do not say that the bucket is out");
    }
    lake.bucket.faults().clear();
    load.advance(20, UPLOADED_WITHIN).await;
    let refused = load.stop().await.refusals.len();
    let violations = lake.settle().await;
    for violation in violations.into_iter().chain(server::panicked(&process)) {
        run.violation(run.seed, violation);
    }
    process.stop(ENDED_WITHIN).await;
    run.note(format!(
        "{}, {refused} requests refused, {} MiB in the first third, then {} MiB at most",
        lake.figures(),
        early_bytes / MIB,
        late_bytes / MIB,
    ));
}

async fn round_trip(run: &mut Run) {
    let within = SOON + Duration::from_secs(run.runs);
    let (bucket, _dir) = empty_bucket();
    let is_much = MUCH_FROM <= run.runs;
    let (shape, segment, age) = if is_much { (MUCH, "16MiB", "5s") } else { (MIXED, "1MiB", "1s") };
    // The archive is background work and may lag by all of it: a full vault would refuse the rest.
    let vault = format!("{}MiB", run.runs + 1_024);
    let yaml = ARCHIVE.replace("$VAULT", &vault).replace("$SEGMENT", segment).replace("$AGE", age);
    let mut scene = Scene::new(&yaml).await;
    scene.site.env = bucket.environment();
    let mut process = scene.start().await;
    let of_each = Signal::ALL.map(|signal| {
        let request = scene.traffic.padded(signal, shape.records, shape.padding);
        request.wire.len() as u64
    });
    let requests = (run.runs * MIB * of_each.len() as u64).div_ceil(of_each.iter().sum());
    let begun = Instant::now();
    let load = scene.load(shape);
    load.advance(requests, within).await;
    let seen = load.stop().await;
    let (acknowledged, refused) = (seen.acknowledged, seen.refusals.len());
    let manifests = all_archived(&bucket, acknowledged, 2 * within).await;
    let archived = begun.elapsed();
    process.stop(within).await;
    let mut opened = 0;
    if run.can("with the zstd tool") {
        for (key, manifest) in &manifests {
            match opens(&bucket, key, manifest) {
                Ok(()) => opened += 1,
                Err(violation) => run.violation(run.seed, violation),
            }
        }
    }

    let begun = Instant::now();
    let mut back = Scene::new(REPLAY).await;
    back.site.env = bucket.environment();
    let mut process = Process::spawn(&back.site);
    let status = process.exit(within).await;
    let replayed = begun.elapsed();
    if !status.success() {
        run.violation(run.seed, format!("the replay ended with {status}"));
    }
    let audit = scene.oracle.audit(&back.backend);
    let (missing, altered, twice) = (audit.missing.len(), audit.altered, audit.duplicates);
    if 0 < missing as u64 + altered + twice {
        let what = format!("{missing} records missing, {altered} requests altered, {twice} twice");
        run.violation(run.seed, what);
    }
    run.done(run.runs);
    run.note(format!(
        "{acknowledged} requests of {} KiB, {refused} refused, in {} segments, {opened} of them opened by the zstd tool, {} MiB of objects, archived after {archived:.1?}, back after {replayed:.1?}",
        (of_each.iter().sum::<u64>() / of_each.len() as u64) >> 10,
        manifests.len(),
        manifests.values().map(|manifest| manifest.object.bytes).sum::<u64>() / MIB,
    ));
}

/// Waits until so many requests are archived, and returns the manifests of their segments.
async fn all_archived(
    bucket: &S3Server,
    requests: u64,
    within: Duration,
) -> HashMap<String, Manifest> {
    let begun = Instant::now();
    let mut manifests: HashMap<String, Manifest> = HashMap::new();
    while manifests.values().map(|manifest| manifest.requests).sum::<u64>() < requests {
        assert!(begun.elapsed() < within, "not all is archived within {within:?}");
        tokio::time::sleep(LOOK_EVERY).await;
        for key in keys(bucket, "/manifest/") {
            if !manifests.contains_key(&key) {
                manifests.insert(key.clone(), manifest(bucket, &key));
            }
        }
    }
    manifests
}

/// A server with an empty bucket, and where it keeps its objects.
fn empty_bucket() -> (S3Server, TempDir) {
    let dir = tempfile::tempdir().expect("there is a place for a bucket");
    let server = S3Server::start(dir.path()).expect("there is a port");
    server.create_bucket(BUCKET).expect("a folder is made");
    (server, dir)
}

/// The keys of objects with this in them, without the files that the server keeps for itself.
fn keys(bucket: &S3Server, part: &str) -> Vec<String> {
    let objects = bucket.objects(BUCKET).expect("the folder of a bucket is read");
    let is_object = |key: &String| !key.contains("/.") && !key.starts_with('.');
    objects.into_keys().filter(is_object).filter(|key| key.contains(part)).collect()
}

/// A manifest, which has the published form and nothing else.
fn manifest(bucket: &S3Server, key: &str) -> Manifest {
    let bytes = fs::read(bucket.object_path(BUCKET, key)).expect("an object is read");
    let manifest = Manifest::read(&bytes, key).unwrap_or_else(|error| panic!("{key}: {error}"));
    assert!(manifest.to_bytes() == bytes, "{key} is not in the published form");
    manifest
}

/// Opens the object of a segment with the stock tool, and compares it with what the manifest says.
fn opens(bucket: &S3Server, key: &str, manifest: &Manifest) -> Result<(), String> {
    let prefix: Prefix = "archive".parse().map_err(|error| format!("the prefix: {error}"))?;
    let object = manifest.object_key(&prefix, key).map_err(|error| error.to_string())?;
    let mut tool = Command::new("zstd");
    let tool = tool.arg("-dcq").arg(bucket.object_path(BUCKET, &object));
    let child = tool.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("the zstd tool does not start: {error}"))?;
    let mut hasher = blake3::Hasher::new();
    if let Some(out) = child.stdout.take() {
        hasher.update_reader(out).map_err(|error| format!("{object}: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("{object}: {error}"))?;
    if !status.success() {
        return Err(format!("{object}: the zstd tool ended with {status}"));
    }
    if *hasher.finalize().as_bytes() != manifest.raw.blake3 {
        return Err(format!("{object}: it is not what its manifest says"));
    }
    Ok(())
}

/// The requests of an object of OTLP protobuf: each with its length before it.
fn requests(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = prost::decode_length_delimiter(&mut bytes).expect("a length");
        let (request, rest) = bytes.split_at(len);
        found.push(request);
        bytes = rest;
    }
    found
}
