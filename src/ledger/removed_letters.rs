//! Which dead letters were taken out of their store: delivered after all, or dropped by an operator.
//!
//! ```text
//!  file `removed` in the directory of the store
//!    line  gophership removed letters 1 VAULT_ID UNIX_NS BLAKE3
//!    then  a line for each range of sequence numbers: FIRST LAST; BLAKE3 is of these lines
//! ```
//!
//! The store is a log that only grows at its end, and single requests cannot be taken out of it. The
//! file names them instead, and who reads the store leaves them out. A segment of which all are
//! named is deleted as any other that its cursors have passed.
//!
//! The file is replaced as a whole: written beside, synced and renamed. One that is damaged names
//! nothing: letters come back, and none is lost.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;

use gophership_units::unix_ns;
use gophership_vault::SeqSet;

const FILE_NAME: &str = "removed";
const FILE_NAME_NEW: &str = "removed.tmp";
const MAGIC: &str = "gophership removed letters 1";

/// Ranges that may be kept, which bounds the file and the memory: some 2 MiB each.
pub const REMOVED_RANGES_MAX: usize = 64 << 10;

/// The dead letters of a store that were taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedLetters {
    /// The id of the store that the numbers belong to.
    vault_id: u128,
    /// When the file was written.
    written_unix_ns: u64,
    seqs: SeqSet,
}

impl RemovedLetters {
    /// Reads which letters of the store in a directory were taken out; none without a file.
    ///
    /// # Errors
    ///
    /// Whatever the system says but that there is no file.
    pub fn read(store: &Path) -> io::Result<Self> {
        let path = store.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Ok(decode(&bytes).unwrap_or_else(|| {
            tracing::error!(
                file = %path.display(),
                "The list of removed dead letters is damaged; GopherShip keeps all letters."
            );
            Self::default()
        }))
    }

    /// As [`RemovedLetters::read`], for who has opened the store: what it does not have is left out.
    ///
    /// # Errors
    ///
    /// As [`RemovedLetters::read`].
    pub fn read_for(store: &Path, vault_id: u128, durable_seq: u64) -> io::Result<Self> {
        let read = Self::read(store)?;
        let mut seqs = SeqSet::default();
        if read.vault_id == vault_id {
            // A store whose files went away gives the numbers again.
            for (first, last) in read.seqs.ranges() {
                seqs.insert_range(first, last.min(durable_seq));
            }
        }
        Ok(Self { vault_id, written_unix_ns: read.written_unix_ns, seqs })
    }

    /// Whether a letter was taken out.
    #[must_use]
    pub fn has(&self, seq: u64) -> bool {
        self.seqs.contains(seq)
    }

    /// How many letters of a range of sequence numbers were taken out.
    #[must_use]
    pub fn count_in(&self, first_seq: u64, last_seq: u64) -> u64 {
        self.seqs.count_in(first_seq, last_seq)
    }

    /// Takes letters out.
    pub fn add(&mut self, first_seq: u64, last_seq: u64) {
        self.seqs.insert_range(first_seq, last_seq);
    }

    /// The ranges of the letters that were taken out.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.seqs.ranges()
    }

    /// Number of ranges.
    #[must_use]
    pub fn ranges_len(&self) -> usize {
        self.seqs.ranges_len()
    }

    /// When letters were last taken out, in nanoseconds since 1970; 0 if never.
    #[must_use]
    pub const fn written_unix_ns(&self) -> u64 {
        self.written_unix_ns
    }

    /// Writes the list durably into the directory of the store. Blocks.
    ///
    /// # Errors
    ///
    /// What the system says; the list that was there stays.
    pub fn write(&self, store: &Path) -> io::Result<()> {
        let fresh = store.join(FILE_NAME_NEW);
        let mut file = File::create(&fresh)?;
        file.write_all(self.encode(unix_ns()).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(fresh, store.join(FILE_NAME))?;
        File::open(store)?.sync_all()
    }

    fn encode(&self, now_unix_ns: u64) -> String {
        let mut lines = String::new();
        for (first, last) in self.seqs.ranges() {
            // Writing to a string cannot fail.
            let _written = writeln!(lines, "{first} {last}");
        }
        let (id, digest) = (self.vault_id, blake3::hash(lines.as_bytes()));
        format!("{MAGIC} {id:032x} {now_unix_ns} {digest}\n{lines}")
    }
}

fn decode(bytes: &[u8]) -> Option<RemovedLetters> {
    let (head, lines) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let mut words = head.strip_prefix(MAGIC)?.split_whitespace();
    let vault_id = u128::from_str_radix(words.next()?, 16).ok()?;
    let written_unix_ns = words.next()?.parse().ok()?;
    if words.next()? != blake3::hash(lines.as_bytes()).to_hex().as_str() {
        return None;
    }
    let mut seqs = SeqSet::default();
    for line in lines.lines() {
        let (first, last) = line.split_once(' ')?;
        seqs.insert_range(first.parse().ok()?, last.parse().ok()?);
    }
    Some(RemovedLetters { vault_id, written_unix_ns, seqs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> RemovedLetters {
        let mut removed = RemovedLetters { vault_id: 7, ..RemovedLetters::default() };
        removed.add(1, 5);
        removed.add(9, 9);
        removed
    }

    #[test]
    fn the_list_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RemovedLetters::read(dir.path()).unwrap(), RemovedLetters::default());
        some().write(dir.path()).unwrap();
        let read = RemovedLetters::read(dir.path()).unwrap();
        assert_eq!(read.seqs, some().seqs);
        assert!(read.has(5) && !read.has(6) && 0 < read.written_unix_ns());
        assert!(!dir.path().join(FILE_NAME_NEW).exists());
    }

    #[test]
    fn of_another_store_or_beyond_its_end_nothing_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        some().write(dir.path()).unwrap();
        let of = |id, durable| RemovedLetters::read_for(dir.path(), id, durable).unwrap();
        assert_eq!(of(7, 4).ranges().collect::<Vec<_>>(), [(1, 4)]);
        assert_eq!(of(8, 100).ranges_len(), 0);
    }

    #[test]
    fn a_damaged_list_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        some().write(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [text.replace("9 9", "9 90"), text.replace(" 1 ", " 2 "), String::new()] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(RemovedLetters::read(dir.path()).unwrap().ranges_len(), 0);
        }
    }
}
