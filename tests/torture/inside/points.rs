//! Power cuts at each named operation of a vault's life (C4).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::recover_on;
use gophership_vault_sim::ChangeFate;
use gophership_vault_sim::Op;
use gophership_vault_sim::Playback;
use gophership_vault_sim::Recording;
use gophership_vault_sim::SimFileSystem;

use super::bench;
use super::crash;
use super::oracle;
use super::oracle::Promised;
use super::script;
use super::script::Script;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

/// The suites of this file.
pub(super) fn suites() -> Vec<Suite> {
    vec![Suite {
        id: "C4",
        title: "power cut at each named step of start, spare, first group, rotation, seal, cursor, \
                deletion, quarantine and end: nothing lost, and a second recovery changes no byte",
        fast: 4 * POINTS.len() as u64,
        long: 100 * POINTS.len() as u64,
        run: each_point,
    }]
}

/// Every step; each must be met, or the suite has gone blind.
const POINTS: [&str; 30] = [
    "a cursor is made",
    "a cursor is named",
    "a cursor's first state is synced",
    "a cursor's slot is synced",
    "a cursor's slot is written",
    "a directory is made",
    "a first group is written",
    "a footer is written",
    "a group is written",
    "a quarantine report is made",
    "a quarantine report is synced",
    "a quarantine report is written",
    "a segment is cut to its size",
    "a segment is deleted",
    "a segment is sealed",
    "a segment is set aside",
    "a segment is synced",
    "a spare is made",
    "a spare is named",
    "a spare is reserved",
    "a spare is synced",
    "a torn tail is kept",
    "cursors are synced",
    "quarantine is synced",
    "the directory above is synced",
    "the directory is synced",
    "the id is made",
    "the id is named",
    "the id is written",
    "the lock is made",
];

/// Damaged disks of one day that are tried for a step of recovery.
const DAMAGES_MAX: usize = 16;

/// Follows a recording and names its steps.
#[derive(Default)]
struct Namer {
    paths: BTreeMap<usize, PathBuf>,
    cut: BTreeSet<usize>,
}

impl Namer {
    fn name(&mut self, op: &Op) -> Option<&'static str> {
        match op {
            Op::Create { path, file } => {
                self.paths.insert(*file, path.to_path_buf());
                Some(made(path))
            }
            Op::Rename { from, to } => {
                let is_it = |path: &&mut PathBuf| **path == **from;
                if let Some(path) = self.paths.values_mut().find(is_it) {
                    *path = to.to_path_buf();
                }
                Some(renamed(to))
            }
            Op::Remove { path } => {
                bench::has_extension(path, "gsv").then_some("a segment is deleted")
            }
            Op::MakeDir { .. } => Some("a directory is made"),
            Op::SyncDir { dir } => Some(match dir.file_name()?.to_str()? {
                "cursors" => "cursors are synced",
                "quarantine" => "quarantine is synced",
                _ => "the directory is synced",
            }),
            Op::Write { file, offset, .. } => {
                let path = self.paths.get(file)?;
                if self.cut.contains(file) {
                    return Some("a footer is written");
                }
                written(path, *offset)
            }
            Op::SetLen { file, .. } => {
                if bench::has_extension(self.paths.get(file)?, "tmp") {
                    return Some("a spare is reserved");
                }
                self.cut.insert(*file);
                Some("a segment is cut to its size")
            }
            Op::Sync { file } => synced(self.paths.get(file)?),
            Op::FailedSync { .. } | Op::Mark(_) => None,
        }
    }
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.parent() == Some(&bench::dir().join(folder))
}

fn is_id(path: &Path) -> bool {
    path.to_string_lossy().contains("vault_id")
}

fn made(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => "a quarantine report is made",
        Some("torn") => "a torn tail is kept",
        _ if path.ends_with("LOCK") => "the lock is made",
        _ if is_id(path) => "the id is made",
        _ if is_in(path, "cursors") => "a cursor is made",
        _ => "a spare is made",
    }
}

fn renamed(to: &Path) -> &'static str {
    match to.extension().and_then(|extension| extension.to_str()) {
        _ if is_in(to, "quarantine") => "a segment is set aside",
        Some("open") => "a spare is named",
        Some("gsv") => "a segment is sealed",
        _ if is_id(to) => "the id is named",
        _ => "a cursor is named",
    }
}

fn written(path: &Path, offset: u64) -> Option<&'static str> {
    Some(match path.extension().and_then(|extension| extension.to_str()) {
        _ if is_id(path) => "the id is written",
        Some("open" | "gsv") if offset == 0 => "a first group is written",
        Some("open" | "gsv") => "a group is written",
        Some("json") => "a quarantine report is written",
        _ if is_in(path, "cursors") => "a cursor's slot is written",
        _ => return None,
    })
}

fn synced(path: &Path) -> Option<&'static str> {
    Some(match path.extension().and_then(|extension| extension.to_str()) {
        Some("open" | "gsv") => "a segment is synced",
        Some("json") => "a quarantine report is synced",
        _ if is_id(path) => return None,
        Some("tmp") if is_in(path, "cursors") => "a cursor's first state is synced",
        Some("tmp") => "a spare is synced",
        _ if is_in(path, "cursors") => "a cursor's slot is synced",
        _ => return None,
    })
}

/// The names of all steps of a recording; the root's name is its own.
fn names(recording: &Recording) -> Vec<Option<&'static str>> {
    let mut namer = Namer::default();
    let is_root = |op: &Op| matches!(op, Op::SyncDir { dir } if dir.parent().is_none());
    let name = |op: &Op| {
        if is_root(op) { Some("the directory above is synced") } else { namer.name(op) }
    };
    recording.ops().iter().map(name).collect()
}

fn each_point(run: &mut Run) {
    let each = run.runs.div_ceil(POINTS.len() as u64);
    let mut left: BTreeMap<&str, u64> = POINTS.iter().map(|point| (*point, each)).collect();
    // A day has most steps; a few days have all.
    let days_max = if run.tier == Tier::Fast { 40 } else { 400 };
    let days_min = if run.tier == Tier::Fast { 4 } else { 20 };
    for day in 0..days_max {
        if left.values().all(|left| *left == 0) {
            break;
        }
        let seed = run.seed + day;
        let mut random = fastrand::Rng::with_seed(seed);
        let script = script::play(seed);
        let share = each.div_ceil(days_min);
        for point in POINTS {
            for _ in 0..share {
                let count = left.get_mut(point).filter(|count| 0 < **count);
                let Some(count) = count else { break };
                match at_point(&script, point, &mut random) {
                    Some(Ok(())) => {}
                    Some(Err(what)) => run.violation(seed, format!("{point}: {what}")),
                    None => break,
                }
                *count -= 1;
                run.done(1);
            }
        }
    }
    for (point, left) in left.iter().filter(|(_, left)| **left == each) {
        run.violation(run.seed, format!("never met in {days_max} days: {point} ({left} wanted)"));
    }
    run.note(format!("{} named steps", POINTS.len()));
}

/// Cuts the power right at one occurrence of a step, of the day or of a recovery after it.
fn at_point(
    script: &Script,
    point: &str,
    random: &mut fastrand::Rng,
) -> Option<Result<(), String>> {
    let mut at = places(&script.recording, point);
    if let Some(at) = random.choice(at.drain(..)) {
        let mut moments = Vec::new();
        let mut count = 0;
        script.walk(|playback, promised, _| {
            count += 1;
            if count == at + 1 {
                moments.push((playback.clone(), *promised));
            }
            count <= at
        });
        let (playback, promised) = moments.pop()?;
        return Some(settles(&cut(&playback, random), script, Some(&promised)));
    }
    // Quarantine and torn tails only come with damage, and are recovery's work.
    let recording = (0..DAMAGES_MAX).find_map(|_| {
        let damaged = damaged(script, random);
        damaged.record();
        drop(recover_on(&damaged.shared(), &bench::dir()));
        let recording = damaged.recorded();
        (!places(&recording, point).is_empty()).then_some(recording)
    })?;
    let at = random.choice(places(&recording, point))?;
    let mut playback = recording.play();
    for _ in 0..=at {
        playback.step();
    }
    Some(settles(&cut(&playback, random), script, None))
}

fn places(recording: &Recording, point: &str) -> Vec<usize> {
    let names = names(recording);
    (0..names.len()).filter(|idx| names[*idx] == Some(point)).collect()
}

fn cut(playback: &Playback, random: &mut fastrand::Rng) -> SimFileSystem {
    let fate = |idx| match random.u8(0..5) {
        0 | 1 => ChangeFate::Lost,
        2 if playback.can_tear(idx) => ChangeFate::Torn(random.u64(..)),
        _ => ChangeFate::Kept,
    };
    let fates: Vec<_> = (0..playback.loose_len()).map(fate).collect();
    playback.after_power_cut(&fates)
}

/// A kill at some moment of a day, with garbage behind an open segment and one bit flipped in another's records.
fn damaged(script: &Script, random: &mut fastrand::Rng) -> SimFileSystem {
    let mut playback = script.recording.play();
    for _ in 0..random.usize(0..=script.recording.ops().len()) {
        playback.step();
    }
    let files = playback.after_power_cut(&vec![ChangeFate::Kept; playback.loose_len()]);
    crash::tear_open_segment(&files, random);
    let mut segments = files.paths();
    segments.retain(|(path, bytes)| bench::has_extension(path, "gsv") && 16_384 < *bytes);
    if let Some((path, len)) = random.choice(segments) {
        // A footer that cannot be read makes recovery look at every record.
        for at in [4096 + 100, len - 4096 + 20] {
            files.poke(&path, at, &[random.u8(..)]);
        }
    }
    files
}

/// Recovers twice: the second time nothing may change, and what was promised must be there.
fn settles(
    files: &SimFileSystem,
    script: &Script,
    promised: Option<&Promised>,
) -> Result<(), String> {
    let recover = |files: &SimFileSystem| {
        recover_on(&files.shared(), &bench::dir())
            .map_err(|error| format!("does not recover: {error:?}"))
    };
    drop(recover(files)?);
    let first = files.fork();
    let (_, report) = recover(files)?;
    if !files.is_same(&first) {
        let (before, after) = (first.paths(), files.paths());
        return Err(format!("a second recovery changed {before:?} to {after:?}; {report:?}"));
    }
    if let Some(promised) = promised {
        return oracle::check(files, &script.sent, promised).map(|_| ());
    }
    let (log, _) = recover(files)?;
    oracle::read_all(&log, oracle::CURSOR, &script.sent).map(|_| ())
}
