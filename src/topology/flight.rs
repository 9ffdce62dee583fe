//! Files of the flight recorder: what was sensed in the minutes before Red began.

use std::fs;
use std::io;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Older files are deleted.
const FILES_MAX: usize = 16;
/// More files in the folder are not looked at; those are not ours.
const LISTED_MAX: usize = 4096;
/// Two minutes take a tenth of it.
const RECORD_BYTES_MAX: u64 = 2 << 20;

/// Where the files go.
#[derive(Debug)]
pub struct FlightDir {
    path: PathBuf,
    /// One at a time: a zone that changes while a file is being written adds nothing new.
    is_busy: AtomicBool,
}

impl FlightDir {
    /// A folder that is made when it is first needed.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, is_busy: AtomicBool::new(false) }
    }

    /// The records that there are, oldest first: each with its name, its bytes and when Red began.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<FlightRecord>> {
        let mut records = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(records),
            Err(error) => return Err(error),
        };
        for entry in entries.take(LISTED_MAX) {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(unix_ms) = unix_ms_of(&name) {
                records.push(FlightRecord { name, bytes: entry.metadata()?.len(), unix_ms });
            }
        }
        records.sort_by_key(|record| record.unix_ms);
        Ok(records)
    }

    /// Reads a record, at most 2 MiB of it.
    ///
    /// # Errors
    ///
    /// When there is no record of this name, or it cannot be read.
    pub fn read(&self, name: &str) -> io::Result<String> {
        if unix_ms_of(name).is_none() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let mut text = String::new();
        fs::File::open(self.path.join(name))?.take(RECORD_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(&self, unix_ms: u64, record: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.path)?;
        let path = self.path.join(format!("red-{unix_ms:013}.jsonl"));
        fs::write(&path, record)?;
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("red-") && path.extension().is_some_and(|kind| kind == "jsonl")
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            files.push(entry?.path());
        }
        files.retain(is_ours);
        files.sort();
        for old in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            fs::remove_file(old)?;
        }
        Ok(path)
    }
}

/// A file of the flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightRecord {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When Red began, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// When Red began, as the name of a record says; `None` for other names.
fn unix_ms_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("red-")?.strip_suffix(".jsonl")?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// Writes a record in the background.
pub(super) fn keep(dir: &Arc<FlightDir>, unix_ms: u64, record: String) {
    if dir.is_busy.swap(true, Ordering::AcqRel) {
        return;
    }
    let dir = Arc::clone(dir);
    tokio::task::spawn_blocking(move || {
        match dir.write(unix_ms, &record) {
            Ok(path) => {
                let path = path.display();
                tracing::info!(%path, "Saved the sensor readings before the zone turned red.");
            }
            Err(error) => tracing::warn!(%error, "Cannot save the sensor readings."),
        }
        dir.is_busy.store(false, Ordering::Release);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_stay_and_other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let flights = FlightDir::new(dir.path().join("flight"));
        for unix_ms in 1..=20 {
            flights.write(unix_ms, "{}\n").unwrap();
        }
        fs::write(dir.path().join("flight/notes.txt"), "mine").unwrap();
        flights.write(21, "{}\n").unwrap();
        let entries = fs::read_dir(dir.path().join("flight")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), FILES_MAX + 1);
        assert_eq!((&*names[0], &*names[1]), ("notes.txt", "red-0000000000006.jsonl"));
        let listed = flights.list().unwrap();
        assert_eq!((listed.len(), listed[0].unix_ms, listed[0].bytes), (FILES_MAX, 6, 3));
        assert_eq!(flights.read(&listed[0].name).unwrap(), "{}\n");
        for name in ["notes.txt", "../flight/red-0000000000006.jsonl", "red-/../x.jsonl", ""] {
            assert!(flights.read(name).is_err(), "{name}");
        }
    }
}
