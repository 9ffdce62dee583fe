//! S4: the disk under the spool of a sink fills up while its bucket is out, and the bucket comes back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use gophership_s3_sim::Fault;
use gophership_s3_sim::Which;

use crate::harness::Shape;
use crate::harness::SteadyLoad;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::bucket::ENDED_WITHIN;
use super::bucket::Lake;
use super::disk::Place;
use super::server;

const MIB: u64 = 1 << 20;
/// The disk, which is smaller than what the spool may use.
const DISK: u64 = 64 * MIB;
/// What others take of it and give back.
const LEFT: u64 = 24 * MIB;
const FULL_WITHIN: Duration = Duration::from_mins(1);
/// A spool that took nothing for so long is full.
const STILL: Duration = Duration::from_secs(1);

pub(super) const SUITE: Suite = Suite {
    id: "S4",
    title: "ENOSPC under the spool of a sink while its bucket is out, also killed meanwhile: every acknowledged record is in exactly one object afterwards",
    fast: 2,
    long: 40,
    run: |run| server::block_on(fill(run)),
};

async fn fill(run: &mut Run) {
    let hold = Duration::from_secs(if run.tier == Tier::Fast { 1 } else { 10 });
    let mut place = Place::new();
    let disk = place.tmpfs("mount", DISK);
    let mut lake = Lake::new().await;
    let data = lake.scene.site.dir().join("data");
    fs::create_dir_all(&data).expect("a folder is made");
    symlink(&disk, data.join("s3")).expect("a link is made");
    let mut process = lake.scene.start().await;
    let ballast = disk.join("ballast");
    for seed in run.seed..run.seed + run.runs {
        let mut random = Rng::with_seed(seed);
        lake.bucket.faults().always(Which::any(), Fault::Close);
        // Half of the time others have most of the disk, and give it back.
        let is_shared = random.bool();
        if is_shared {
            server::ballast(&ballast, LEFT);
        }
        let shape = Shape { clients: 4, records: 1, padding: random.usize(8_000..200_000) };
        let load = lake.scene.load(shape);
        if !is_full(&load, &disk).await {
            run.violation(seed, format!("the disk is not full after {FULL_WITHIN:?}"));
        }
        tokio::time::sleep(hold).await;
        if random.bool() {
            process.kill();
            load.stop().await;
            process = lake.scene.start().await;
        } else {
            load.stop().await;
        }
        lake.bucket.faults().clear();
        if is_shared {
            server::remove_ballast(&ballast);
        }
        let violations = lake.settle().await;
        for violation in violations.into_iter().chain(server::panicked(&process)) {
            run.violation(seed, violation);
        }
        run.done(1);
    }
    process.stop(ENDED_WITHIN).await;
    run.note(lake.figures());
}

/// Waits until nothing more is taken, because the disk has hardly any room.
async fn is_full(load: &SteadyLoad, disk: &Path) -> bool {
    let began = Instant::now();
    while began.elapsed() < FULL_WITHIN {
        let before = load.acknowledged();
        tokio::time::sleep(STILL).await;
        if load.acknowledged() == before && server::free_bytes(disk) < DISK / 4 {
            return true;
        }
    }
    false
}
