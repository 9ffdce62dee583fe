//! C3: the power is cut under a file system, again and again.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use gophership_vault::Durability;

use crate::suite::Run;
use crate::suite::Suite;

use super::child::Task;
use super::disk::Kind;
use super::disk::Place;
use super::parent::Ledger;
use super::parent::Working;
use super::shutdown;
use super::shutdown::Cut;

/// A child that is not ready by then is a violation of its own.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// Cuts on one file system before a new one is made.
const CUTS_PER_DISK: u64 = 25;

pub(super) const SUITE: Suite = Suite {
    id: "C3",
    title: "power cut on ext4 and XFS: synced loses nothing, written loses a suffix at most",
    fast: 40,
    long: 2_000,
    run,
};

/// One file system and one vault on it.
struct Disk {
    place: Place,
    kind: Kind,
    image: PathBuf,
    task: Task,
    ledger: Ledger,
}

/// A file that is synced and one that is not, written right before a cut: whether the cut was one.
enum Canary {
    /// As it must be: the synced file is there, and of the other one not all.
    Gone,
    /// The unsynced file is there too: this cut took nothing away.
    Kept,
    /// Not even the synced one is there.
    SyncedGone,
}

static CANARY: [u8; 64 << 10] = [0x5a; 64 << 10];

impl Canary {
    fn put(mount: &Path) {
        let synced = File::create(mount.join("synced")).and_then(|mut file| {
            file.write_all(&CANARY)?;
            file.sync_all()
        });
        let named = File::open(mount).and_then(|dir| dir.sync_all());
        synced.and(named).expect("the disk has room for a canary");
        fs::write(mount.join("unsynced"), CANARY).expect("the disk has room for a canary");
    }

    fn look(mount: &Path) -> Self {
        let is_whole = |name: &str| fs::read(mount.join(name)).is_ok_and(|bytes| bytes == CANARY);
        let found = match (is_whole("synced"), is_whole("unsynced")) {
            (false, _) => Self::SyncedGone,
            (true, true) => Self::Kept,
            (true, false) => Self::Gone,
        };
        // The next one must not find what this one wrote.
        let _absent = fs::remove_file(mount.join("unsynced"));
        let removed = File::open(mount).and_then(|dir| dir.sync_all());
        removed.expect("a mounted disk syncs");
        found
    }
}

/// What the cuts of one kind came to.
#[derive(Default)]
struct Sums {
    cuts: u64,
    kept: u64,
    lost_suffix: u64,
    /// Cuts that threw away what was not synced; others prove nothing.
    effective: u64,
    slowest: Duration,
}

impl Disk {
    fn new(kind: Kind, durability: Durability, seed: u64) -> Self {
        let mut place = Place::new();
        let image = place.dir().join("image");
        kind.make(&image, kind.bytes());
        let mount = place.attach("mount", &image);
        let task = Task {
            dir: mount.join("deep/vault"),
            durability,
            seed: seed << 1,
            segment_bytes: 128 << 10,
            max_bytes: 24 << 20,
            threads: 4,
            lag: 300,
        };
        Self { place, kind, image, task, ledger: Ledger::default() }
    }

    /// Lets a child append for a while, cuts, and mounts again. Returns what must not be.
    fn cut(&mut self, random: &mut Rng, sums: &mut Sums) -> Vec<String> {
        let is_hard = random.bool();
        let mut child = Working::start(&self.task, &[]);
        let mut violations = Vec::new();
        // Sometimes in the middle of its recovery.
        if random.u8(0..5) > 0 {
            if !child.wait(READY_WITHIN, |told| told.pid.is_some()) {
                violations.push("the vault is not ready".to_owned());
            }
            super::pause(Duration::from_micros(random.u64(0..80_000)));
        } else {
            super::pause(Duration::from_micros(random.u64(0..12_000)));
        }
        let cut = if is_hard { Cut::Hard } else { Cut::AfterJournal };
        let mount = self.place.dir().join("mount");
        Canary::put(&mount);
        // What is told while the power goes is told by a machine without power: a sync that XFS is
        // in the middle of returns well when the cut takes its log away.
        let before = child.so_far().acknowledged;
        if let Err(error) = shutdown::cut(&mount, cut) {
            violations.push(format!("the power could not be cut: {error}"));
        }
        let mut told = child.kill();
        told.acknowledged.retain(|seq, _| before.contains_key(seq));
        violations.extend(self.ledger.note(&self.task, &told));
        self.place.detach();
        self.place.attach("mount", &self.image);
        self.task.seed += 1;
        sums.cuts += 1;
        match Canary::look(&mount) {
            Canary::Gone => sums.effective += 1,
            Canary::Kept => {}
            Canary::SyncedGone => violations.push("the disk lost what was synced".to_owned()),
        }
        // Two cuts in a row now and then: what the first one left is recovered under the second.
        // With `written`, what the first one took would be missed only at the next.
        if self.task.durability == Durability::Written || random.u8(0..3) > 0 {
            let may_lose = self.task.durability == Durability::Written;
            let audit = self.ledger.audit(&self.task, may_lose);
            violations.extend(audit.violations);
            sums.kept += audit.kept;
            sums.lost_suffix += audit.missing;
            sums.slowest = sums.slowest.max(audit.opened_in);
        }
        violations
    }
}

fn run(run: &mut Run) {
    let has_xfs = run.can("on XFS");
    let kinds: &[Kind] = if has_xfs { &[Kind::Ext4, Kind::Xfs] } else { &[Kind::Ext4] };
    let mut sums: Vec<Sums> = kinds.iter().map(|_| Sums::default()).collect();
    let mut made: u64 = 0;
    let mut left = run.runs;
    while left > 0 {
        let idx = usize::try_from(made).unwrap_or_default() % kinds.len();
        let level = made / kinds.len() as u64;
        let durability =
            if level.is_multiple_of(2) { Durability::Synced } else { Durability::Written };
        let cuts = CUTS_PER_DISK.min(run.runs.div_ceil(4)).min(left);
        let first = run.seed + (run.runs - left);
        let mut disk = Disk::new(kinds[idx], durability, first);
        for seed in first..first + cuts {
            let mut random = Rng::with_seed(seed);
            for violation in disk.cut(&mut random, &mut sums[idx]) {
                run.violation(seed, format!("{:?}, {durability:?}: {violation}", disk.kind));
            }
            run.done(1);
        }
        let owed = disk.ledger.owed();
        if owed > 0 {
            let audit = disk.ledger.audit(&disk.task, durability == Durability::Written);
            for violation in audit.violations {
                run.violation(first, format!("{:?}, {durability:?}, last: {violation}", disk.kind));
            }
            sums[idx].kept += audit.kept;
        }
        made += 1;
        left -= cuts;
    }
    for (kind, sums) in kinds.iter().zip(&sums) {
        run.note(format!(
            "{kind:?}: {} cuts, of which {} threw away unsynced data, {} acknowledged records kept, {} lost at `written`, slowest open {:?}",
            sums.cuts, sums.effective, sums.kept, sums.lost_suffix, sums.slowest,
        ));
        if sums.cuts > 4 && sums.kept == 0 {
            run.violation(run.seed, format!("{kind:?}: nothing was compared"));
        }
        if sums.effective * 10 < sums.cuts * 9 {
            let what =
                format!("only {} of {} cuts threw away unsynced data", sums.effective, sums.cuts);
            run.violation(run.seed, format!("{kind:?}: {what}"));
        }
    }
}
