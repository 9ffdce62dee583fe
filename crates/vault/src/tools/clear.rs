//! Makes room in a stopped vault: deletes what nobody needs, or with consent what somebody does.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::cursor::CURSOR_DIR;
use crate::log::dropped::Dropped;
use crate::recover::directory;
use crate::segment::id::SegmentId;
use crate::segment::quarantine::QUARANTINE_DIR;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::tools::survey;
use crate::tools::survey::SegmentSurvey;
use crate::tools::survey::Survey;
use crate::tools::survey::SurveyState;
use crate::tools::survey::WriterPresence;

/// What may be deleted. Holds stand above all of it, and the newest segment always stays: it carries
/// on the numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearScope {
    /// Sealed segments that every cursor has passed; with `is_any`, every one that has a file.
    Delivered {
        /// Also what a cursor has not passed that is known from before and has no file any more.
        is_any: bool,
    },
    /// Segments in quarantine that every cursor has passed; with `is_any`, all in quarantine.
    Quarantined {
        /// Also what a cursor has not passed: its records are lost for good.
        is_any: bool,
    },
    /// Segments whose last record came before this time, delivered or not, in quarantine or not.
    OlderThan {
        /// In nanoseconds since 1970.
        unix_ns: u64,
    },
}

/// One segment that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// Its number.
    pub id: SegmentId,
    /// Its file.
    pub path: PathBuf,
    /// Bytes that are free then.
    pub file_bytes: u64,
    /// Records that a cursor had not passed.
    pub undelivered_records: u64,
    seqs: (u64, u64),
}

/// Deletes segments of a vault that nobody writes; returns them, or with `is_dry_run` those it would
/// delete. `known` are cursors from before, as in [`Survey::take_knowing`]. Where cursors have not passed
/// them, cursors are moved on and saved first, and where one has no file they are marked as dropped, so
/// that a later start does not take them for lost.
///
/// # Errors
///
/// [`VaultError::Locked`] beside a writer, [`VaultError::Io`] or [`VaultError::Foreign`]; what was
/// deleted before the error stays deleted.
pub fn clear(
    dir: &Path,
    known: &BTreeMap<String, u64>,
    scope: ClearScope,
    is_dry_run: bool,
) -> Result<Vec<Cleared>, VaultError> {
    let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
    if survey::writer_presence(dir)? != WriterPresence::Absent {
        return Err(VaultError::Locked { path: dir.to_path_buf() });
    }
    let _lock = if is_dry_run { None } else { Some(directory::lock_directory(&*files, dir)?) };
    let survey = Survey::take_knowing(dir, known)?;
    let victims = choose(&survey, scope);
    if is_dry_run || victims.is_empty() {
        return Ok(victims);
    }
    let undelivered = victims.iter().map(|victim| victim.undelivered_records).sum::<u64>();
    // One without a file, if there is one at all, cannot be moved on.
    let has_file = |cursor: &survey::CursorSurvey| !cursor.is_missing;
    if 0 < undelivered && (survey.cursors.is_empty() || !survey.cursors.iter().all(has_file)) {
        let last = victims.iter().map(|victim| victim.seqs.1).max().unwrap_or(0);
        let vault_id = survey.vault_id.unwrap_or(0);
        Dropped::mark(&files, dir, vault_id, last, undelivered)
            .map_err(VaultError::io("save the count of dropped records of", dir))?;
    }
    if 0 < undelivered {
        move_cursors(&files, &survey, &victims)?;
    }
    let quarantine = dir.join(QUARANTINE_DIR);
    for victim in &victims {
        files.remove(&victim.path).map_err(VaultError::io("remove", &victim.path))?;
        if victim.path.parent() == Some(&quarantine) {
            remove_reports(&*files, &quarantine, victim.id)?;
        }
    }
    files.sync_dir(&quarantine).map_err(VaultError::io("sync", &quarantine))?;
    files.sync_dir(dir).map_err(VaultError::io("sync", dir))?;
    Ok(victims)
}

/// Pure choice of what goes.
fn choose(survey: &Survey, scope: ClearScope) -> Vec<Cleared> {
    let newest = survey.segments.iter().rev().find(|segment| 0 < segment.records);
    let Some(newest) = newest.map(|segment| segment.id) else { return Vec::new() };
    let is_free = |segment: &&SegmentSurvey| segment.id < newest && segment.held_by.is_empty();
    let has_state = |segment: &SegmentSurvey, state| segment.state == state;
    let of_records = survey.segments.iter().filter(|one| one.state != SurveyState::Spare);
    let chosen: Vec<&SegmentSurvey> = match scope {
        ClearScope::Delivered { is_any } => of_records
            .filter(is_free)
            .filter(|one| has_state(one, SurveyState::Sealed) && 0 < one.records)
            .filter(|one| one.is_delivered || is_any && is_passed_by_files(survey, one))
            .collect(),
        ClearScope::Quarantined { is_any } => of_records
            .filter(is_free)
            .filter(|one| has_state(one, SurveyState::Quarantined) && (is_any || one.is_delivered))
            .collect(),
        ClearScope::OlderThan { unix_ns } => {
            of_records.filter(|one| is_free(one) && one.last_received_unix_ns < unix_ns).collect()
        }
    };
    let cleared = |segment: &SegmentSurvey| Cleared {
        id: segment.id,
        path: segment.path.clone(),
        file_bytes: segment.file_bytes,
        undelivered_records: survey.passed.left_in(segment.first_seq, segment.last_seq),
        seqs: (segment.first_seq, segment.last_seq),
    };
    chosen.into_iter().map(cleared).collect()
}

/// Whether every cursor that has a file has passed a segment, and there is one.
fn is_passed_by_files(survey: &Survey, segment: &SegmentSurvey) -> bool {
    let (first, last) = (segment.first_seq, segment.last_seq);
    let mut found = survey.cursors.iter().enumerate().filter(|(_, cursor)| !cursor.is_missing);
    found.clone().next().is_some()
        && found.all(|(idx, _)| survey.passed.covers_for(idx, first, last))
}

/// Lets every cursor pass what is about to go, durably.
fn move_cursors(
    files: &Arc<dyn FileSystem>,
    survey: &Survey,
    victims: &[Cleared],
) -> Result<(), VaultError> {
    let vault_id = survey.vault_id.unwrap_or(0);
    for known in &survey.cursors {
        let name = &known.name;
        let Some((cursor, _)) = survey::read_cursor(files, &survey.dir, name, vault_id)? else {
            continue;
        };
        {
            let mut acks = lock(&cursor.acks);
            for (first, last) in victims.iter().map(|victim| victim.seqs) {
                acks.pass(first, last);
            }
        }
        let path = survey.dir.join(CURSOR_DIR).join(name);
        cursor.save().map_err(VaultError::io("save cursor", &path))?;
    }
    Ok(())
}

/// Takes away what lies beside a quarantined segment: its report and its torn tail.
fn remove_reports(files: &dyn FileSystem, folder: &Path, id: SegmentId) -> Result<(), VaultError> {
    let prefix = format!("seg-{:020}", id.get());
    let entries = files.list(folder).map_err(VaultError::io("list", folder))?;
    for entry in entries.iter().filter(|entry| entry.name.starts_with(&prefix)) {
        let path = folder.join(&entry.name);
        files.remove(&path).map_err(VaultError::io("remove", &path))?;
    }
    Ok(())
}
