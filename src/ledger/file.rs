//! The file of the books: two slots that are written in turn, so that a torn write costs one writing.
//!
//! ```text
//!  slot (524,288 bytes; generation g goes to slot g mod 2)
//!    line  gophership ledger 2 GENERATION LENGTH BLAKE3
//!    then  LENGTH bytes of JSON; BLAKE3 is of the generation in text and these bytes
//! ```
//!
//! Version 1 had slots of 65,536 bytes and sums without rows. It is read, and replaced in its place: the
//! first writing goes to the second slot, which begins behind all that version 1 had.
//!
//! The newest valid slot wins. The file is written in place, so it needs no new room on a full disk.
//! Whoever writes it holds its lock, by which others see that a server is running.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FlockOperation;
use serde_json::Value;

use super::LedgerRows;
use super::LedgerSnapshot;

/// Its name in the data folder.
pub const FILE_NAME: &str = "ledger";
const SLOT_LEN: usize = 512 << 10;
const SLOT_BYTES: u64 = SLOT_LEN as u64;
const MAGIC: &str = "gophership ledger 2";
const OLD_SLOT_LEN: usize = 64 << 10;
const OLD_SLOT_BYTES: u64 = OLD_SLOT_LEN as u64;
const OLD_MAGIC: &str = "gophership ledger 1";
/// Somebody who looks whether a server is running holds the lock for a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_TRY_EVERY: Duration = Duration::from_millis(10);

/// What a look at the file shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredLedger {
    /// There is none.
    Nothing,
    /// Neither slot can be read.
    Damaged,
    /// The newest page, and the number of its writing.
    Snapshot(u64, Box<LedgerSnapshot>),
}

/// Reads the books in a data folder, beside a running server or without one.
///
/// # Errors
///
/// Whatever the system says but that there is no file.
pub fn read(data_dir: &Path) -> io::Result<StoredLedger> {
    match File::open(data_dir.join(FILE_NAME)) {
        Ok(file) => Ok(newest(&file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StoredLedger::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether a server keeps the books in a data folder now.
///
/// # Errors
///
/// Whatever the system says but that there is no file, or that its lock is held.
pub fn is_kept(data_dir: &Path) -> io::Result<bool> {
    let file = match File::open(data_dir.join(FILE_NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The file, open and locked for whoever keeps it.
#[derive(Debug)]
pub(super) struct LedgerFile {
    file: File,
    path: PathBuf,
    generation: u64,
    /// The newest page is one of version 1.
    is_old: bool,
}

impl LedgerFile {
    /// Opens the file, or makes it, and returns what is in it. What is damaged is set aside.
    pub(super) fn open(data_dir: &Path) -> io::Result<(Self, StoredLedger)> {
        let path = data_dir.join(FILE_NAME);
        let mut file = open_at(&path)?;
        let (found, is_old) = look(&file);
        if found == StoredLedger::Damaged {
            std::fs::rename(&path, path.with_extension("damaged"))?;
            file = open_at(&path)?;
        }
        lock(&file)?;
        let generation =
            if let StoredLedger::Snapshot(generation, _) = &found { *generation } else { 0 };
        if generation == 0 {
            // On a full disk there is no room yet; then the first writing says so, and is tried again.
            let _no_room =
                file.write_all_at(&vec![0; 2 * SLOT_LEN], 0).and_then(|()| file.sync_all());
            File::open(data_dir)?.sync_all()?;
        }
        Ok((Self { file, path, generation, is_old }, found))
    }

    /// Writes a page to the older slot and makes it durable.
    pub(super) fn write(&mut self, snapshot: &LedgerSnapshot) -> io::Result<()> {
        if !self.is_in_place() {
            self.put_back()?;
        }
        // What version 1 wrote is read until this is written.
        let generation = (self.generation + 1) | u64::from(self.is_old);
        let json = serde_json::to_string(snapshot).map_err(io::Error::other)?;
        let head = format!("{MAGIC} {generation} {} {}\n", json.len(), digest(generation, &json));
        let slot = format!("{head}{json}");
        if SLOT_BYTES < slot.len() as u64 {
            return Err(io::Error::other("a snapshot of the ledger is larger than its slot"));
        }
        self.file.write_all_at(slot.as_bytes(), generation % 2 * SLOT_BYTES)?;
        self.file.sync_data()?;
        self.generation = generation;
        if std::mem::take(&mut self.is_old) {
            // So that version 1 takes the file for damaged, and not this page for the newest.
            self.file.write_all_at(&vec![0; OLD_SLOT_LEN], OLD_SLOT_BYTES)?;
        }
        Ok(())
    }

    /// Whether the file is still the one under its name.
    pub(super) fn is_in_place(&self) -> bool {
        let is_same = |there: std::fs::Metadata, ours: std::fs::Metadata| {
            (there.dev(), there.ino()) == (ours.dev(), ours.ino())
        };
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => is_same(there, ours),
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    /// Makes the file again that was taken away, and locks it.
    fn put_back(&mut self) -> io::Result<()> {
        let data_dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(data_dir)?;
        let file = open_at(&self.path)?;
        lock(&file)?;
        file.write_all_at(&vec![0; 2 * SLOT_LEN], 0)?;
        File::open(data_dir)?.sync_all()?;
        tracing::error!(
            file = %self.path.display(),
            "The ledger file is gone; GopherShip creates it again."
        );
        self.file = file;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn open_at(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[expect(clippy::disallowed_methods, reason = "its caller is on a thread that may block")]
fn lock(file: &File) -> io::Result<()> {
    for _ in 1..LOCK_TRIES {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_TRY_EVERY),
            answer => return answer.map_err(io::Error::from),
        }
    }
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from)
}

fn digest(generation: u64, json: &str) -> blake3::Hash {
    blake3::hash(format!("{generation} {json}").as_bytes())
}

fn newest(file: &File) -> StoredLedger {
    look(file).0
}

/// The newest page, and whether it is one of version 1.
fn look(file: &File) -> (StoredLedger, bool) {
    let is_blank = |offset: u64| {
        let mut first = [0];
        file.read_at(&mut first, offset).is_ok() && first == [0]
    };
    // A server that was killed before its first writing leaves this.
    if [0, OLD_SLOT_BYTES, SLOT_BYTES].into_iter().all(is_blank) {
        return (StoredLedger::Nothing, false);
    }
    let new = [0, SLOT_BYTES].map(|offset| {
        let (generation, json) = read_slot(file, offset, SLOT_LEN, MAGIC)?;
        Some((generation, false, serde_json::from_str(&json).ok()?))
    });
    let old = [0, OLD_SLOT_BYTES].map(|offset| {
        let (generation, json) = read_slot(file, offset, OLD_SLOT_LEN, OLD_MAGIC)?;
        Some((generation, true, old_page(&json)?))
    });
    let best = new.into_iter().chain(old).flatten().max_by_key(|(generation, ..)| *generation);
    best.map_or((StoredLedger::Damaged, false), |(generation, is_old, snapshot)| {
        (StoredLedger::Snapshot(generation, Box::new(snapshot)), is_old)
    })
}

/// A page of version 1, which had sums only.
fn old_page(json: &str) -> Option<LedgerSnapshot> {
    let mut snapshot: Value = serde_json::from_str(json).ok()?;
    for side in ["before", "process"] {
        let side = snapshot.get_mut(side)?;
        let all_totals = serde_json::from_value(side.take()).ok()?;
        *side = serde_json::to_value(LedgerRows::unknown(all_totals)).ok()?;
    }
    serde_json::from_value(snapshot).ok()
}

fn read_slot(file: &File, offset: u64, len: usize, magic: &str) -> Option<(u64, String)> {
    let mut slot = Vec::new();
    let mut block = vec![0; len];
    // A short read ends at the end of the file; an unreadable slot counts as a damaged one.
    while slot.len() < len {
        let read =
            file.read_at(block.get_mut(..len - slot.len())?, offset + slot.len() as u64).ok()?;
        if read == 0 {
            break;
        }
        slot.extend_from_slice(block.get(..read)?);
    }
    decode(&slot, magic)
}

fn decode(slot: &[u8], magic: &str) -> Option<(u64, String)> {
    let end = slot.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(slot.get(..end)?).ok()?.strip_prefix(magic)?;
    let mut words = head.split_whitespace();
    let generation: u64 = words.next()?.parse().ok()?;
    let len: usize = words.next()?.parse().ok()?;
    let stored = words.next()?;
    let json = slot.get(end + 1..)?.get(..len)?;
    let json = std::str::from_utf8(json).ok()?;
    let is_whole = digest(generation, json).to_hex().as_str() == stored;
    is_whole.then(|| (generation, json.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ROWS_OWN;
    use crate::event::Signal;
    use crate::ledger::LINES;
    use crate::ledger::SINK_LINES;
    use crate::ledger::SignalTotals;

    fn snapshot(starts: u64) -> LedgerSnapshot {
        LedgerSnapshot { starts, ..LedgerSnapshot::default() }
    }

    fn starts_in(dir: &Path) -> Option<u64> {
        match read(dir).unwrap() {
            StoredLedger::Snapshot(_, snapshot) => Some(snapshot.starts),
            _ => None,
        }
    }

    fn scribble(dir: &Path, offset: u64) {
        let file = OpenOptions::new().write(true).open(dir.join(FILE_NAME)).unwrap();
        file.write_all_at(b"x", offset).unwrap();
    }

    /// As version 1 wrote it.
    fn write_old(dir: &Path, generation: u64, json: &str) {
        let mut slot = vec![0; 2 * OLD_SLOT_LEN];
        let text =
            format!("{OLD_MAGIC} {generation} {} {}\n{json}", json.len(), digest(generation, json));
        let offset = usize::from(generation % 2 == 1) * OLD_SLOT_LEN;
        slot[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        std::fs::write(dir.join(FILE_NAME), slot).unwrap();
    }

    #[test]
    fn a_page_of_version_1_is_read_and_replaced_where_it_stands() {
        let old = r#"{"begun_unix_ns":5,"written_unix_ns":6,"standing":"quiet","starts":3,"kills":0,
            "last_kill":null,"is_unsettled":false,"vaults":["vault"],
            "before":{"logs":{"received":30,"delivered":30},"traces":{},"metrics":{}},
            "process":{"logs":{"received":12,"vaulted":12},"traces":{},"metrics":{}}}"#;
        for generation in [6, 7] {
            let dir = tempfile::tempdir().unwrap();
            write_old(dir.path(), generation, old);
            let (mut file, found) = LedgerFile::open(dir.path()).unwrap();
            let StoredLedger::Snapshot(_, snapshot) = found else { panic!("{found:?}") };
            assert_eq!((snapshot.starts, snapshot.vaults.len()), (3, 1));
            let unknown = &snapshot.rows().sources["-"];
            let lines = ["received", "delivered", "vaulted"];
            assert_eq!(lines.map(|line| unknown.of_signal(Signal::Logs).get(line)), [42, 30, 12]);
            assert!(snapshot.rows().is_balanced());
            for starts in 4..=6 {
                file.write(&LedgerSnapshot { starts, ..(*snapshot).clone() }).unwrap();
                assert_eq!(starts_in(dir.path()), Some(starts));
                let bytes = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
                assert!(bytes[OLD_SLOT_LEN..2 * OLD_SLOT_LEN].iter().all(|byte| *byte == 0));
            }
            let bytes = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
            assert!(bytes.starts_with(MAGIC.as_bytes()) && bytes.len() > SLOT_LEN);
        }
    }

    #[test]
    fn a_page_with_every_row_and_the_longest_names_and_numbers_fits_a_slot() {
        let mut rows = LedgerRows::default();
        let mut all_totals = SignalTotals::default();
        for (signal, line) in Signal::ALL.iter().flat_map(|s| LINES.map(|line| (s, line))) {
            all_totals.of_mut(*signal).add(line, i64::MIN);
        }
        for number in 0..=ROWS_OWN {
            let name = format!("{number:064}");
            rows.sources.insert(name.clone(), all_totals.clone());
            let mut of_sink = SignalTotals::default();
            for (signal, line) in Signal::ALL.iter().flat_map(|s| SINK_LINES.map(|l| (s, l))) {
                of_sink.of_mut(*signal).add(line, i64::MIN);
            }
            rows.sinks.insert(name, of_sink);
        }
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = LedgerFile::open(dir.path()).unwrap();
        let vaults = (0..64).map(|number| PathBuf::from(format!("{number:0255}"))).collect();
        let snapshot =
            LedgerSnapshot { before: rows.clone(), process: rows, vaults, ..snapshot(1) };
        file.write(&snapshot).unwrap();
        assert_eq!(starts_in(dir.path()), Some(1));
    }

    #[test]
    fn a_file_that_is_taken_away_is_made_again_and_locked() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, _) = LedgerFile::open(dir.path()).unwrap();
        file.write(&snapshot(1)).unwrap();
        std::fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        assert!(!file.is_in_place());
        file.write(&snapshot(2)).unwrap();
        assert!(file.is_in_place() && is_kept(dir.path()).unwrap());
        assert_eq!(starts_in(dir.path()), Some(2));
    }

    #[test]
    fn a_torn_writing_costs_no_more_than_itself_and_damage_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), StoredLedger::Nothing);
        let (mut file, found) = LedgerFile::open(dir.path()).unwrap();
        assert_eq!(found, StoredLedger::Nothing);
        assert!(is_kept(dir.path()).unwrap());
        for starts in 1..=3 {
            file.write(&snapshot(starts)).unwrap();
            assert_eq!(starts_in(dir.path()), Some(starts));
        }
        drop(file);
        assert!(!is_kept(dir.path()).unwrap());
        // The third writing is in slot 1.
        scribble(dir.path(), SLOT_BYTES + 90);
        assert_eq!(starts_in(dir.path()), Some(2));
        let (mut file, _) = LedgerFile::open(dir.path()).unwrap();
        file.write(&snapshot(7)).unwrap();
        assert_eq!(starts_in(dir.path()), Some(7));
        drop(file);
        scribble(dir.path(), 90);
        scribble(dir.path(), SLOT_BYTES + 90);
        assert_eq!(read(dir.path()).unwrap(), StoredLedger::Damaged);
        let (_file, found) = LedgerFile::open(dir.path()).unwrap();
        assert_eq!(found, StoredLedger::Damaged);
        assert!(dir.path().join("ledger.damaged").is_file());
    }
}
