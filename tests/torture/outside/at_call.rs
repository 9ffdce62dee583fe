//! C2: the process is killed at the k-th system call of each kind that changes the disk.

use std::time::Duration;

use fastrand::Rng;
use gophership_vault::Durability;

use crate::suite::Run;
use crate::suite::Suite;

use super::child::Task;
use super::disk::Place;
use super::parent::Ledger;
use super::parent::Working;
use super::strace;
use super::strace::GROUPS;

/// A call that does not come by then does not come.
const CALLED_WITHIN: Duration = Duration::from_millis(1_500);
const CALL_MAX: u64 = 60;

pub(super) const SUITE: Suite = Suite {
    id: "C2",
    title: "killed at the k-th write, sync, rename, unlink, allocation: nothing acknowledged is lost",
    fast: 60,
    long: 400,
    run,
};

fn run(run: &mut Run) {
    let mut hit = 0;
    let mut kept = 0;
    for seed in run.seed..run.seed + run.runs {
        let (is_hit, records) = once(run, seed);
        hit += u64::from(is_hit);
        kept += records;
        run.done(1);
    }
    run.note(format!("{hit} killed at the call, {kept} acknowledged records compared"));
    if hit < run.runs / 2 {
        run.violation(run.seed, format!("only {hit} of {} calls came", run.runs));
    }
}

/// One vault that is killed at a call, and then at another one while it recovers and goes on.
fn once(run: &mut Run, seed: u64) -> (bool, u64) {
    let mut random = Rng::with_seed(seed);
    let place = Place::on_disk();
    let mut ledger = Ledger::default();
    let mut task = Task {
        dir: place.dir().join("vault"),
        durability: if seed.is_multiple_of(4) { Durability::Written } else { Durability::Synced },
        seed: seed << 2,
        segment_bytes: 64 << 10,
        max_bytes: 8 << 20,
        threads: 4,
        lag: 100,
    };
    let mut is_hit = true;
    for _ in 0..2 {
        let group = GROUPS[usize::try_from(seed).unwrap_or_default() % GROUPS.len()];
        // Early calls are those of the first segment and of recovery.
        let call = if random.bool() { random.u64(1..=8) } else { random.u64(1..=CALL_MAX) };
        let mut child = Working::start(&task, &strace::killed_at(group, call));
        child.wait(CALLED_WITHIN, |_| false);
        is_hit &= child.has_ended();
        let told = child.kill();
        for violation in ledger.note(&task, &told) {
            run.violation(seed, format!("{group} {call}: {violation}"));
        }
        task.seed += 1;
    }
    let audit = ledger.audit(&task, false);
    for violation in &audit.violations {
        run.violation(seed, violation);
    }
    (is_hit, audit.kept)
}
