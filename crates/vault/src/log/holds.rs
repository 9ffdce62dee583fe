//! Holds: segments that an operator keeps from being deleted, whatever the cursors say.
//!
//! ```text
//!  <vault>/holds/<name>@all            every segment
//!  <vault>/holds/<name>@<first>-<last> the segments with these numbers
//! ```
//!
//! A hold is an empty file and the name says everything, so that it needs no free block and can be
//! placed beside a running writer: retention reads the folder before each deletion. A file whose
//! name cannot be read holds everything, because nobody can say what it was meant for.

use std::io;
use std::path::Path;

use crate::error::VaultError;
use crate::fs::Access;
use crate::fs::FileSystem;
use crate::log::cursor;
use crate::segment::id::SegmentId;
use crate::system::SystemFileSystem;

/// Folder of the holds.
pub(crate) const HOLD_DIR: &str = "holds";

/// A hold and what it covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Number of the first segment and of the last; `None` for all.
    pub segments: Option<(u64, u64)>,
}

impl Hold {
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
        let all = || Self { name: file_name.to_owned(), segments: None };
        let Some((name, range)) = file_name.rsplit_once('@') else { return all() };
        if range == "all" {
            return Self { name: name.to_owned(), segments: None };
        }
        let numbers = range.split_once('-').and_then(|(first, last)| {
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        });
        numbers
            .map_or_else(all, |segments| Self { name: name.to_owned(), segments: Some(segments) })
    }
}

/// Reads the holds of a vault, sorted.
pub(crate) fn list(files: &dyn FileSystem, dir: &Path) -> io::Result<Vec<Hold>> {
    let folder = dir.join(HOLD_DIR);
    let entries = match files.list(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut holds: Vec<Hold> = entries.iter().map(|entry| Hold::parse(&entry.name)).collect();
    holds.sort();
    Ok(holds)
}

/// Places a hold durably; it works from then on, also beside a running writer. One of the same name
/// and range is left as it is.
///
/// # Errors
///
/// [`VaultError::InvalidOptions`] for a name or a range that cannot be, or [`VaultError::Io`].
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
    let files = SystemFileSystem;
    let folder = dir.join(HOLD_DIR);
    files.create_dir(&folder).map_err(VaultError::io("create", &folder))?;
    let path = folder.join(hold.file_name());
    match files.create(&path, Access::Buffered) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(VaultError::io("create", &path)(error));
        }
        _ => {}
    }
    files.sync_dir(&folder).map_err(VaultError::io("sync", &folder))?;
    files.sync_dir(dir).map_err(VaultError::io("sync", dir))
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
            let hold = Hold { name: "incident-42".to_owned(), segments };
            assert_eq!(Hold::parse(&hold.file_name()), hold);
        }
        for name in ["x", "x@3", "x@3-y", "x@"] {
            assert_eq!(Hold::parse(name), Hold { name: name.to_owned(), segments: None });
        }
    }

    #[test]
    fn holds_are_placed_listed_and_released() {
        let dir = tempfile::tempdir().expect("makes a directory");
        let hold = |name: &str, segments| Hold { name: name.to_owned(), segments };
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
}
