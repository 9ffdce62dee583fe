//! What lies in a vault's directory, seen from outside: without its lock, beside a running writer.
//!
//! Files are renamed and deleted while we look. A name only ever goes from `.open` to `.gsv` and from
//! the directory to quarantine, so a file that is not found is looked for under its later names, and
//! only when it is under none of them it is gone.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::log::cursor;
use crate::log::cursor::Acks;
use crate::log::cursor::CURSOR_DIR;
use crate::log::cursor::Cursor;
use crate::log::cursor::is_copy_cursor;
use crate::log::holds;
use crate::log::holds::Hold;
use crate::recover::directory;
use crate::recover::identity;
use crate::recover::identity::Stored;
use crate::segment::examine;
use crate::segment::examine::Candidate;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::id;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::quarantine::QUARANTINE_DIR;
use crate::state::lock;
use crate::system::SystemFileSystem;
use crate::tools::passed::AckedRanges;

/// A cursor's file is read again this often when both of its slots look damaged: it may be in the
/// middle of being written.
const CURSOR_READS_MAX: usize = 3;

/// Where a segment stands, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurveyState {
    /// Holds nothing yet.
    Spare,
    /// Takes records, or did when its writer ended.
    Open,
    /// Has its footer.
    Sealed,
    /// Set aside because of damage.
    Quarantined,
    /// Has the name of a sealed segment, but its header or footer is damaged.
    Damaged,
}

/// One segment as found.
#[derive(Debug, Clone)]
pub struct SegmentSurvey {
    /// Its number.
    pub id: SegmentId,
    /// Where it stands.
    pub state: SurveyState,
    /// Its file.
    pub path: PathBuf,
    /// First seq it holds, or would hold; 0 for a spare.
    pub first_seq: u64,
    /// Last seq with a good record or a footer's word; `first_seq - 1` while there is none.
    pub last_seq: u64,
    /// Records.
    pub records: u64,
    /// Payload bytes before compression.
    pub raw_bytes: u64,
    /// Attribute and payload bytes on disk.
    pub stored_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Wall clock at its first record, in nanoseconds since 1970; 0 where unknown.
    pub created_unix_ns: u64,
    /// When its last record was received.
    pub last_received_unix_ns: u64,
    /// Whether every cursor has passed it; never without a cursor.
    pub is_delivered: bool,
    /// Names of the holds on it.
    pub held_by: Vec<String>,
    /// Number and last seq of the segment before, as its header names them; 0 where unknown.
    pub(crate) prev: (u64, u64),
}

/// One cursor as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorSurvey {
    /// Its name.
    pub name: String,
    /// Every seq up to here is acknowledged.
    pub low_seq: u64,
    /// Records not acknowledged.
    pub backlog_records: u64,
    /// Whether its file is damaged: it will start at the oldest record again.
    pub is_damaged: bool,
    /// Whether it is known from before and has no file any more.
    pub is_missing: bool,
}

/// Whether somebody has the vault open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterPresence {
    /// Nobody.
    Absent,
    /// A process; its number where the system tells it.
    Present(Option<u32>),
}

/// Everything in a vault's directory.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The directory.
    pub dir: PathBuf,
    /// The vault's id; `None` when nothing tells it.
    pub vault_id: Option<u128>,
    /// Whether the vault is in use.
    pub writer: WriterPresence,
    /// All segments, by number.
    pub segments: Vec<SegmentSurvey>,
    /// All cursors, by name.
    pub cursors: Vec<CursorSurvey>,
    /// All holds.
    pub holds: Vec<Hold>,
    pub(crate) passed: AckedRanges,
}

impl Survey {
    /// Looks at a directory and changes nothing.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`], or [`VaultError::Foreign`] for a segment of another vault.
    pub fn take(dir: &Path) -> Result<Self, VaultError> {
        Self::take_knowing(dir, &BTreeMap::new())
    }

    /// As [`Survey::take`], with cursors that are known from before: one that has no file any more counts,
    /// with what it was known to have acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Survey::take`].
    pub fn take_knowing(dir: &Path, known: &BTreeMap<String, u64>) -> Result<Self, VaultError> {
        let files: Arc<dyn FileSystem> = Arc::new(SystemFileSystem);
        let writer = writer_presence(dir)?;
        let listed = candidates(&*files, dir)?;
        let vault_id = known_id(&files, dir, &listed)?;
        let mut segments = Vec::new();
        for candidate in listed {
            let Some(id) = vault_id else { break };
            if candidate.extension == EXTENSION_NEW {
                continue;
            }
            if let Some(one) = examine_moving(&*files, dir, candidate, id)? {
                segments.push(describe(&one));
            }
        }
        let last_seq = segments.iter().map(|segment| segment.last_seq).max().unwrap_or(0);
        let mut read = read_cursors(&files, dir, vault_id.unwrap_or(0), last_seq)?;
        add_missing(&mut read, known, last_seq);
        let (cursors, acks) = read.into_iter().unzip();
        let passed = AckedRanges::load(&files, dir, vault_id.unwrap_or(0), acks)?;
        let holds = holds::list(&*files, dir).map_err(VaultError::io("list the holds of", dir))?;
        for segment in &mut segments {
            let is_passed = passed.covers(segment.first_seq, segment.last_seq);
            segment.is_delivered = 0 < segment.records && is_passed;
            let covering = holds.iter().filter(|hold| hold.covers(segment.id));
            segment.held_by = covering.map(|hold| hold.name.clone()).collect();
        }
        Ok(Self { dir: dir.to_path_buf(), vault_id, writer, segments, cursors, holds, passed })
    }

    /// The cursors, but those of copies, that have not passed a record.
    pub fn behind(&self, seq: u64) -> impl Iterator<Item = &CursorSurvey> {
        let is_behind = move |(idx, _): &(usize, _)| !self.passed.covers_for(*idx, seq, seq);
        self.waiting().filter(is_behind).map(|(_, cursor)| cursor)
    }

    /// Whether every cursor, but those of copies, has passed a record; never without such a cursor.
    #[must_use]
    pub fn is_passed(&self, seq: u64) -> bool {
        self.waiting().next().is_some() && self.behind(seq).next().is_none()
    }

    /// The cursors that wait for a delivery, with their places in the list.
    fn waiting(&self) -> impl Iterator<Item = (usize, &CursorSurvey)> {
        let is_waiting = |(_, cursor): &(_, &CursorSurvey)| !is_copy_cursor(&cursor.name);
        self.cursors.iter().enumerate().filter(is_waiting)
    }
}

/// Whether a directory looks like a vault: it has an id, or segments.
#[must_use]
pub fn is_vault(dir: &Path) -> bool {
    let files = SystemFileSystem;
    let has_segments = || candidates(&files, dir).is_ok_and(|found| !found.is_empty());
    dir.join("vault_id").is_file() || has_segments()
}

/// Lists all segment files; one that is renamed while a directory is read may be missed once.
pub(crate) fn candidates(files: &dyn FileSystem, dir: &Path) -> Result<Vec<Candidate>, VaultError> {
    let mut found = BTreeMap::new();
    for _ in 0..2 {
        let listed = directory::list_segments(files, dir)?;
        found.extend(listed.into_iter().map(|candidate| (candidate.id, candidate)));
    }
    Ok(found.into_values().collect())
}

/// Finds a segment's file under the names it can have, in the order in which it takes them.
pub(crate) fn locate(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
) -> io::Result<Option<(Candidate, Box<dyn File>)>> {
    for (folder, is_quarantined) in [(dir.to_path_buf(), false), (dir.join(QUARANTINE_DIR), true)] {
        for extension in [EXTENSION_OPEN, EXTENSION_SEALED] {
            let path = id::segment_path(&folder, id, extension);
            match files.open(&path, Access::Direct) {
                Ok(file) => {
                    let (bytes, extension) = (file.bytes()?, extension.to_owned());
                    let candidate = Candidate { id, path, bytes, extension, is_quarantined };
                    return Ok(Some((candidate, file)));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// Examines a segment that may move meanwhile; `None` when it is gone.
pub(crate) fn examine_moving(
    files: &dyn FileSystem,
    dir: &Path,
    mut candidate: Candidate,
    vault_id: u128,
) -> Result<Option<Examined>, VaultError> {
    // Two renames at most lie ahead of any name.
    for _ in 0..4 {
        let (id, path) = (candidate.id, candidate.path.clone());
        match examine::examine(files, candidate, vault_id) {
            Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            answer => return answer.map(Some),
        }
        match locate(files, dir, id).map_err(VaultError::io("open", &path))? {
            Some((found, _)) => candidate = found,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The vault's id, as its file or else its segments tell it.
pub(crate) fn known_id(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    segments: &[Candidate],
) -> Result<Option<u128>, VaultError> {
    match identity::load(files, dir)? {
        Stored::Id(id) => Ok(Some(id)),
        Stored::Nothing | Stored::Damaged => Ok(identity::id_of_segments(&**files, segments)),
    }
}

/// Reads all cursors; changes nothing.
pub(crate) fn read_cursors(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    vault_id: u128,
    last_seq: u64,
) -> Result<Vec<(CursorSurvey, Acks)>, VaultError> {
    let folder = dir.join(CURSOR_DIR);
    let entries = match files.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        answer => answer.map_err(VaultError::io("list", &folder))?,
    };
    let mut cursors = Vec::new();
    for entry in entries.into_iter().filter(|entry| cursor::check_name(&entry.name).is_ok()) {
        let Some((cursor, is_damaged)) = read_cursor(files, dir, &entry.name, vault_id)? else {
            continue;
        };
        let acks = lock(&cursor.acks).clone();
        let passed = acks.low() + acks.above().len();
        let (name, low_seq) = (entry.name, acks.low());
        let backlog_records = last_seq.saturating_sub(passed);
        let survey = CursorSurvey { name, low_seq, backlog_records, is_damaged, is_missing: false };
        cursors.push((survey, acks));
    }
    cursors.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    Ok(cursors)
}

/// Adds the cursors that are known from before and have no file any more.
fn add_missing(read: &mut Vec<(CursorSurvey, Acks)>, known: &BTreeMap<String, u64>, last_seq: u64) {
    for (name, low) in known {
        if read.iter().any(|(cursor, _)| cursor.name == *name) {
            continue;
        }
        let (name, low_seq, backlog_records) = (name.clone(), *low, last_seq.saturating_sub(*low));
        let survey =
            CursorSurvey { name, low_seq, backlog_records, is_damaged: false, is_missing: true };
        read.push((survey, Acks::new(*low)));
    }
}

/// Reads one cursor and whether it is damaged; `None` when it is gone.
pub(crate) fn read_cursor(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    name: &str,
    vault_id: u128,
) -> Result<Option<(Cursor, bool)>, VaultError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Cursor::load(Arc::clone(files), dir, name, vault_id, 0) {
            Ok((_, true)) if tries < CURSOR_READS_MAX => {}
            Ok(loaded) => return Ok(Some(loaded)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(VaultError::io("read", &dir.join(CURSOR_DIR).join(name))(error));
            }
        }
    }
}

/// Asks whether a writer holds the lock. The kernel's list of locks is asked first, because trying
/// the lock could disturb a writer that takes it at that moment.
///
/// # Errors
///
/// [`VaultError::Io`] when the lock cannot be looked at.
pub fn writer_presence(dir: &Path) -> Result<WriterPresence, VaultError> {
    let path = dir.join("LOCK");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(WriterPresence::Absent),
        Err(error) => return Err(VaultError::io("open", &path)(error)),
    };
    let metadata = file.metadata().map_err(VaultError::io("read", &path))?;
    if let Some(pid) = lock_owner(metadata.dev(), metadata.ino()) {
        return Ok(WriterPresence::Present(Some(pid)));
    }
    // On some file systems the list names another device, and other namespaces are not in it.
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(WriterPresence::Absent),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(WriterPresence::Present(None)),
        Err(error) => Err(VaultError::io("probe", &path)(error.into())),
    }
}

fn lock_owner(device: u64, inode: u64) -> Option<u32> {
    let list = std::fs::read_to_string("/proc/locks").ok()?;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let mut words = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let held = words.find(|words| {
        words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|word| *word == place)
    })?;
    held.get(4)?.parse().ok()
}

fn describe(one: &Examined) -> SegmentSurvey {
    let trailer = &one.trailer;
    let state = match one.verdict {
        _ if one.candidate.is_quarantined => SurveyState::Quarantined,
        SegmentVerdict::Blank => SurveyState::Spare,
        SegmentVerdict::Sealed if one.header.is_some() => SurveyState::Sealed,
        SegmentVerdict::Scanned if one.candidate.extension == EXTENSION_OPEN => SurveyState::Open,
        _ => SurveyState::Damaged,
    };
    let is_spare = state == SurveyState::Spare;
    SegmentSurvey {
        id: one.candidate.id,
        state,
        path: one.candidate.path.clone(),
        first_seq: if is_spare { 0 } else { trailer.first_seq },
        last_seq: if is_spare { 0 } else { trailer.last_seq },
        records: trailer.record_count,
        raw_bytes: trailer.raw_bytes,
        stored_bytes: trailer.stored_bytes,
        file_bytes: one.candidate.bytes,
        created_unix_ns: one.header.map_or(0, |header| header.created_unix_ns),
        last_received_unix_ns: trailer.last_received_unix_ns,
        is_delivered: false,
        held_by: Vec::new(),
        prev: one.header.map_or((0, 0), |header| (header.prev_segment, header.prev_last_seq)),
    }
}
