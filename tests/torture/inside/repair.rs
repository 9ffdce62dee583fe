//! Power cuts at every step of a repair, for each kind of damage that it mends (C5).

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fastrand::Rng;
use gophership_vault::RepairAction;
use gophership_vault::recover_on;
use gophership_vault::repair_on;
use gophership_vault_sim::ChangeFate;
use gophership_vault_sim::Playback;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::oracle;
use super::oracle::CURSOR;
use super::oracle::Ids;
use super::script;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![Suite {
        id: "C5",
        title: "power cut at each step of a repair of each kind of damage: the next repair ends as one without a cut",
        fast: 4 * DAMAGES.len() as u64,
        long: 100 * DAMAGES.len() as u64,
        run: each_damage,
    }]
}

/// What a power cut leaves is tried in so many ways at each step.
const FATES: usize = 4;
/// Where the data of a segment begins.
const HEADER_BYTES: u64 = 4096;

/// A kind of damage, and what a repair does about it.
struct Damage {
    action: RepairAction,
    /// Damages the segment at this path, or what else there is in the directory.
    cause: fn(&SimFileSystem, &Path),
}

const DAMAGES: [Damage; 7] = [
    Damage {
        action: RepairAction::RebuildFooter,
        cause: |files, segment| flip(files, segment, |len| len - 4000),
    },
    Damage {
        action: RepairAction::RebuildFooter,
        cause: |files, segment| {
            flip(files, segment, |len| len - 100);
            rename(files, segment, &quarantined(segment));
        },
    },
    Damage {
        action: RepairAction::BringBack,
        cause: |files, segment| rename(files, segment, &quarantined(segment)),
    },
    Damage {
        action: RepairAction::FinishRename,
        cause: |files, segment| rename(files, segment, &segment.with_extension("open")),
    },
    Damage {
        action: RepairAction::SetAside,
        cause: |files, segment| flip(files, segment, |_| HEADER_BYTES + 70),
    },
    Damage {
        action: RepairAction::RebuildId,
        cause: |files, _| files.poke(&bench::dir().join("vault_id"), 0, &[9; 8192]),
    },
    Damage {
        action: RepairAction::ResetCursor,
        cause: |files, _| files.poke(&bench::dir().join("cursors").join(CURSOR), 0, &[9; 8192]),
    },
];

fn flip(files: &SimFileSystem, path: &Path, at: fn(u64) -> u64) {
    let bytes = files.bytes_of(path).expect("the segment is there");
    let at = at(bytes.len() as u64);
    let byte = bytes[usize::try_from(at).expect("segments are small")];
    files.poke(path, at, &[byte ^ 0x10]);
}

fn rename(files: &SimFileSystem, from: &Path, to: &Path) {
    let bytes = files.take(from).expect("the segment is there");
    files.put(to, &bytes);
}

fn is_in_quarantine(path: &Path) -> bool {
    path.parent() == Some(&bench::dir().join("quarantine"))
}

fn quarantined(segment: &Path) -> PathBuf {
    bench::dir().join("quarantine").join(segment.file_name().unwrap_or_default())
}

/// What a repair is for: every segment under its name, and the records that can be read.
#[derive(Debug, PartialEq, Eq)]
struct Mended {
    segments: BTreeMap<PathBuf, Vec<u8>>,
    ids: Ids,
}

/// Repairs until nothing is left to do.
fn repaired(files: &SimFileSystem, sent: &[Vec<u8>]) -> Result<Mended, String> {
    let repair = || {
        let steps = repair_on(&files.shared(), &bench::dir(), false, &Arc::<AtomicU64>::default());
        steps.map_err(|error| format!("cannot be repaired: {error}"))
    };
    repair()?;
    let left = repair()?;
    if !left.is_empty() {
        return Err(format!("a second repair finds {left:?}"));
    }
    let mut segments = files.contents();
    segments.retain(|path, _| bench::has_extension(path, "gsv"));
    // Half of a rename leaves a segment under both names; then the one in quarantine counts.
    let all = segments.clone();
    segments
        .retain(|path, bytes| is_in_quarantine(path) || all.get(&quarantined(path)) != Some(bytes));
    Ok(Mended { segments, ids: oracle::read_offline(files, sent)? })
}

/// A vault after a day that ended well, and its sealed segments.
fn sound(seed: u64) -> (SimFileSystem, Vec<Vec<u8>>, Vec<PathBuf>) {
    let script = script::play(seed);
    let (playback, _) = script.moment(script.recording.ops().len());
    let files = playback.after_power_cut(&vec![ChangeFate::Kept; playback.loose_len()]);
    recover_on(&files.shared(), &bench::dir()).expect("a disk without damage recovers");
    let paths = files.paths().into_iter().map(|(path, _)| path);
    let is_sealed =
        |path: &PathBuf| bench::has_extension(path, "gsv") && path.parent() == Some(&bench::dir());
    let sealed = paths.filter(is_sealed).collect();
    (files, script.sent, sealed)
}

fn fates(playback: &Playback, random: &mut Rng) -> Vec<ChangeFate> {
    let fate = |idx| match random.u8(0..4) {
        0 | 1 => ChangeFate::Lost,
        2 if playback.can_tear(idx) => ChangeFate::Torn(random.u64(..)),
        _ => ChangeFate::Kept,
    };
    (0..playback.loose_len()).map(fate).collect()
}

fn each_damage(run: &mut Run) {
    let (mut cuts, mut mended) = (0, 0);
    for seed in run.seed..run.seed + run.runs {
        let damage = &DAMAGES[usize::try_from(seed % DAMAGES.len() as u64).expect("a short list")];
        match cut_everywhere(seed, damage) {
            Ok((done, is_mended)) => {
                cuts += done;
                mended += u64::from(is_mended);
            }
            Err(what) => run.violation(seed, format!("{:?}: {what}", damage.action)),
        }
        run.done(1);
    }
    run.note(format!("{cuts} power cuts, {mended} of {} repairs mended the damage", run.runs));
    // Of some days the oldest segments are gone: the footer of the next one has a digest that nothing can confirm.
    if cuts < run.runs || mended * 4 < run.runs * 3 {
        let what = format!("only {cuts} power cuts, and {mended} of {} mended", run.runs);
        run.violation(run.seed, what);
    }
}

/// Cuts the power at every step of a repair; returns how many cuts there were, and whether the repair did what it is
/// for.
fn cut_everywhere(seed: u64, damage: &Damage) -> Result<(u64, bool), String> {
    let mut random = Rng::with_seed(seed);
    let (damaged, sent, sealed) = sound(seed);
    if sealed.is_empty() {
        return Err("the day left no sealed segment".to_owned());
    }
    (damage.cause)(&damaged, &sealed[random.usize(..sealed.len())]);
    let files = damaged.fork();
    files.record();
    let steps = repair_on(&files.shared(), &bench::dir(), false, &Arc::<AtomicU64>::default());
    let steps = steps.map_err(|error| format!("cannot be repaired: {error}"))?;
    let is_mended = steps.iter().any(|step| step.action == damage.action);
    let recording = files.recorded();
    let expected = repaired(&files, &sent)?;
    let (mut cuts, mut playback) = (0, recording.play());
    let mut done = Vec::new();
    loop {
        for _ in 0..FATES {
            let fates = fates(&playback, &mut random);
            let cut = playback.after_power_cut(&fates);
            let found = repaired(&cut, &sent);
            if found.as_ref() != Ok(&expected) {
                let difference = found.map(|found| differences(&found, &expected));
                return Err(format!(
                    "after {:?} with {fates:?}: {difference:?}",
                    done.iter().rev().take(3).collect::<Vec<_>>()
                ));
            }
            cuts += 1;
        }
        match playback.step() {
            Some(op) => done.push(format!("{op:?}").chars().take(120).collect::<String>()),
            None => return Ok((cuts, is_mended)),
        }
    }
}

/// The names that differ with their sizes, and the records of both.
fn differences(found: &Mended, expected: &Mended) -> String {
    let mut paths: Vec<&PathBuf> = found.segments.keys().chain(expected.segments.keys()).collect();
    paths.retain(|path| found.segments.get(*path) != expected.segments.get(*path));
    let size = |mended: &Mended, path: &PathBuf| mended.segments.get(path).map(Vec::len);
    let sizes =
        |path: &&PathBuf| (path.display().to_string(), size(found, path), size(expected, path));
    let differ: Vec<_> = paths.iter().map(sizes).collect();
    format!("{differ:?}, records {:?} instead of {:?}", found.ids.list(), expected.ids.list())
}
