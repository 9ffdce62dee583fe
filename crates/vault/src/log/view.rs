//! The shared view of a vault: its segments, how far they are durable, and its cursors.
//!
//! The writer publishes here, readers follow, retention decides. No file is touched under the lock.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::VaultError;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::log::cursor::Cursor;
use crate::log::cursor::CursorHandle;
use crate::log::dropped::Dropped;
use crate::log::holds::Hold;
use crate::log::pins::Pins;
use crate::log::trouble::ReadTrouble;
use crate::segment::fault::DamagedRange;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::seq_ranges::SeqRanges;
use crate::state::lock;

/// What is known about one segment.
#[derive(Debug, Clone)]
pub struct SegmentInfo {
    /// Its number.
    pub id: SegmentId,
    /// Where it stands in its life.
    pub state: SegmentState,
    /// Its file, as of now: sealing and quarantine rename it.
    pub path: PathBuf,
    /// First seq it holds, or would hold.
    pub first_seq: u64,
    /// Last durable seq; `first_seq - 1` while there is none.
    pub last_seq: u64,
    /// Durable records.
    pub records: u64,
    /// Payload bytes before compression.
    pub raw_bytes: u64,
    /// Attribute and payload bytes on disk.
    pub stored_bytes: u64,
    /// End of the durable records in the file.
    pub data_end: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Wall clock at its first record; information only.
    pub created_unix_ns: u64,
    /// CRC-32/ISO-HDLC of bytes `0..data_end`; known once sealed.
    pub segment_crc: Option<u32>,
    /// BLAKE3 of the predecessor's digest and bytes `0..data_end`; known once sealed.
    pub digest: Option<[u8; 32]>,
}

/// A segment and the damage found in it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) info: SegmentInfo,
    pub(crate) faults: Vec<DamagedRange>,
    /// The disk does not give what is in it.
    pub(crate) trouble: Option<ReadTrouble>,
}

impl Listed {
    pub(crate) fn new(info: SegmentInfo, faults: Vec<DamagedRange>) -> Self {
        Self { info, faults, trouble: None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct LogState {
    pub(crate) segments: BTreeMap<SegmentId, Listed>,
    pub(crate) cursors: BTreeMap<String, Arc<Cursor>>,
    is_closed: bool,
}

impl LogState {
    /// The state recovery found.
    pub(crate) fn new(
        segments: BTreeMap<SegmentId, Listed>,
        cursors: BTreeMap<String, Arc<Cursor>>,
    ) -> Self {
        Self { segments, cursors, is_closed: false }
    }
}

/// Damage kept in memory for each segment; more is counted only.
const FAULTS_KEPT_MAX: usize = 256;

/// The shared view of one open vault.
#[derive(Debug)]
pub struct Log {
    pub(crate) files: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
    pub(crate) vault_id: u128,
    pub(crate) state: Mutex<LogState>,
    changed: Condvar,
    pub(crate) used_bytes: AtomicU64,
    /// The limit of `used_bytes`; none for a log that nobody writes.
    max_bytes: u64,
    /// No spare segment stands by and none can be made.
    pub(crate) is_full: AtomicBool,
    /// Segments stand by, and what is written to them finds no room.
    pub(crate) is_out_of_blocks: AtomicBool,
    /// How long reads are tried that the disk does not answer.
    pub(crate) read_patience: Duration,
    pub(crate) dropped: Mutex<Dropped>,
    /// Held by whoever chooses segments to delete, until they are out of the list.
    pub(crate) choosing: Mutex<()>,
    pub(crate) pins: Arc<Pins>,
    /// The holds as they were last read, and the bytes of the segments that only they keep.
    pub(crate) held: Mutex<(Vec<Hold>, u64)>,
    /// The segment that takes records, for who looks whether its file is still there.
    pub(crate) active: Mutex<Option<(SegmentId, Arc<dyn File>)>>,
    durable_seq: AtomicU64,
    pub(crate) corrupt_records: AtomicU64,
    pub(crate) lost_records: AtomicU64,
    /// Those of them whose files went away while it was open.
    pub(crate) lost_while_open: AtomicU64,
}

/// What a reader needs to know about the segment it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailView {
    pub(crate) data_end: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) is_closed: bool,
    /// First seq of the next segment: anything from it on in this one was written again there.
    pub(crate) next_first_seq: Option<u64>,
}

impl Log {
    /// Makes the view of a vault as recovery found it.
    pub(crate) fn new(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
        state: LogState,
        durable_seq: u64,
        used_bytes: u64,
        dropped: Dropped,
    ) -> Self {
        Self {
            files,
            dir: dir.to_path_buf(),
            vault_id,
            state: Mutex::new(state),
            changed: Condvar::new(),
            used_bytes: AtomicU64::new(used_bytes),
            max_bytes: u64::MAX,
            is_full: AtomicBool::new(false),
            is_out_of_blocks: AtomicBool::new(false),
            read_patience: Duration::ZERO,
            dropped: Mutex::new(dropped),
            choosing: Mutex::default(),
            pins: Arc::default(),
            held: Mutex::default(),
            active: Mutex::new(None),
            durable_seq: AtomicU64::new(durable_seq),
            corrupt_records: AtomicU64::new(0),
            lost_records: AtomicU64::new(0),
            lost_while_open: AtomicU64::new(0),
        }
    }

    /// Returns the vault's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the vault's id, made at random with its directory.
    #[must_use]
    pub fn vault_id(&self) -> u128 {
        self.vault_id
    }

    /// Returns the last seq that is durable at the configured level.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Returns the bytes of all files of the vault.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Acquire)
    }

    /// Returns whether no room could be made for another segment.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire) || self.is_out_of_blocks.load(Ordering::Acquire)
    }

    /// Sets the limit that [`Log::fill_permille`] is measured by.
    pub(crate) fn with_limit(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns how much of the disk budget is used, in thousandths; all of it while the vault is full,
    /// which it also is when the disk is.
    #[must_use]
    pub fn fill_permille(&self) -> u32 {
        if self.is_full() {
            return 1000;
        }
        let permille = u128::from(self.used_bytes()) * 1000 / u128::from(self.max_bytes.max(1));
        u32::try_from(permille.min(1000)).unwrap_or(1000)
    }

    /// Returns how many records were found damaged since open.
    #[must_use]
    pub fn corrupt_records(&self) -> u64 {
        self.corrupt_records.load(Ordering::Relaxed)
    }

    /// Returns how many acknowledged records were lost because their files went away while it was open.
    #[must_use]
    pub fn lost_while_open(&self) -> u64 {
        self.lost_while_open.load(Ordering::Relaxed)
    }

    /// Returns every cursor with the seq up to which it has durably acknowledged everything.
    #[must_use]
    pub fn saved_cursors(&self) -> BTreeMap<String, u64> {
        let state = lock(&self.state);
        let low = |cursor: &Arc<Cursor>| lock(&cursor.saved).low();
        state.cursors.iter().map(|(name, cursor)| (name.clone(), low(cursor))).collect()
    }

    /// Lists the segments that hold or held records, in order; spares are not among them.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        lock(&self.state).segments.values().map(|listed| listed.info.clone()).collect()
    }

    /// Returns how many segments there are, and how many of them are in quarantine.
    pub(crate) fn segments_len(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let is_aside = |listed: &&Listed| listed.info.state == SegmentState::Quarantined;
        (state.segments.len(), state.segments.values().filter(is_aside).count())
    }

    /// Forgets a cursor durably; what only it held back may be deleted.
    ///
    /// # Errors
    ///
    /// [`VaultError::CursorInUse`] while a reader is open, or [`VaultError::Io`].
    pub fn remove_cursor(&self, name: &str) -> Result<(), VaultError> {
        crate::log::cursor::check_name(name)?;
        let mut state = lock(&self.state);
        if state.cursors.get(name).is_some_and(|cursor| cursor.is_open.load(Ordering::Acquire)) {
            return Err(VaultError::CursorInUse { name: name.to_owned() });
        }
        if state.cursors.remove(name).is_none() {
            return Ok(());
        }
        drop(state);
        let folder = self.dir.join(crate::log::cursor::CURSOR_DIR);
        let path = folder.join(name);
        self.files.remove(&path).map_err(VaultError::io("remove", &path))?;
        self.files.sync_dir(&folder).map_err(VaultError::io("sync", &folder))
    }

    /// Returns a cursor that exists.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<CursorHandle> {
        let cursor = lock(&self.state).cursors.get(name).cloned();
        cursor.map(|cursor| CursorHandle { cursor })
    }

    /// Waits until a seq is durable, the log is closed, the reader is hurried or the time is over; returns the
    /// first.
    pub(crate) fn wait_for(&self, seq: u64, timeout: Duration, is_hurried: &AtomicBool) -> bool {
        let state = lock(&self.state);
        let is_waiting = |state: &mut LogState| {
            self.durable_seq() < seq && !state.is_closed && !is_hurried.load(Ordering::Acquire)
        };
        let waited = self.changed.wait_timeout_while(state, timeout, is_waiting);
        drop(waited);
        seq <= self.durable_seq()
    }

    /// Lets every waiting reader look whether it still has to wait.
    pub(crate) fn wake_readers(&self) {
        // One that has looked and does not wait yet has the lock.
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Wakes every waiting reader for good.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    /// Adds a segment.
    pub(crate) fn register(&self, info: SegmentInfo) {
        lock(&self.state).segments.insert(info.id, Listed::new(info, Vec::new()));
    }

    /// Makes a commit visible to readers.
    pub(crate) fn publish(&self, id: SegmentId, data_end: u64, last_seq: u64, bytes: [u64; 2]) {
        let mut state = lock(&self.state);
        if let Some(listed) = state.segments.get_mut(&id) {
            let info = &mut listed.info;
            info.records += last_seq - info.last_seq;
            info.data_end = data_end;
            info.last_seq = last_seq;
            info.raw_bytes += bytes[0];
            info.stored_bytes += bytes[1];
        }
        self.durable_seq.fetch_max(last_seq, Ordering::AcqRel);
        drop(state);
        self.changed.notify_all();
    }

    /// Changes what is known of a segment.
    pub(crate) fn update(&self, id: SegmentId, change: impl FnOnce(&mut SegmentInfo)) {
        if let Some(listed) = lock(&self.state).segments.get_mut(&id) {
            change(&mut listed.info);
        }
    }

    /// Returns what is known of a segment.
    pub(crate) fn info(&self, id: SegmentId) -> Option<SegmentInfo> {
        lock(&self.state).segments.get(&id).map(|listed| listed.info.clone())
    }

    /// Returns the segment a reader looks into, or `None` when it was deleted.
    pub(crate) fn tail(&self, id: SegmentId) -> Option<TailView> {
        let state = lock(&self.state);
        let info = &state.segments.get(&id)?.info;
        let next = state.segments.range(SegmentId(id.0 + 1)..).next();
        Some(TailView {
            data_end: info.data_end,
            first_seq: info.first_seq,
            last_seq: info.last_seq,
            is_closed: info.state != SegmentState::Open,
            next_first_seq: next.map(|(_, listed)| listed.info.first_seq),
        })
    }

    /// Returns the first segment after this one.
    pub(crate) fn next_after(&self, id: SegmentId) -> Option<SegmentId> {
        lock(&self.state).segments.range(SegmentId(id.0 + 1)..).next().map(|(id, _)| *id)
    }

    /// Returns the segment that holds a seq: the last one that starts at or before it.
    pub(crate) fn segment_of(&self, seq: u64) -> Option<SegmentId> {
        let state = lock(&self.state);
        let starts_before = |listed: &&Listed| listed.info.first_seq <= seq;
        let found = state.segments.values().rev().find(starts_before);
        found.or_else(|| state.segments.values().next()).map(|listed| listed.info.id)
    }

    /// Remembers damage; the helper sets the segment aside.
    pub(crate) fn report(&self, fault: DamagedRange) {
        let lost = fault.lost.map_or(0, |(first, last)| last - first + 1);
        self.corrupt_records.fetch_add(lost, Ordering::Relaxed);
        tracing::error!(segment = %fault.segment, kind = fault.kind.name(), start = fault.start,
            end = fault.end, lost = %SeqRanges(fault.lost.as_slice()), "Segment is damaged.");
        if let Some(listed) = lock(&self.state).segments.get_mut(&fault.segment)
            && listed.faults.len() < FAULTS_KEPT_MAX
            && !listed.faults.contains(&fault)
        {
            listed.faults.push(fault);
        }
    }
}
