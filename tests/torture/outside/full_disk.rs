//! R1: the disk of the real server fills up, stays full, and has space again.

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;

use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::SteadyLoad;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::disk::Kind;
use super::disk::Place;
use super::server;
use super::server::Scene;

const MIB: u64 = 1 << 20;
/// What the vault may use of the small disk.
const LEFT: u64 = 12 * MIB;
const FULL_WITHIN: Duration = Duration::from_secs(20);
const TAKES_WITHIN: Duration = Duration::from_secs(2);
/// Retention runs once a second, after the cursor was saved.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// Disks of the long tier that are filled at the same time.
const DISKS: u64 = 4;
/// A full disk is sensed as so full; the last segments of it the vault does not use.
const SENSED_MIN: f64 = 0.85;
/// Refusals that make a disk full, not only slow.
const REFUSALS: usize = 4;

pub(super) const SUITE: Suite = Suite {
    id: "R1",
    title: "ENOSPC on ext4 and tmpfs: refused with RetryInfo, taking again within 2 s, nothing acknowledged is lost",
    fast: 20,
    long: 200,
    run,
};

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, ack: journaled, patience: 50ms, answer_within: 1s, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 100ms }
  vault: { type: raw_vault, path: "$VAULT", max_size: 256MiB, segment_size: 1MiB, staging: 2MiB }
"#;

#[derive(Default)]
struct Sums {
    acknowledged: u64,
    refused: usize,
    slowest: Duration,
}

fn run(run: &mut Run) {
    let is_fast = run.tier == Tier::Fast;
    let hold = Duration::from_secs(if is_fast { 1 } else { 30 });
    // Held so long, several disks at once stand still most of the time.
    let disks = if is_fast { 2 } else { DISKS };
    let share = run.runs.div_ceil(disks);
    let on = |kind: Option<Kind>, seeds: std::ops::Range<u64>| {
        let fill = move || server::block_on(fill_often(kind, seeds, hold));
        Box::new(fill) as server::Part<'_, (u64, Sums)>
    };
    let end = run.seed + run.runs;
    let parts = (0..disks).map(|disk| {
        let first = end.min(run.seed + disk * share);
        let kind = (disk % 2 == 0).then_some(Kind::Ext4);
        on(kind, first..end.min(first + share))
    });
    let parts = parts.collect();
    for (cycles, sums) in server::at_once(run, parts) {
        run.done(cycles);
        run.note(format!(
            "{} requests kept, {} refused, taking again after {:?} at most",
            sums.acknowledged, sums.refused, sums.slowest,
        ));
    }
}

/// Fills a small disk once for each seed; without a kind it is a tmpfs.
async fn fill_often(
    kind: Option<Kind>,
    seeds: std::ops::Range<u64>,
    hold: Duration,
) -> (Vec<(u64, String)>, (u64, Sums)) {
    let mut place = Place::new();
    let mount = match kind {
        Some(kind) => {
            let image = place.dir().join("image");
            kind.make(&image, 64 * MIB);
            place.attach("mount", &image)
        }
        None => place.tmpfs("mount", 48 * MIB),
    };
    let vault = mount.join("vault");
    let mut scene = Scene::new(&YAML.replace("$VAULT", &vault.display().to_string())).await;
    let mut process = scene.start().await;
    let (mut violations, mut sums, mut cycles) = (Vec::new(), Sums::default(), 0);
    for seed in seeds {
        let mut cycle = Cycle { scene: &mut scene, ballast: mount.join("ballast"), hold };
        let found = cycle.run(&mut process, &mut Rng::with_seed(seed), &mut sums).await;
        let name = kind.map_or("tmpfs".to_owned(), |kind| format!("{kind:?}"));
        violations.extend(found.into_iter().map(|what| (seed, format!("{name}: {what}"))));
        cycles += 1;
        if violations.len() > 10 {
            break;
        }
    }
    sums.acknowledged = scene.oracle.audit(&scene.backend).acknowledged;
    (violations, (cycles, sums))
}

/// One disk that fills and has space again.
struct Cycle<'a> {
    scene: &'a mut Scene,
    ballast: PathBuf,
    hold: Duration,
}

impl Cycle<'_> {
    async fn run(
        &mut self,
        process: &mut Process,
        random: &mut Rng,
        sums: &mut Sums,
    ) -> Vec<String> {
        let mut violations = Vec::new();
        server::remove_ballast(&self.ballast);
        if !self.has_let_go().await {
            violations.push(format!("{LET_GO_WITHIN:?} after delivery the disk is still in use"));
        }
        self.scene.backend.set(Mode::Gone);
        server::ballast(&self.ballast, LEFT);
        let shape = Shape { clients: 4, records: 1, padding: random.usize(8_000..200_000) };
        let load = self.scene.load(shape);
        if !refused(&load, FULL_WITHIN).await {
            violations.push(format!("still taking after {FULL_WITHIN:?}"));
        }
        tokio::time::sleep(self.hold).await;
        let place = [("kind", "disk"), ("place", "vault")];
        let sensed = process.metrics().await.pressure(&place);
        if sensed < SENSED_MIN {
            violations.push(format!("the full disk is sensed as {sensed:.3} of 1"));
        }
        let is_restarted = random.u8(0..3) == 0;
        let load = if is_restarted {
            let seen = load.stop().await;
            violations.extend(server::unhinted(&seen.refusals));
            sums.refused += seen.refusals.len();
            process.kill();
            // What little the disk has left goes as well.
            let last = self.ballast.with_extension("last");
            server::ballast(&last, 0);
            *process = self.scene.start().await;
            let load = self.scene.load(shape);
            if !refused(&load, FULL_WITHIN).await {
                violations.push("a full disk was not noticed after a restart".to_owned());
            }
            server::remove_ballast(&last);
            load
        } else {
            load
        };
        let begun = Instant::now();
        let before = load.acknowledged();
        // Space comes from somebody else, or from what is delivered.
        if random.bool() {
            server::remove_ballast(&self.ballast);
        } else {
            self.scene.backend.set(Mode::Accept);
        }
        let took = takes_again(&load, before, begun).await;
        let took = took.unwrap_or(Duration::MAX);
        sums.slowest = sums.slowest.max(took);
        if TAKES_WITHIN < took {
            violations.push(format!("not taking {TAKES_WITHIN:?} after there is space: {took:?}"));
        }
        self.scene.backend.set(Mode::Accept);
        let seen = load.stop().await;
        violations.extend(server::unhinted(&seen.refusals));
        sums.refused += seen.refusals.len();
        if process.has_ended() {
            violations.push("the server ended".to_owned());
        }
        violations.extend(server::panicked(process));
        violations.extend(self.scene.settle(DRAINED_WITHIN, "after there was space").await);
        violations
    }

    /// Waits until what was delivered has made room for a ballast: a disk that is full without one is
    /// full of what the backend has not, and has no space when the ballast goes.
    async fn has_let_go(&self) -> bool {
        let disk = self.ballast.parent().expect("a file lies in a directory");
        let begun = Instant::now();
        while server::free_bytes(disk) < 2 * LEFT {
            if LET_GO_WITHIN < begun.elapsed() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }
}

/// Waits until so many requests in a row were refused that the disk is full.
async fn refused(load: &SteadyLoad, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        let (refused, acknowledged) = (load.refused(), load.acknowledged());
        tokio::time::sleep(Duration::from_millis(250)).await;
        if REFUSALS <= load.refused() - refused && load.acknowledged() == acknowledged {
            return true;
        }
    }
    false
}

/// How long it takes until a request is acknowledged.
async fn takes_again(load: &SteadyLoad, before: u64, since: Instant) -> Option<Duration> {
    while since.elapsed() < 5 * TAKES_WITHIN {
        if before + 1 < load.acknowledged() {
            return Some(since.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}
