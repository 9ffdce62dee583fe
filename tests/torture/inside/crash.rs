//! Power cuts at every moment: of a working day (C6), and of recoveries after recoveries (C7).

use gophership_vault::recover_on;
use gophership_vault_sim::ChangeFate;
use gophership_vault_sim::Op;
use gophership_vault_sim::Playback;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::oracle;
use super::oracle::Ids;
use super::oracle::Promised;
use super::script;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![
        Suite {
            id: "C6",
            title: "power cut after each change, with every subset of what was not synced, torn at \
                    sectors: nothing acknowledged is lost, altered or invented",
            fast: 100_000,
            long: 10_000_000,
            run: crash_states,
        },
        Suite {
            id: "C7",
            title: "power cut during recovery, three deep: nothing acknowledged is lost, and all ways end with the same records",
            fast: 50,
            long: 1_000,
            run: nested,
        },
    ]
}

/// Up to this many changes every subset of them is tried, beyond it as many at random.
fn exhaustive_max(tier: Tier) -> u32 {
    if tier == Tier::Fast { 6 } else { 10 }
}

/// Calls `visit` with the fates to be tried at one moment.
fn each_fate(
    playback: &Playback,
    exhaustive_max: u32,
    random: &mut fastrand::Rng,
    mut visit: impl FnMut(&[ChangeFate]),
) {
    let len = playback.loose_len();
    let is_exhaustive = len <= exhaustive_max as usize;
    let subsets = if is_exhaustive { 1_u64 << len } else { 1 << exhaustive_max };
    let mut fates = vec![ChangeFate::Lost; len];
    for subset in 0..subsets {
        let kept = match (is_exhaustive, subset) {
            (true, _) => subset,
            (false, 0) => 0,
            (false, 1) => u64::MAX,
            (false, _) => random.u64(..),
        };
        for (idx, fate) in fates.iter_mut().enumerate() {
            let is_kept = kept >> (idx % 64) & 1 == 1;
            *fate = if is_kept { ChangeFate::Kept } else { ChangeFate::Lost };
        }
        visit(&fates);
    }
    // Each change that can tear is torn, with a random rest.
    for torn in (0..len).filter(|idx| playback.can_tear(*idx)) {
        for _ in 0..4 {
            for (idx, fate) in fates.iter_mut().enumerate() {
                let is_torn = idx == torn || (playback.can_tear(idx) && random.u8(0..4) == 0);
                *fate = match (is_torn, random.bool()) {
                    (true, _) => ChangeFate::Torn(random.u64(..)),
                    (false, true) => ChangeFate::Kept,
                    (false, false) => ChangeFate::Lost,
                };
            }
            visit(&fates);
        }
    }
}

fn crash_states(run: &mut Run) {
    let exhaustive_max = exhaustive_max(run.tier);
    let (mut days, mut done, mut moments, mut torn_tails, mut faults) = (0, 0, 0_u64, 0, 0);
    while done < run.runs {
        let seed = run.seed + days;
        days += 1;
        let script = script::play(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        script.walk(|playback, promised, op| {
            // What a sync leaves was, with less promised, one of the subsets before it.
            if matches!(op, Op::Sync { .. } | Op::SyncDir { .. }) {
                return true;
            }
            moments += 1;
            each_fate(playback, exhaustive_max, &mut random, |fates| {
                done += 1;
                let image = playback.after_power_cut(fates);
                if done % 16 == 0
                    && let Err(what) = oracle::read_offline(&image, &script.sent)
                {
                    run.violation(seed, format!("{what}; after {op:?} with {fates:?}"));
                }
                match oracle::check(&image, &script.sent, promised) {
                    Ok(found) => {
                        torn_tails += found.report.torn_tails;
                        faults += found.report.faults.len() as u64;
                    }
                    Err(what) => {
                        run.violation(seed, format!("{what}; after {op:?} with {fates:?}"));
                    }
                }
            });
            true
        });
    }
    run.done(done);
    run.note(format!("{days} days, {moments} moments, {torn_tails} torn tails, {faults} faults"));
}

/// How deep recoveries are interrupted.
const DEPTH: u32 = 3;
/// Ways down that are tried for each crashed disk.
const WAYS: u32 = 20;

fn random_fates(playback: &Playback, random: &mut fastrand::Rng) -> Vec<ChangeFate> {
    let fate = |idx| match random.u8(0..5) {
        0 | 1 => ChangeFate::Lost,
        2 if playback.can_tear(idx) => ChangeFate::Torn(random.u64(..)),
        _ => ChangeFate::Kept,
    };
    (0..playback.loose_len()).map(fate).collect()
}

/// A disk as a power cut at a random moment of a recording leaves it.
pub(super) fn random_cut(
    recording: &gophership_vault_sim::Recording,
    random: &mut fastrand::Rng,
) -> SimFileSystem {
    let at = random.usize(0..=recording.ops().len());
    let mut playback = recording.play();
    for _ in 0..at {
        playback.step();
    }
    playback.after_power_cut(&random_fates(&playback, random))
}

/// Recovers a disk, interrupted at a random change.
fn interrupted(files: &SimFileSystem, random: &mut fastrand::Rng) -> SimFileSystem {
    files.record();
    // An error is for the last recovery to tell.
    drop(recover_on(&files.shared(), &bench::dir()));
    random_cut(&files.recorded(), random)
}

fn nested(run: &mut Run) {
    let mut compared = 0;
    for seed in run.seed..run.seed + run.runs {
        let mut random = fastrand::Rng::with_seed(seed);
        let script = script::play(seed);
        // Half of the disks end in the middle of the day, half at its end.
        let len = script.recording.ops().len();
        let at = if random.bool() { random.usize(0..=len) } else { len };
        let (playback, promised) = script.moment(at);
        let crashed = playback.after_power_cut(&random_fates(&playback, &mut random));
        if random.bool() {
            tear_open_segment(&crashed, &mut random);
        }
        let direct = ids_of(&crashed.fork(), &script.sent, &promised);
        if let Err(what) = &direct {
            run.violation(seed, format!("without another cut: {what}"));
        }
        compared += u64::from(promised.acked != Ids::default());
        for _ in 0..WAYS {
            let mut disk = crashed.fork();
            for _ in 0..DEPTH {
                disk = interrupted(&disk, &mut random);
            }
            match ids_of(&disk, &script.sent, &promised) {
                Err(what) => run.violation(seed, what),
                nested if nested != direct => {
                    run.violation(seed, format!("{nested:?} instead of {direct:?}"));
                }
                Ok(_) => {}
            }
        }
        run.done(1);
    }
    run.note(format!("{compared} disks with acknowledged records"));
    if compared < run.runs / 2 {
        run.violation(run.seed, format!("only {compared} disks had acknowledged records"));
    }
}

/// Writes garbage behind what an open segment holds, as a torn group would be.
pub(super) fn tear_open_segment(files: &SimFileSystem, random: &mut fastrand::Rng) {
    for (path, _) in files.paths() {
        let Some(bytes) = files.bytes_of(&path) else { continue };
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let start = end.next_multiple_of(4096);
        if bench::has_extension(&path, "open") && 4096 < end && start + 3000 < bytes.len() {
            let garbage: Vec<u8> = (0..3000).map(|_| random.u8(1..)).collect();
            files.poke(&path, start as u64, &garbage);
        }
    }
}

/// What is there after a recovery, which is compared with what was promised.
fn ids_of(files: &SimFileSystem, sent: &[Vec<u8>], promised: &Promised) -> Result<Ids, String> {
    oracle::check(files, sent, promised).map(|found| found.ids)
}
