//! Named durable cursors: what a reader has acknowledged, and what of it is on disk.
//!
//! ```text
//!  slot payload: vault_id u128, low u64, 64 words of u64, then any number of {first u64, last u64}
//!  every seq <= low is acknowledged; bit (seq mod 4096) stands for a seq in low+1 ..= low+4096;
//!  the ranges are acknowledged too, and lie above those
//! ```
//!
//! No offset is kept: the place of a seq follows from the segments, and a second truth could differ.
//! Where the acknowledged seqs are too scattered for a slot the largest ranges are kept: the others
//! are repeated after a crash.

use std::cmp::Reverse;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::seq_set::SeqSet;
use crate::slots::SlotFile;
use crate::state::lock;

/// How many seqs above the low-water mark have a bit of their own on disk.
const WINDOW_RECORDS: u64 = 4096;
/// Records that may be handed out and not acknowledged; bounds what is kept of them.
pub(crate) const OUTSTANDING_MAX: u64 = 4096;
/// Folder of the cursors' files.
pub(crate) const CURSOR_DIR: &str = "cursors";

const WORDS: usize = 64;
const NAME_LEN_MAX: usize = 64;
/// Ranges that are kept on disk: the rest of a slot.
const RANGES_MAX: usize = 200;

/// Acknowledged seqs: all up to `low`, and some above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acks {
    low: u64,
    above: SeqSet,
}

impl Acks {
    /// Everything up to `low`, nothing above.
    pub(crate) fn new(low: u64) -> Self {
        Self { low, above: SeqSet::default() }
    }

    /// Every seq up to this one is acknowledged.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// What is acknowledged above `low`.
    pub(crate) fn above(&self) -> &SeqSet {
        &self.above
    }

    /// Everything that is acknowledged, as one set.
    pub(crate) fn as_set(&self) -> SeqSet {
        let mut set = self.above.clone();
        set.insert_range(0, self.low);
        set
    }

    /// Whether a seq is acknowledged.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        seq <= self.low || self.above.contains(seq)
    }

    /// Whether each of `first..=last` is acknowledged.
    pub(crate) fn covers(&self, first: u64, last: u64) -> bool {
        let first = first.max(self.low + 1);
        last < first || self.above.range_of(first).is_some_and(|(_, end)| last <= end)
    }

    /// How many of `first..=last` are acknowledged.
    pub(crate) fn count_in(&self, first: u64, last: u64) -> u64 {
        let below = (self.low.min(last) + 1).saturating_sub(first);
        below + self.above.count_in(first.max(self.low + 1), last)
    }

    /// The highest acknowledged seq.
    pub(crate) fn highest(&self) -> u64 {
        self.above.last().unwrap_or(self.low)
    }

    /// What is acknowledged in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = Self::new(self.low.min(other.low));
        for (first, last) in self.as_set().ranges() {
            for (start, end) in other.as_set().ranges() {
                if first <= end && start <= last {
                    both.pass(first.max(start), last.min(end));
                }
            }
        }
        both
    }

    /// Acknowledges a seq.
    pub(crate) fn ack(&mut self, seq: u64) {
        self.pass(seq, seq);
    }

    /// Passes over seqs `first..=last`: acknowledged, or not there.
    pub(crate) fn pass(&mut self, first: u64, last: u64) {
        if last <= self.low {
            return;
        }
        self.above.insert_range(first.max(self.low + 1), last);
        if let Some((_, end)) = self.above.range_of(self.low + 1) {
            self.low = end;
            self.above.remove_through(end);
        }
    }

    /// What fits a slot: the scattered seqs near `low`, and the largest ranges beyond.
    fn encode(&self, vault_id: u128) -> Vec<u8> {
        let mut words = [0_u64; WORDS];
        let window_end = self.low.saturating_add(WINDOW_RECORDS);
        let mut beyond = Vec::new();
        for (first, last) in self.above.ranges() {
            for seq in first..=last.min(window_end) {
                let (word, mask) = place(seq);
                words[word] |= mask;
            }
            if window_end < last {
                beyond.push((first.max(window_end + 1), last));
            }
        }
        if RANGES_MAX < beyond.len() {
            beyond.sort_by_key(|(first, last)| Reverse(last - first));
            beyond.truncate(RANGES_MAX);
            beyond.sort_unstable();
        }
        let mut bytes = Vec::with_capacity(24 + 8 * WORDS + 16 * beyond.len());
        bytes.extend_from_slice(&vault_id.to_le_bytes());
        bytes.extend_from_slice(&self.low.to_le_bytes());
        let ranges = beyond.into_iter().flat_map(|(first, last)| [first, last]);
        for word in words.into_iter().chain(ranges) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8], vault_id: u128) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (low, rest) = rest.split_first_chunk::<8>()?;
        let (words, ranges) = rest.split_at_checked(8 * WORDS)?;
        let (ranges, []) = ranges.as_chunks::<16>() else { return None };
        if u128::from_le_bytes(*id) != vault_id {
            return None;
        }
        let low = u64::from_le_bytes(*low);
        let words: Vec<u64> =
            words.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let mut acks = Self::new(low);
        for seq in low.checked_add(1)?..=low.checked_add(WINDOW_RECORDS)? {
            let (word, mask) = place(seq);
            if words[word] & mask != 0 {
                acks.above.insert_range(seq, seq);
            }
        }
        for range in ranges {
            let (first, last) = range.split_at(8);
            let read = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            let (first, last) = (read(first)?, read(last)?);
            if first <= acks.highest() || last < first || last == u64::MAX {
                return None;
            }
            acks.above.insert_range(first, last);
        }
        acks.pass(low, low);
        Some(acks)
    }
}

fn place(seq: u64) -> (usize, u64) {
    let slot = seq % WINDOW_RECORDS;
    let word = usize::try_from(slot / 64).expect("fewer than 64 words");
    (word, 1 << (slot % 64))
}

/// One registered cursor; it holds segments back from retention whether or not a reader is open.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) name: String,
    pub(crate) acks: Mutex<Acks>,
    /// What of it is on disk: retention looks at nothing else.
    pub(crate) saved: Mutex<Acks>,
    /// What its reader has handed out or passed, or is acknowledged; as acknowledged while no reader
    /// is open.
    pub(crate) given: Mutex<SeqSet>,
    /// A reader is open.
    pub(crate) is_open: AtomicBool,
    /// Acknowledgements since the last save.
    pub(crate) unsaved: AtomicU64,
    /// Its file is damaged: it is written whether or not something is new.
    is_damaged: AtomicBool,
    vault_id: u128,
    slots: Mutex<SlotFile>,
}

impl Cursor {
    /// Makes a new cursor durably, with what is in `acks` passed.
    pub(crate) fn create(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        name: &str,
        vault_id: u128,
        acks: Acks,
    ) -> Result<Self, VaultError> {
        let folder = dir.join(CURSOR_DIR);
        let slots = SlotFile::create(files, &folder, name, &acks.encode(vault_id))
            .map_err(VaultError::io("create cursor", &folder.join(name)))?;
        Ok(Self::assemble(name, vault_id, acks, slots))
    }

    /// Loads a cursor; one that is damaged starts at `oldest_low` again, which repeats records but
    /// never skips one. Returns also whether it was damaged.
    pub(crate) fn load(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        name: &str,
        vault_id: u128,
        oldest_low: u64,
    ) -> io::Result<(Self, bool)> {
        let (slots, payload) = SlotFile::open(files, &dir.join(CURSOR_DIR).join(name))?;
        let stored = payload.and_then(|bytes| Acks::decode(&bytes, vault_id));
        let is_damaged = stored.is_none();
        let mut acks = stored.unwrap_or_else(|| Acks::new(oldest_low));
        if acks.low() < oldest_low {
            acks.pass(acks.low() + 1, oldest_low);
        }
        let cursor = Self::assemble(name, vault_id, acks, slots);
        cursor.is_damaged.store(is_damaged, Ordering::Relaxed);
        Ok((cursor, is_damaged))
    }

    fn assemble(name: &str, vault_id: u128, acks: Acks, slots: SlotFile) -> Self {
        Self {
            name: name.to_owned(),
            saved: Mutex::new(acks.clone()),
            given: Mutex::new(acks.as_set()),
            acks: Mutex::new(acks),
            is_open: AtomicBool::new(false),
            unsaved: AtomicU64::new(0),
            is_damaged: AtomicBool::new(false),
            vault_id,
            slots: Mutex::new(slots),
        }
    }

    /// Number of records handed out and not acknowledged.
    pub(crate) fn outstanding(&self) -> u64 {
        let acknowledged = {
            let acks = lock(&self.acks);
            // Seq 0 exists in the set only, as its beginning.
            acks.low() + 1 + acks.above().len()
        };
        lock(&self.given).len().saturating_sub(acknowledged)
    }

    /// Whether some record between two seqs was handed out and is not acknowledged.
    pub(crate) fn is_under_way(&self, first: u64, last: u64) -> bool {
        let acknowledged = lock(&self.acks).count_in(first, last);
        acknowledged < lock(&self.given).count_in(first, last)
    }

    /// Makes its file again if it was taken away; returns whether it was.
    pub(crate) fn put_back(&self) -> io::Result<bool> {
        let mut slots = lock(&self.slots);
        let payload = lock(&self.saved).encode(self.vault_id);
        slots.put_back(&payload)
    }

    /// Passes what nobody can read any more.
    pub(crate) fn give_up(&self, first: u64, last: u64) {
        lock(&self.given).insert_range(first, last);
        lock(&self.acks).pass(first, last);
    }

    /// Makes the acknowledgements so far durable.
    pub(crate) fn save(&self) -> io::Result<()> {
        // The slots are locked first, so that a later save never writes an older state.
        let mut slots = lock(&self.slots);
        self.unsaved.store(0, Ordering::Relaxed);
        let payload = lock(&self.acks).encode(self.vault_id);
        // A vault that is at rest leaves its disk at rest.
        let is_new = lock(&self.saved).encode(self.vault_id) != payload;
        if !is_new && !self.is_damaged.load(Ordering::Relaxed) {
            return Ok(());
        }
        slots.write(&payload)?;
        self.is_damaged.store(false, Ordering::Relaxed);
        // What did not fit is not on disk.
        if let Some(saved) = Acks::decode(&payload, self.vault_id) {
            *lock(&self.saved) = saved;
        }
        Ok(())
    }
}

/// Acknowledges records of a reader from any thread.
#[derive(Debug, Clone)]
pub struct CursorHandle {
    pub(crate) cursor: Arc<Cursor>,
}

impl CursorHandle {
    /// Acknowledges one record, in any order; repeating it does nothing.
    pub fn ack(&self, seq: u64) {
        lock(&self.cursor.acks).ack(seq);
        self.cursor.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// Acknowledges records `first..=last`, whether or not they were handed out.
    pub fn pass(&self, first: u64, last: u64) {
        let mut acks = lock(&self.cursor.acks);
        if acks.covers(first, last) {
            return;
        }
        acks.pass(first, last);
        drop(acks);
        lock(&self.cursor.given).insert_range(first, last);
        self.cursor.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// As [`Reader::save`](crate::Reader::save), from any thread.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn save(&self) -> Result<(), VaultError> {
        self.cursor.save().map_err(VaultError::io("save cursor", Path::new(&self.cursor.name)))
    }

    /// Whether another handle is one of the same cursor.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cursor, &other.cursor)
    }

    /// Whether a record is acknowledged.
    #[must_use]
    pub fn has(&self, seq: u64) -> bool {
        lock(&self.cursor.acks).contains(seq)
    }

    /// Whether records `first..=last` are acknowledged, all of them.
    #[must_use]
    pub fn covers(&self, first: u64, last: u64) -> bool {
        lock(&self.cursor.acks).covers(first, last)
    }

    /// Returns the seq up to which everything is acknowledged.
    #[must_use]
    pub fn low(&self) -> u64 {
        lock(&self.cursor.acks).low()
    }
}

/// How the names of cursors end that follow a copy of the vault, such as an archive.
pub const COPY_SUFFIX: &str = ".COPY";

/// Whether a cursor follows a copy of the vault: what it has not passed is kept for it, but nobody waits for
/// its delivery.
#[must_use]
pub fn is_copy_cursor(name: &str) -> bool {
    name.ends_with(COPY_SUFFIX)
}

/// Checks a cursor's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, not starting with a dot, not a `.tmp`.
pub(crate) fn check_name(name: &str) -> Result<(), VaultError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_valid = (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
        && !is_temporary(name);
    if is_valid { Ok(()) } else { Err(VaultError::CursorName { name: name.to_owned() }) }
}

/// Whether this is the name of a cursor file that was never finished.
pub(crate) fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_water_mark_follows_once_gaps_close() {
        let mut acks = Acks::new(10);
        acks.ack(13);
        acks.ack(12);
        assert_eq!((acks.low(), acks.above().len()), (10, 2));
        assert!(acks.covers(12, 13) && acks.covers(3, 10) && !acks.covers(3, 11));
        assert_eq!(acks.count_in(9, 12), 3);
        acks.ack(11);
        assert_eq!((acks.low(), acks.above().len()), (13, 0));
    }

    #[test]
    fn what_two_have_passed_is_what_each_has() {
        let (mut one, mut other) = (Acks::new(10), Acks::new(5));
        one.pass(20, 30);
        one.ack(40);
        other.pass(8, 25);
        other.pass(28, 50);
        let both = one.and(&other);
        assert_eq!(both, other.and(&one));
        for seq in 0..60 {
            assert_eq!(both.contains(seq), one.contains(seq) && other.contains(seq), "{seq}");
        }
    }

    #[test]
    fn acknowledged_seqs_come_back_from_their_bytes() {
        let mut acks = Acks::new(70_000);
        acks.ack(70_005);
        acks.pass(70_010, 90_000);
        acks.pass(100_000, 200_000);
        assert_eq!(Acks::decode(&acks.encode(3), 3), Some(acks.clone()));
        assert_eq!(Acks::decode(&acks.encode(3), 4), None);
    }

    #[test]
    fn what_does_not_fit_a_slot_is_repeated_never_skipped() {
        let mut acks = Acks::new(0);
        for part in 1..=1000 {
            acks.pass(part * 10_000, part * 10_000 + part);
        }
        let bytes = acks.encode(3);
        assert!(bytes.len() <= 4000, "{} bytes fit a slot", bytes.len());
        let kept = Acks::decode(&bytes, 3).expect("is whole");
        assert!(kept.covers(10_000_000, 10_001_000) && !kept.contains(10_000));
        for (first, last) in kept.above().ranges() {
            assert!(acks.covers(first, last), "{first} to {last} is invented");
        }
    }

    #[test]
    fn damaged_ranges_are_refused() {
        let mut acks = Acks::new(0);
        acks.pass(10_000, 20_000);
        let bytes = acks.encode(3);
        let mut swapped = bytes.clone();
        let at = bytes.len() - 16;
        swapped[at..at + 8].copy_from_slice(&30_000_u64.to_le_bytes());
        assert_eq!(Acks::decode(&swapped, 3), None);
        assert_eq!(Acks::decode(&bytes[..bytes.len() - 1], 3), None);
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "x.tmp", ".hidden"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("s3-archive.v1_A").is_ok());
    }
}
