//! Named durable cursors: what a reader has acknowledged, and what of it is on disk.
//!
//! ```text
//!  slot payload: vault_id u128, low u64, 64 words of u64
//!  every seq <= low is acknowledged; bit (seq mod 4096) stands for a seq in low+1 ..= low+4096
//! ```
//!
//! No offset is kept: the place of a seq follows from the segments, and a second truth could differ.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::vault::error::VaultError;
use crate::vault::fs::FileSystem;
use crate::vault::slots::SlotFile;
use crate::vault::state::lock;

/// How far above the low-water mark a record may be acknowledged.
pub(super) const WINDOW_RECORDS: u64 = 4096;
/// Folder of the cursors' files.
pub(super) const CURSOR_DIR: &str = "cursors";

const WORDS: usize = 64;
const NAME_LEN_MAX: usize = 64;

/// Acknowledged seqs: all up to `low`, and some of the window above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AckWindow {
    low: u64,
    words: [u64; WORDS],
}

impl AckWindow {
    /// Everything up to `low`, nothing above.
    pub(super) fn new(low: u64) -> Self {
        Self { low, words: [0; WORDS] }
    }

    /// Every seq up to this one is acknowledged.
    pub(super) fn low(&self) -> u64 {
        self.low
    }

    /// Whether a seq is acknowledged.
    pub(super) fn contains(&self, seq: u64) -> bool {
        seq <= self.low || (seq <= self.low + WINDOW_RECORDS && self.bit(seq))
    }

    /// Number of acknowledged seqs above the low-water mark.
    pub(super) fn above_low(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The highest acknowledged seq.
    pub(super) fn highest(&self) -> u64 {
        let window = self.low..=self.low.saturating_add(WINDOW_RECORDS);
        window.rev().find(|seq| self.contains(*seq)).unwrap_or(self.low)
    }

    /// Acknowledges a seq; one above the window is ignored, as no reader can have had it.
    pub(super) fn ack(&mut self, seq: u64) {
        if seq <= self.low || self.low + WINDOW_RECORDS < seq {
            return;
        }
        let (word, mask) = place(seq);
        self.words[word] |= mask;
        while self.bit(self.low + 1) {
            self.low += 1;
            let (word, mask) = place(self.low);
            self.words[word] &= !mask;
        }
    }

    /// Passes over seqs `first..=last` that do not exist. Returns whether it could: a range beyond the
    /// window must wait until everything before it is acknowledged.
    pub(super) fn pass(&mut self, first: u64, last: u64) -> bool {
        if first <= self.low + 1 {
            // Whatever bits the jump passes over are dealt with one by one; beyond them only zeros.
            let near = last.min(self.low + WINDOW_RECORDS);
            for seq in self.low + 1..=near {
                self.ack(seq);
            }
            self.low = self.low.max(last);
            return true;
        }
        if self.low + WINDOW_RECORDS < last {
            return false;
        }
        for seq in first..=last {
            self.ack(seq);
        }
        true
    }

    fn bit(&self, seq: u64) -> bool {
        let (word, mask) = place(seq);
        self.words[word] & mask != 0
    }

    fn encode(&self, vault_id: u128) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + 8 * WORDS);
        bytes.extend_from_slice(&vault_id.to_le_bytes());
        bytes.extend_from_slice(&self.low.to_le_bytes());
        for word in self.words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8], vault_id: u128) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (low, words) = rest.split_first_chunk::<8>()?;
        if u128::from_le_bytes(*id) != vault_id || words.len() != 8 * WORDS {
            return None;
        }
        let mut window = Self::new(u64::from_le_bytes(*low));
        for (word, bytes) in window.words.iter_mut().zip(words.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Some(window)
    }
}

fn place(seq: u64) -> (usize, u64) {
    let slot = seq % WINDOW_RECORDS;
    let word = usize::try_from(slot / 64).expect("fewer than 64 words");
    (word, 1 << (slot % 64))
}

/// One registered cursor; it holds segments back from retention whether or not a reader is open.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) acks: Mutex<AckWindow>,
    /// The low-water mark on disk: retention looks at nothing else.
    pub(super) saved_low: AtomicU64,
    /// A reader is open.
    pub(super) is_open: AtomicBool,
    vault_id: u128,
    slots: Mutex<SlotFile>,
}

impl Cursor {
    /// Makes a new cursor durably, with everything up to `low` passed.
    pub(super) fn create(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        name: &str,
        vault_id: u128,
        low: u64,
    ) -> Result<Self, VaultError> {
        let acks = AckWindow::new(low);
        let folder = dir.join(CURSOR_DIR);
        let slots = SlotFile::create(files, &folder, name, &acks.encode(vault_id))
            .map_err(VaultError::io("create cursor", &folder.join(name)))?;
        Ok(Self::assemble(name, vault_id, acks, slots))
    }

    /// Loads a cursor; one that is damaged starts at `oldest_low` again, which repeats records but
    /// never skips one. Returns also whether it was damaged.
    pub(super) fn load(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        name: &str,
        vault_id: u128,
        oldest_low: u64,
    ) -> io::Result<(Self, bool)> {
        let (slots, payload) = SlotFile::open(files, &dir.join(CURSOR_DIR).join(name))?;
        let stored = payload.and_then(|bytes| AckWindow::decode(&bytes, vault_id));
        let is_damaged = stored.is_none();
        let mut acks = stored.unwrap_or_else(|| AckWindow::new(oldest_low));
        if acks.low() < oldest_low {
            acks.pass(acks.low() + 1, oldest_low);
        }
        Ok((Self::assemble(name, vault_id, acks, slots), is_damaged))
    }

    fn assemble(name: &str, vault_id: u128, acks: AckWindow, slots: SlotFile) -> Self {
        Self {
            name: name.to_owned(),
            saved_low: AtomicU64::new(acks.low()),
            acks: Mutex::new(acks),
            is_open: AtomicBool::new(false),
            vault_id,
            slots: Mutex::new(slots),
        }
    }

    /// Makes the acknowledgements so far durable.
    pub(super) fn save(&self) -> io::Result<()> {
        // The slots are locked first, so that a later save never writes an older state.
        let mut slots = lock(&self.slots);
        let (low, payload) = {
            let acks = lock(&self.acks);
            (acks.low(), acks.encode(self.vault_id))
        };
        slots.write(&payload)?;
        self.saved_low.store(low, Ordering::Release);
        Ok(())
    }
}

/// Acknowledges records of a reader from any thread.
#[derive(Debug, Clone)]
pub struct CursorHandle {
    pub(super) cursor: Arc<Cursor>,
}

impl CursorHandle {
    /// Acknowledges one record, in any order; repeating it does nothing.
    pub fn ack(&self, seq: u64) {
        lock(&self.cursor.acks).ack(seq);
    }

    /// Returns the seq up to which everything is acknowledged.
    #[must_use]
    pub fn low(&self) -> u64 {
        lock(&self.cursor.acks).low()
    }
}

/// Checks a cursor's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, not starting with a dot, not a `.tmp`.
pub(super) fn check_name(name: &str) -> Result<(), VaultError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_valid = (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
        && !is_temporary(name);
    if is_valid { Ok(()) } else { Err(VaultError::CursorName { name: name.to_owned() }) }
}

/// Whether this is the name of a cursor file that was never finished.
pub(super) fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_water_mark_follows_once_gaps_close() {
        let mut acks = AckWindow::new(10);
        acks.ack(13);
        acks.ack(12);
        assert_eq!((acks.low(), acks.above_low()), (10, 2));
        acks.ack(11);
        assert_eq!((acks.low(), acks.above_low()), (13, 0));
    }

    #[test]
    fn the_window_bounds_what_can_be_acknowledged() {
        let mut acks = AckWindow::new(0);
        acks.ack(WINDOW_RECORDS + 1);
        assert!(!acks.contains(WINDOW_RECORDS + 1));
        for seq in (1..=WINDOW_RECORDS).rev() {
            acks.ack(seq);
        }
        assert_eq!((acks.low(), acks.above_low()), (WINDOW_RECORDS, 0));
    }

    #[test]
    fn missing_ranges_are_passed_when_nothing_is_pending_before_them() {
        let mut acks = AckWindow::new(5);
        acks.ack(7);
        assert!(!acks.pass(10, 100_000));
        assert!(acks.pass(9, 9));
        assert!(acks.pass(6, 8));
        assert_eq!(acks.low(), 9);
        assert!(acks.pass(10, 100_000));
        assert_eq!((acks.low(), acks.above_low()), (100_000, 0));
    }

    #[test]
    fn a_window_comes_back_from_its_bytes() {
        let mut acks = AckWindow::new(70_000);
        acks.ack(70_005);
        assert_eq!(AckWindow::decode(&acks.encode(3), 3), Some(acks.clone()));
        assert_eq!(AckWindow::decode(&acks.encode(3), 4), None);
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "x.tmp", ".hidden"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("s3-archive.v1_A").is_ok());
    }
}
