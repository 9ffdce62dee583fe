//! The vault against a model: what was sent, what was told `Ok`, what was taken (M1).

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::suite::Run;
use crate::suite::Suite;

use super::world::World;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![Suite {
        id: "M1",
        title: "up to 200 random steps (append, read, save, prune, reopen, kill, power cut, flip, cut, \
                failing calls, full disk) against a list: a vault is a list that forgets nothing",
        fast: 2_000,
        long: 100_000,
        run: random_cases,
    }]
}

/// One step of a case.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Append {
        count: u64,
        len: usize,
    },
    Read {
        count: u32,
        skip_every: u64,
    },
    Save,
    Prune,
    Reopen,
    Kill,
    PowerCut {
        seed: u64,
    },
    /// A power cut, then one bit of a segment is flipped.
    Flip {
        seed: u64,
    },
    /// A power cut, then the newest segment is cut.
    Cut {
        seed: u64,
    },
    /// Syncs take that long from now on: groups gather.
    SlowSyncs {
        micros: u64,
    },
    FailSync {
        at: u64,
    },
    FailWrite {
        at: u64,
    },
    NoSpace {
        at: u64,
    },
    DiskFull,
    SpaceBack,
}

fn step(random: &mut fastrand::Rng) -> Step {
    match random.u32(0..43) {
        0..=13 => Step::Append {
            count: random.u64(1..6),
            len: if random.u8(0..6) == 0 {
                random.usize(20_000..60_000)
            } else {
                random.usize(0..9000)
            },
        },
        14..=22 => Step::Read { count: random.u32(1..12), skip_every: random.u64(2..9) },
        23..=26 => Step::Save,
        27..=28 => Step::Prune,
        29..=30 => Step::Reopen,
        31 => Step::Kill,
        32..=33 => Step::PowerCut { seed: random.u64(..) },
        34 => Step::Flip { seed: random.u64(..) },
        35 => Step::Cut { seed: random.u64(..) },
        36..=37 => Step::FailSync { at: random.u64(1..4) },
        38 => Step::FailWrite { at: random.u64(1..4) },
        39 => Step::NoSpace { at: random.u64(1..4) },
        40 => Step::DiskFull,
        41 => Step::SlowSyncs { micros: random.u64(0..2) * 50 },
        _ => Step::SpaceBack,
    }
}

fn steps(seed: u64) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let len = if random.u8(0..16) == 0 { random.usize(40..=200) } else { random.usize(1..40) };
    (0..len).map(|_| step(&mut random)).collect()
}

/// Runs one case to its end; a panic is what it says.
fn run_case(steps: &[Step]) -> Result<(), String> {
    let ended = catch_unwind(AssertUnwindSafe(|| run_steps(steps)));
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn run_steps(steps: &[Step]) -> Result<(), String> {
    let mut world = World::open()?;
    for step in steps {
        world.apply(*step).map_err(|what| format!("{step:?}: {what}"))?;
    }
    world.check_rest()
}

/// Cases that run at once: most of their time is spent waiting for the vault's own threads.
const WORKERS: usize = 6;

fn random_cases(run: &mut Run) {
    let next = AtomicU64::new(run.seed);
    let end = run.seed + run.runs;
    let found = Mutex::new(Vec::new());
    let count = AtomicUsize::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if end <= seed {
                return;
            }
            let steps = steps(seed);
            count.fetch_add(steps.len(), Ordering::Relaxed);
            if let Err(what) = run_case(&steps) {
                let (steps, what) = shrink(steps, what);
                let what = format!("{what}; by {steps:?}");
                found.lock().unwrap_or_else(PoisonError::into_inner).push((seed, what));
            }
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    for (seed, what) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        run.violation(seed, what);
    }
    run.done(run.runs);
    run.note(format!("{} steps", count.into_inner()));
}

/// Leaves out every step the violation does not need.
fn shrink(mut steps: Vec<Step>, mut what: String) -> (Vec<Step>, String) {
    let mut at = steps.len();
    while 0 < at {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if let Err(still) = run_case(&fewer) {
            (steps, what) = (fewer, still);
        }
    }
    (steps, what)
}
