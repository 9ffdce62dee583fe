//! R2: the real server starts with a full disk, and with a backlog of thousands of segments.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use gophership_otlp::Signal;
use gophership_vault::AppendError;
use gophership_vault::Durability;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use crate::harness::Mode;
use crate::harness::Shape;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Kind;
use super::disk::Place;
use super::server;
use super::server::READY_WITHIN;
use super::server::Scene;

const MIB: u64 = 1 << 20;
const SEGMENTS: u64 = 5_000;
const RESIDENT_MAX: u64 = 64 * MIB;
const FILES_MAX: usize = 1_024;
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

pub(super) const SUITE: Suite = Suite {
    id: "R2",
    title: "start with 0 bytes free, and with 5,000 segments: ready within 1 s + 1 s/GiB, 64 MiB over idle, 1,024 files",
    fast: 20,
    long: 60,
    run,
};

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 100ms }
  vault: { type: raw_vault, path: "$VAULT", max_size: 16GiB, segment_size: 1MiB, staging: 2MiB }
"#;

fn run(run: &mut Run) {
    // The first run has the segments, in the long tier the second one has gigabytes.
    let mut first = run.seed;
    let end = run.seed + run.runs;
    server::block_on(backlog(run, first, SEGMENTS, 64 << 10, Place::new()));
    run.done(1);
    first += 1;
    if run.tier == Tier::Long && first < end {
        server::block_on(backlog(run, first, 64, 64 * MIB, Place::on_disk()));
        run.done(1);
        first += 1;
    }
    server::block_on(full(run, first..end));
}

/// Starts again and again on a disk without a byte.
async fn full(run: &mut Run, seeds: std::ops::Range<u64>) {
    let mut place = Place::new();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, 64 * MIB);
    let mount = place.attach("mount", &image);
    let ballast = mount.join("ballast");
    let vault = mount.join("vault").display().to_string();
    let mut scene = Scene::new(&YAML.replace("$VAULT", &vault)).await;
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        scene.backend.set(Mode::Gone);
        let mut process = scene.start().await;
        let shape = Shape { clients: 4, records: 1, padding: random.usize(100..40_000) };
        let load = scene.load(shape);
        load.advance(random.u64(1..200), Duration::from_secs(20)).await;
        process.kill();
        load.stop().await;
        server::ballast(&ballast, 0);
        let free = server::free_bytes(&mount);
        if free > 4 * MIB {
            run.violation(seed, format!("the disk is not full: {free} bytes are free"));
        }
        scene.slowest_start = Duration::ZERO;
        let process = scene.start().await;
        if READY_WITHIN < scene.slowest_start {
            run.violation(seed, format!("ready only after {:?}", scene.slowest_start));
        }
        scene.backend.set(Mode::Accept);
        for violation in scene.settle(DRAINED_WITHIN, "started on a full disk").await {
            run.violation(seed, violation);
        }
        if let Some(panic) = server::panicked(&process) {
            run.violation(seed, panic);
        }
        drop(process);
        server::remove_ballast(&ballast);
        run.done(1);
    }
}

/// Starts on a backlog; delivers all of it.
async fn backlog(run: &mut Run, seed: u64, segments: u64, segment_bytes: u64, place: Place) {
    let dir = place.dir().join("vault");
    let idle_dir = place.dir().join("idle");
    let limits = ["prlimit", &format!("--nofile={FILES_MAX}:{FILES_MAX}")].map(str::to_owned);

    let mut idle = Scene::new(&YAML.replace("$VAULT", &idle_dir.display().to_string())).await;
    let process = idle.start().await;
    let idle_bytes = server::resident_bytes(process.id());
    drop(process);

    let mut scene = Scene::new(&YAML.replace("$VAULT", &dir.display().to_string())).await;
    let begun = Instant::now();
    let bytes = make(&scene, &dir, segments, segment_bytes);
    let made_in = begun.elapsed();
    scene.site.before = limits.to_vec();
    scene.backend.set(Mode::Gone);
    let process = scene.start().await;
    let allowed = READY_WITHIN + READY_WITHIN.mul_f64(gib(bytes));
    let started_in = scene.slowest_start;
    if allowed < started_in {
        run.violation(seed, format!("ready only after {started_in:?}, {allowed:?} are allowed"));
    }
    let mut most_bytes = server::resident_bytes(process.id());
    let mut most_files = server::open_files(process.id());
    scene.backend.set(Mode::Accept);
    let deadline = Instant::now() + DRAINED_WITHIN;
    let backlog = scene.oracle.audit(&scene.backend).acknowledged;
    while scene.backend.requests() < backlog && Instant::now() < deadline {
        most_bytes = most_bytes.max(server::resident_bytes(process.id()));
        most_files = most_files.max(server::open_files(process.id()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for violation in scene.settle(Duration::from_secs(1), "a backlog").await {
        run.violation(seed, violation);
    }
    let over = most_bytes.saturating_sub(idle_bytes);
    if RESIDENT_MAX < over {
        run.violation(seed, format!("{} MiB over idle", over / MIB));
    }
    run.note(format!(
        "{segments} segments, {:.2} GiB, made in {made_in:.0?}: ready in {started_in:.0?}, {} MiB over idle ({} MiB), {most_files} files",
        gib(bytes),
        over / MIB,
        idle_bytes / MIB,
    ));
}

fn gib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / MIB).unwrap_or(u32::MAX)) / 1024.0
}

/// Makes a vault of so many segments, as the server would have left it when it was killed; returns
/// its size.
fn make(scene: &Scene, dir: &Path, segments: u64, segment_bytes: u64) -> u64 {
    type Done = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;
    let options = Options {
        max_bytes: 16 << 30,
        segment_bytes,
        durability: Durability::Written,
        record_bytes_max: 4 * MIB,
        ..Options::new(dir)
    };
    let (writer, _) = Writer::<Done>::open(options).expect("an empty directory becomes a vault");
    // One record fills a small segment, sixteen a large one.
    let records = if segment_bytes < MIB { 1 } else { 16 };
    let padding = usize::try_from(segment_bytes / records).unwrap_or_default();
    let padding = padding * if records == 1 { 5 } else { 7 } / 8;
    let acknowledged = Arc::new(AtomicU64::new(0));
    for _ in 0..segments * records {
        let parcel = scene.traffic.padded(Signal::Logs, 1, padding);
        scene.oracle.sends(&parcel);
        scene.oracle.acknowledged(&parcel);
        let record = NewRecord {
            signal: parcel.signal as u8,
            received_unix_ns: 1,
            attrs: &1_u64.to_le_bytes(),
            payload: &parcel.wire,
        };
        let mut done: Done = count(&acknowledged);
        while let Err(refused) = writer.try_append(record, done) {
            done = refused.done;
            super::pause(Duration::from_micros(200));
        }
    }
    writer.close().expect("a vault on a healthy disk closes");
    let stats = writer.stats();
    assert_eq!(acknowledged.load(Ordering::SeqCst), segments * records, "all was taken");
    assert!(stats.segments >= segments * 9 / 10, "{} segments only", stats.segments);
    stats.used_bytes
}

fn count(acknowledged: &Arc<AtomicU64>) -> Box<dyn FnOnce(Result<Receipt, AppendError>) + Send> {
    let acknowledged = Arc::clone(acknowledged);
    Box::new(move |result| {
        acknowledged.fetch_add(u64::from(result.is_ok()), Ordering::SeqCst);
    })
}
