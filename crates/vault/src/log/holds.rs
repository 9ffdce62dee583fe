//! Holds: segments that an operator keeps from being deleted, whatever the cursors say.
//!
//! ```text
//!  <vault>/holds/<name>@all            every segment
//!  <vault>/holds/<name>@<first>-<last> the segments with these numbers
//! ```
//!
//! The name of the file says what is held, so that a hold needs no free block and can be placed beside
//! a running writer: retention reads the folder before each deletion. A file whose name cannot be read
//! holds everything, because nobody can say what it was meant for.
//! The file is empty, or says until when and why, in two lines: `until <ms since 1970>` and
//! `reason <text>`. What cannot be read of it is as if it were not there: the hold has no end.

use std::io;
use std::path::Path;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::log::cursor;
use crate::segment::id::SegmentId;
use crate::system::SystemFileSystem;
use crate::system::unix_ns;

/// Folder of the holds.
pub(crate) const HOLD_DIR: &str = "holds";
/// The longest reason, in bytes.
const REASON_LEN_MAX: usize = 1024;
/// What is read of a file: more than the two lines have.
const FILE_LEN_MAX: usize = 2048;

/// A hold and what it covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Number of the first segment and of the last; `None` for all.
    pub segments: Option<(u64, u64)>,
    /// When it ends by itself, in milliseconds since 1970; `None` means when it is released.
    pub until_unix_ms: Option<u64>,
    /// Why, at most 1,024 bytes; may be empty.
    pub reason: String,
}

impl Hold {
    /// Makes a hold without an end and without a reason.
    #[must_use]
    pub fn new(name: &str, segments: Option<(u64, u64)>) -> Self {
        Self { name: name.to_owned(), segments, until_unix_ms: None, reason: String::new() }
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn is_over(&self, unix_ms: u64) -> bool {
        self.until_unix_ms.is_some_and(|until| until <= unix_ms)
    }

    /// Whether it covers a segment.
    #[must_use]
    pub fn covers(&self, id: SegmentId) -> bool {
        self.segments.is_none_or(|(first, last)| (first..=last).contains(&id.get()))
    }

    fn file_name(&self) -> String {
        match self.segments {
            None => format!("{}@all", self.name),
            Some((first, last)) => format!("{}@{first}-{last}", self.name),
        }
    }

    fn parse(file_name: &str) -> Self {
        let all = || Self::new(file_name, None);
        let Some((name, range)) = file_name.rsplit_once('@') else { return all() };
        if range == "all" {
            return Self::new(name, None);
        }
        let numbers = range.split_once('-').and_then(|(first, last)| {
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        });
        numbers.map_or_else(all, |segments| Self::new(name, Some(segments)))
    }

    /// What its file holds; nothing where the name says everything.
    fn content(&self) -> String {
        let until = self.until_unix_ms.map_or_else(String::new, |until| format!("until {until}\n"));
        match self.reason.replace(char::is_control, " ") {
            reason if reason.is_empty() => until,
            reason => format!("{until}reason {reason}\n"),
        }
    }

    fn and_content(mut self, content: &str) -> Self {
        // A line without its end was not written to the end.
        for line in content.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            if let Some(until) = line.strip_prefix("until ") {
                self.until_unix_ms = until.parse().ok();
            } else if let Some(reason) = line.strip_prefix("reason ") {
                reason.clone_into(&mut self.reason);
            }
        }
        self
    }
}

/// Reads the holds of a vault that have not ended by themselves, sorted.
pub(crate) fn list(files: &dyn FileSystem, dir: &Path) -> io::Result<Vec<Hold>> {
    let folder = dir.join(HOLD_DIR);
    let entries = match files.list(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let now = unix_ns() / 1_000_000;
    let read = |name: &str| Hold::parse(name).and_content(&content(files, &folder.join(name)));
    let mut holds: Vec<Hold> = entries.iter().map(|entry| read(&entry.name)).collect();
    holds.retain(|hold| !hold.is_over(now));
    holds.sort();
    Ok(holds)
}

/// What is written in the file of a hold; nothing if it cannot be read.
fn content(files: &dyn FileSystem, path: &Path) -> String {
    let read = || {
        let file = files.open(path, Access::Buffered)?;
        let mut bytes = vec![0; FILE_LEN_MAX];
        let count = file.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        Ok::<_, io::Error>(bytes)
    };
    String::from_utf8(read().unwrap_or_default()).unwrap_or_default()
}

/// Places a hold durably; it works from then on, also beside a running writer. One of the same name
/// and range is replaced: it has the new end and the new reason.
///
/// # Errors
///
/// [`VaultError::InvalidOptions`] for a name, a range or a reason that cannot be, or [`VaultError::Io`]; the
/// hold may be in force then, without an end.
pub fn place_hold(dir: &Path, hold: &Hold) -> Result<(), VaultError> {
    if cursor::check_name(&hold.name).is_err() {
        let problem = format!(
            "hold name {:?} must be 1 to 64 of a-z A-Z 0-9 . _ - without a dot in front",
            hold.name
        );
        return Err(VaultError::InvalidOptions { problem });
    }
    if hold.segments.is_some_and(|(first, last)| last < first) {
        let problem = "a hold's first segment must not be after its last".to_owned();
        return Err(VaultError::InvalidOptions { problem });
    }
    if REASON_LEN_MAX < hold.reason.len() {
        let problem = format!("a hold's reason has at most {REASON_LEN_MAX} bytes");
        return Err(VaultError::InvalidOptions { problem });
    }
    let files = SystemFileSystem;
    let folder = dir.join(HOLD_DIR);
    files.create_dir(&folder).map_err(VaultError::io("create", &folder))?;
    let path = folder.join(hold.file_name());
    let file = match files.create(&path, Access::Buffered) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            files.open(&path, Access::Buffered)
        }
        created => created,
    };
    let file = file.map_err(VaultError::io("create", &path))?;
    write(&*file, &hold.content()).map_err(VaultError::io("write", &path))?;
    files.sync_dir(&folder).map_err(VaultError::io("sync", &folder))?;
    files.sync_dir(dir).map_err(VaultError::io("sync", dir))
}

/// Replaces what is in the file of a hold: in between it has no end.
fn write(file: &dyn File, content: &str) -> io::Result<()> {
    if file.bytes()? != 0 {
        file.truncate(0)?;
    }
    if !content.is_empty() {
        file.write_at(content.as_bytes(), 0)?;
    }
    file.sync_all()
}

/// Takes every hold of this name away; returns how many there were.
///
/// # Errors
///
/// [`VaultError::Io`].
pub fn release_hold(dir: &Path, name: &str) -> Result<usize, VaultError> {
    let files = SystemFileSystem;
    let folder = dir.join(HOLD_DIR);
    let entries = match files.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        answer => answer.map_err(VaultError::io("list", &folder))?,
    };
    let of_name = |file_name: &str| Hold::parse(file_name).name == name;
    let mut released = 0;
    for entry in entries.iter().filter(|entry| of_name(&entry.name)) {
        let path = folder.join(&entry.name);
        files.remove(&path).map_err(VaultError::io("remove", &path))?;
        released += 1;
    }
    if 0 < released {
        files.sync_dir(&folder).map_err(VaultError::io("sync", &folder))?;
    }
    Ok(released)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_comes_back_from_its_name_and_a_strange_one_holds_everything() {
        for segments in [None, Some((3, 9)), Some((0, u64::MAX))] {
            let hold = Hold::new("incident-42", segments);
            assert_eq!(Hold::parse(&hold.file_name()), hold);
        }
        for name in ["x", "x@3", "x@3-y", "x@"] {
            assert_eq!(Hold::parse(name), Hold::new(name, None));
        }
    }

    #[test]
    fn holds_are_placed_listed_and_released() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let hold = Hold::new;
        assert_eq!(list(&SystemFileSystem, dir.path()).expect("lists"), []);
        let (a, b) = (hold("a", Some((2, 4))), hold("b", None));
        for _ in 0..2 {
            place_hold(dir.path(), &a).expect("places");
        }
        place_hold(dir.path(), &b).expect("places");
        assert_eq!(list(&SystemFileSystem, dir.path()).expect("lists"), [a.clone(), b.clone()]);
        assert!(a.covers(SegmentId(4)) && !a.covers(SegmentId(5)) && b.covers(SegmentId(5)));
        assert_eq!(release_hold(dir.path(), "a").expect("releases"), 1);
        assert_eq!(release_hold(dir.path(), "a").expect("releases"), 0);
        assert_eq!(list(&SystemFileSystem, dir.path()).expect("lists"), [b]);
        for bad in [hold("../x", None), hold("", None), hold("x", Some((4, 3)))] {
            assert!(place_hold(dir.path(), &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_end_and_a_reason_come_back_and_what_is_torn_means_no_end() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let files = SystemFileSystem;
        let listed = || list(&files, dir.path()).expect("lists");
        let later = unix_ns() / 1_000_000 + 60_000;
        let mut hold = Hold::new("backup", None);
        (hold.until_unix_ms, hold.reason) = (Some(later), "copy\nto tape".to_owned());
        place_hold(dir.path(), &hold).expect("places");
        let path = dir.path().join(HOLD_DIR).join("backup@all");
        assert_eq!(listed()[0].until_unix_ms, Some(later));
        assert_eq!(listed()[0].reason, "copy to tape");
        let whole = std::fs::read(&path).expect("reads");
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).expect("writes");
            let until = listed()[0].until_unix_ms;
            assert!(until.is_none() || until == Some(later), "{len}: {until:?}");
        }
        // A shorter reason leaves nothing of a longer one.
        hold.reason = "x".to_owned();
        place_hold(dir.path(), &hold).expect("places");
        assert_eq!(listed(), [hold.clone()]);
        hold.until_unix_ms = Some(1);
        place_hold(dir.path(), &hold).expect("places");
        assert_eq!(listed(), []);
        assert_eq!(release_hold(dir.path(), "backup").expect("releases"), 1);
        hold.reason = "x".repeat(REASON_LEN_MAX + 1);
        assert!(place_hold(dir.path(), &hold).is_err());
    }
}
