//! C1 and C8: the real server is killed, or asked to end, under load.

use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;

use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Shape;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::server::READY_WITHIN;
use super::server::Scene;

/// What a kill may repeat, as website/durability.md promises: the window of the replay, and what was
/// delivered in the last 100 ms, which is never more than 1,000 requests.
const DUPLICATES_PER_KILL_MAX: u64 = 64 + 1_000;
/// And on average: a third of the kills hits no replay, and few hit one at full speed.
const DUPLICATES_ON_AVERAGE_MAX: u64 = 256;
/// Until everything is delivered after a restart.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// Kills of one vault before a new one is made, so that comparing stays quick.
const KILLS_PER_VAULT: u64 = 20;
const ENDED_WITHIN: Duration = Duration::from_secs(10);

pub(super) const KILLED: Suite = Suite {
    id: "C1",
    title: "kill -9 of the server under load, written and synced: nothing acknowledged is lost or altered",
    fast: 100,
    long: 3_000,
    run: killed,
};

pub(super) const STOPPED: Suite = Suite {
    id: "C8",
    title: "SIGTERM of the server under load: nothing lost, nothing twice, ended within 10 s",
    fast: 20,
    long: 200,
    run: stopped,
};

const YAML: &str = r#"
shutdown: { grace: 2s }
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    ack: $ACK
    patience: $PATIENCE
    pivot: vault
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    retry: { min: 20ms, max: 100ms }
  vault: { type: raw_vault, durability: $LEVEL, max_size: 256MiB, segment_size: 1MiB, staging: 2MiB }
"#;

fn yaml(ack: &str, patience: &str, level: &str) -> String {
    YAML.replace("$ACK", ack).replace("$PATIENCE", patience).replace("$LEVEL", level)
}

/// Figures of a suite.
#[derive(Default)]
struct Sums {
    acknowledged: u64,
    duplicates: u64,
    slowest_start: Duration,
    slowest_end: Duration,
    /// Rounds in which something was acknowledged.
    at_work: u64,
}

fn killed(run: &mut Run) {
    let mut sums = Sums::default();
    let end = run.seed + run.runs;
    let mut first = run.seed;
    let mut vaults = 0;
    while first < end {
        let kills = KILLS_PER_VAULT.min(end - first).min(run.runs.div_ceil(4));
        let level = if vaults % 2 == 0 { "synced" } else { "written" };
        let ack = if vaults % 4 < 2 { "delivered" } else { "journaled" };
        server::block_on(kill_often(run, first..first + kills, (level, ack), &mut sums));
        vaults += 1;
        first += kills;
    }
    run.note(format!(
        "{} acknowledged requests compared, {} duplicates, slowest start {:?}",
        sums.acknowledged, sums.duplicates, sums.slowest_start,
    ));
    if DUPLICATES_ON_AVERAGE_MAX * run.runs < sums.duplicates {
        let what = format!("{} duplicates after {} kills", sums.duplicates, run.runs);
        run.violation(run.seed, what);
    }
    if sums.at_work < run.runs / 2 {
        run.violation(run.seed, format!("only {} kills hit a server at work", sums.at_work));
    }
}

/// Kills one vault's server once for each seed.
async fn kill_often(
    run: &mut Run,
    seeds: std::ops::Range<u64>,
    (level, ack): (&str, &str),
    sums: &mut Sums,
) {
    let mut scene = Scene::new(&yaml(ack, "30ms", level)).await;
    let mut process = scene.start().await;
    let (mut kills_since, mut duplicates) = (0, 0);
    let last = seeds.end - 1;
    for seed in seeds {
        let context = format!("{level}, {ack}");
        let mut random = Rng::with_seed(seed);
        sums.at_work += u64::from(kill_once(&mut scene, &mut process, &mut random).await > 0);
        kills_since += 1;
        if let Some(panic) = server::panicked(&process) {
            run.violation(seed, panic);
        }
        if READY_WITHIN < scene.slowest_start {
            let took = std::mem::take(&mut scene.slowest_start);
            sums.slowest_start = sums.slowest_start.max(took);
            run.violation(seed, format!("{context}: ready only after {took:?}"));
        }
        if random.u8(0..4) == 0 || seed == last {
            for violation in scene.settle(DRAINED_WITHIN, &context).await {
                run.violation(seed, violation);
            }
            scene.quiet(&process).await;
            let audit = scene.oracle.audit(&scene.backend);
            let repeated = audit.duplicates - duplicates;
            if DUPLICATES_PER_KILL_MAX * kills_since < repeated {
                run.violation(seed, format!("{context}: {repeated} duplicates"));
            }
            (kills_since, duplicates) = (0, audit.duplicates);
        }
        run.done(1);
    }
    let audit = scene.oracle.audit(&scene.backend);
    sums.acknowledged += audit.acknowledged;
    sums.duplicates += audit.duplicates;
    sums.slowest_start = sums.slowest_start.max(scene.slowest_start);
}

/// Loads the server, kills it at a random moment and starts it again.
async fn kill_once(scene: &mut Scene, process: &mut Process, random: &mut Rng) -> u64 {
    match random.u8(0..3) {
        0 => scene.backend.set(Mode::Gone),
        1 => scene.backend.set(Mode::Unavailable),
        _ => {}
    }
    let records = random.u64(1..20);
    let shape = Shape { clients: 8, records, padding: random.usize(0..2_000) };
    let load = scene.load(shape);
    // More often early than late: then there is more of it in the same time.
    let fraction = random.f64() * random.f64();
    tokio::time::sleep(Duration::from_millis(5) + Duration::from_millis(495).mul_f64(fraction))
        .await;
    process.kill();
    let seen = load.stop().await;
    *process = scene.start().await;
    scene.backend.set(Mode::Accept);
    seen.acknowledged
}

fn stopped(run: &mut Run) {
    let mut sums = Sums::default();
    let seeds = run.seed..run.seed + run.runs;
    for (ack, part) in [("delivered", 0), ("journaled", 1)] {
        let seeds: Vec<u64> = seeds.clone().filter(|seed| seed % 2 == part).collect();
        server::block_on(stop_often(run, &seeds, ack, &mut sums));
    }
    run.note(format!(
        "{} acknowledged requests compared, slowest end {:?}",
        sums.acknowledged, sums.slowest_end,
    ));
}

async fn stop_often(run: &mut Run, seeds: &[u64], ack: &str, sums: &mut Sums) {
    // A request that is slow for any other reason than the backend must not be sent twice.
    let mut scene = Scene::new(&yaml(ack, "5s", "synced")).await;
    let mut process = scene.start().await;
    let mut duplicates = 0;
    for &seed in seeds {
        let mut random = Rng::with_seed(seed);
        let mode = match random.u8(0..3) {
            0 => Mode::Accept,
            1 => Mode::Slow(Duration::from_millis(random.u64(1..50))),
            _ => Mode::Unavailable,
        };
        let shape = Shape { clients: 8, records: 5, padding: random.usize(0..2_000) };
        let load = scene.load(shape);
        tokio::time::sleep(Duration::from_millis(random.u64(20..150))).await;
        scene.backend.set(mode);
        tokio::time::sleep(Duration::from_millis(random.u64(0..100))).await;
        let begun = Instant::now();
        let log = process.stop(2 * ENDED_WITHIN).await;
        let took = begun.elapsed();
        load.stop().await;
        if ENDED_WITHIN < took {
            run.violation(seed, format!("{ack}, {mode:?}: ended only after {took:?}"));
        }
        if log.contains("panicked") {
            run.violation(seed, format!("{ack}, {mode:?}: panicked"));
        }
        sums.slowest_end = sums.slowest_end.max(took);
        scene.backend.set(Mode::Accept);
        process = scene.start().await;
        let context = format!("{ack}, {mode:?}");
        for violation in scene.settle(DRAINED_WITHIN, &context).await {
            run.violation(seed, violation);
        }
        // Late duplicates come from a replay that is not at its end.
        scene.quiet(&process).await;
        let repeated = scene.oracle.audit(&scene.backend).duplicates - duplicates;
        if repeated > 0 {
            run.violation(seed, format!("{context}: {repeated} duplicates after a clean end"));
        }
        duplicates += repeated;
        run.done(1);
    }
    sums.acknowledged += scene.oracle.audit(&scene.backend).acknowledged;
}
