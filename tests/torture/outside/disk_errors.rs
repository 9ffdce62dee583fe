//! R3: writes and syncs that fail, injected and real.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use gophership_vault::Durability;

use crate::suite::Run;
use crate::suite::Suite;

use super::child::Task;
use super::disk::Kind;
use super::disk::Place;
use super::disk::Zram;
use super::parent::Audit;
use super::parent::Ledger;
use super::parent::Working;
use super::shutdown;
use super::shutdown::Cut;
use super::strace;

const MIB: u64 = 1 << 20;
const READY_WITHIN: Duration = Duration::from_secs(5);
/// For an error to come up, and to go on after it.
const ENDURES: Duration = Duration::from_millis(120);
const FULL_WITHIN: Duration = Duration::from_secs(20);
const STOPS_WITHIN: Duration = Duration::from_secs(5);

pub(super) const SUITE: Suite = Suite {
    id: "R3",
    title: "EIO of writes and syncs: no credit for a failed sync, nothing acknowledged is lost, the process lives",
    fast: 100,
    long: 1_000,
    run,
};

#[derive(Default)]
struct Sums {
    injected: u64,
    real: u64,
    /// Full backings that had not kept what they said.
    lied: u64,
    kept: u64,
    refused: u64,
    failed: u64,
}

fn run(run: &mut Run) {
    if !strace::notices_a_second_sync() {
        run.violation(run.seed, "the reader of logs overlooks a second sync");
    }
    let mut sums = Sums::default();
    let has_zram = run.can("on zram");
    for seed in run.seed..run.seed + run.runs {
        let violations = match seed % 20 {
            12 if has_zram => match full_zram(seed, &mut sums) {
                Ok(violations) => violations,
                Err(missing) => vec![format!("zram, which is there, fails: {missing}")],
            },
            7 | 12 | 17 => full_backing(seed, &mut sums),
            _ => injected(seed, &mut sums),
        };
        for violation in violations {
            run.violation(seed, violation);
        }
        run.done(1);
    }
    run.note(format!(
        "{} injected errors, {} disks that failed, {} of them lied, {} acknowledged records compared, {} appends failed, {} refused",
        sums.injected, sums.real, sums.lied, sums.kept, sums.failed, sums.refused,
    ));
    if run.runs >= 10 && sums.injected == 0 {
        run.violation(run.seed, "no error was injected");
    }
}

fn task(dir: &Path, seed: u64) -> Task {
    Task {
        dir: dir.join("vault"),
        durability: Durability::Synced,
        seed,
        segment_bytes: 128 << 10,
        max_bytes: 200 * MIB,
        threads: 4,
        lag: u64::MAX,
    }
}

/// One or more calls fail; then the power is cut: what was acknowledged without a sync is gone.
fn injected(seed: u64, sums: &mut Sums) -> Vec<String> {
    let mut random = Rng::with_seed(seed);
    let mut place = Place::new();
    let image = place.dir().join("image");
    Kind::Ext4.make(&image, Kind::Ext4.bytes());
    let mount = place.attach("mount", &image);
    let task = Task { max_bytes: 32 * MIB, ..task(&mount, seed) };
    let group = ["pwrite64", "fdatasync,fsync", "fdatasync"][random.usize(0..3)];
    let call = if random.bool() { random.u64(1..=6) } else { random.u64(1..=40) };
    let times = ["", "+", "..+3"][random.usize(0..3)];
    let when = match times {
        "..+3" => format!("{call}..{}", call + random.u64(1..4)),
        times => format!("{call}{times}"),
    };
    let log = place.dir().join("calls");
    let how = format!("error=EIO:when={when}");
    let mut child = Working::start(&task, &strace::disturbed(group, &how, &log));
    let mut violations = Vec::new();
    // With an error in the middle of recovery the vault may not open; it must say so and not die.
    let is_open = child.wait(READY_WITHIN, |told| told.pid.is_some());
    child.wait(ENDURES, |_| false);
    if is_open && child.has_ended() {
        violations.push("the process died".to_owned());
    }
    if let Err(error) = shutdown::cut(&mount, Cut::Hard) {
        violations.push(format!("the power could not be cut: {error}"));
    }
    let told = child.kill();
    let heard = strace::heard(&log);
    let mut ledger = Ledger::default();
    violations.extend(ledger.note(&task, &told));
    if let Some(line) = heard.resynced.first() {
        violations.push(format!("synced again after a failure: {line}"));
    }
    place.detach();
    place.attach("mount", &image);
    let audit = ledger.audit(&task, false);
    sums.injected += heard.injected;
    sums.book(&audit, &told);
    violations.extend(audit.violations);
    let context = format!("{group} {when}, {} acknowledged", told.acknowledged.len());
    violations.into_iter().map(|violation| format!("{context}: {violation}")).collect()
}

impl Sums {
    fn book(&mut self, audit: &Audit, told: &super::parent::Told) {
        self.kept += audit.kept;
        self.refused += told.refused;
        self.failed += told.failed;
    }
}

/// Fills the disk until it fails, and asks whether the process bears it. Returns what must not be.
fn fill(task: &Task, ledger: &mut Ledger, sums: &mut Sums) -> Vec<String> {
    let mut child = Working::start(task, &[]);
    let mut violations = Vec::new();
    let is_full = child.wait(FULL_WITHIN, |told| told.refused > 20);
    if child.has_ended() {
        violations.push("the process died".to_owned());
    } else if !is_full {
        violations.push("it took everything although the disk fails".to_owned());
    }
    let (_, told) = child.stop(STOPS_WITHIN);
    sums.refused += told.refused;
    sums.failed += told.failed;
    sums.real += 1;
    violations.extend(ledger.note(task, &told));
    violations
}

/// A disk whose own backing is full: syncs fail once, and then lie. Asked here is how the process bears
/// it. What is there afterwards is compared and noted, but not held against the vault: the loop driver
/// answers OK when its backing took a part of a write only (calls traced: `pwrite64` and `fdatasync` of
/// the last group OK, its second half gone), to the file system too, which may not survive that.
fn full_backing(seed: u64, sums: &mut Sums) -> Vec<String> {
    let mut place = Place::new();
    let small = place.tmpfs("small", 12 * MIB);
    let image = small.join("image");
    Kind::Ext4.make(&image, Kind::Ext4.bytes());
    let mount = place.attach("mount", &image);
    let task = task(&mount, seed);
    let mut ledger = Ledger::default();
    let violations = fill(&task, &mut ledger, sums);
    place.detach();
    Place::resize(&small, 128 * MIB);
    place.attach("mount", &image);
    let audit = ledger.audit(&task, true);
    sums.kept += audit.kept;
    sums.lied += u64::from(0 < audit.missing || !audit.violations.is_empty());
    violations.into_iter().map(|violation| format!("full backing: {violation}")).collect()
}

/// A compressed disk whose memory is used up.
fn full_zram(seed: u64, sums: &mut Sums) -> Result<Vec<String>, String> {
    let zram = Zram::add(Kind::Ext4.bytes(), 12 * MIB)?;
    let mut place = Place::new();
    Kind::Ext4.make(&zram.device(), Kind::Ext4.bytes());
    let mount = place.attach("mount", &zram.device());
    let task = task(&mount, seed);
    let mut ledger = Ledger::default();
    let mut violations = fill(&task, &mut ledger, sums);
    place.detach();
    zram.limit(0)?;
    place.attach("mount", &zram.device());
    let audit = ledger.audit(&task, false);
    sums.kept += audit.kept;
    violations.extend(audit.violations);
    Ok(violations.into_iter().map(|violation| format!("full zram: {violation}")).collect())
}
