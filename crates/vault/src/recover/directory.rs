//! The vault's directory as a whole: its lock, its segments' files, its size.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::fs::Lock;
use crate::log::cursor::CURSOR_DIR;
use crate::segment::examine::Candidate;
use crate::segment::id;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::quarantine::QUARANTINE_DIR;

/// Name of the file that is locked.
pub(crate) const LOCK_NAME: &str = "LOCK";

/// Makes the directory durably if need be, and takes its lock.
pub(crate) fn lock_directory(
    files: &dyn FileSystem,
    dir: &Path,
) -> Result<Box<dyn Lock>, VaultError> {
    create_dir_durably(files, dir).map_err(VaultError::io("create", dir))?;
    let path = dir.join(LOCK_NAME);
    let lock = files.lock(&path).map_err(VaultError::io("lock", &path))?;
    let lock = lock.ok_or_else(|| VaultError::Locked { path: dir.to_path_buf() })?;
    for name in [CURSOR_DIR, QUARANTINE_DIR] {
        let folder = dir.join(name);
        files.create_dir(&folder).map_err(VaultError::io("create", &folder))?;
    }
    files.sync_dir(dir).map_err(VaultError::io("sync", dir))?;
    Ok(lock)
}

/// Makes a directory and those above it, and syncs each one that a new one is in.
fn create_dir_durably(files: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &Path| {
        let listed = files.list(dir);
        listed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let above =
        |dir: &Path| dir.parent().filter(|it| !it.as_os_str().is_empty()).map(Path::to_owned);
    let mut parents: Vec<PathBuf> = above(dir).into_iter().collect();
    while let Some(missing) = parents.last().filter(|parent| is_missing(parent)) {
        match above(missing) {
            Some(parent) => parents.push(parent),
            None => break,
        }
    }
    files.create_dir(dir)?;
    parents.iter().try_for_each(|parent| files.sync_dir(parent))
}

/// Lists all segment files of the directory and its quarantine, by number.
pub(crate) fn list_segments(
    files: &dyn FileSystem,
    dir: &Path,
) -> Result<Vec<Candidate>, VaultError> {
    let mut found: BTreeMap<SegmentId, Candidate> = BTreeMap::new();
    for (folder, is_quarantined) in [(dir.to_path_buf(), false), (dir.join(QUARANTINE_DIR), true)] {
        let entries = match files.list(&folder) {
            Err(error) if is_quarantined && error.kind() == io::ErrorKind::NotFound => Vec::new(),
            answer => answer.map_err(VaultError::io("list", &folder))?,
        };
        for entry in entries {
            let Some((id, extension)) = id::parse_name(&entry.name) else { continue };
            let is_new = extension == EXTENSION_NEW && !is_quarantined;
            if ![EXTENSION_OPEN, EXTENSION_SEALED].contains(&extension) && !is_new {
                continue;
            }
            let candidate = Candidate {
                id,
                path: folder.join(&entry.name),
                bytes: entry.bytes,
                extension: extension.to_owned(),
                is_quarantined,
            };
            // Names are changed by renaming, so a number is there once; a sealed file wins over others.
            if candidate.extension == EXTENSION_SEALED || !found.contains_key(&id) {
                found.insert(id, candidate);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Adds up all files of the vault.
pub(crate) fn used_bytes(files: &dyn FileSystem, dir: &Path) -> Result<u64, VaultError> {
    let mut used = 0;
    for folder in [dir.to_path_buf(), dir.join(QUARANTINE_DIR), dir.join(CURSOR_DIR)] {
        let entries = files.list(&folder).map_err(VaultError::io("list", &folder))?;
        used += entries.iter().map(|entry| entry.bytes).sum::<u64>();
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::system::SystemFileSystem;

    fn listed(dir: &Path) -> Vec<(u64, String, bool)> {
        let found = list_segments(&SystemFileSystem, dir).expect("lists");
        let facts = |one: Candidate| (one.id.get(), one.extension, one.is_quarantined);
        found.into_iter().map(facts).collect()
    }

    #[test]
    fn segments_are_listed_by_number_and_a_sealed_file_wins() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |number: u64, extension: &str| {
            let path = id::segment_path(dir.path(), SegmentId::new(number), extension);
            fs::write(path, [0; 10]).expect("writes");
        };
        assert_eq!(listed(dir.path()), [], "without a quarantine");
        file(2, EXTENSION_OPEN);
        file(2, EXTENSION_SEALED);
        file(1, EXTENSION_SEALED);
        file(1, EXTENSION_OPEN);
        file(3, EXTENSION_NEW);
        file(4, "bak");
        let [sealed, new] = [EXTENSION_SEALED, EXTENSION_NEW].map(str::to_owned);
        let expected =
            [(1, sealed.clone(), false), (2, sealed.clone(), false), (3, new.clone(), false)];
        assert_eq!(listed(dir.path()), expected);
    }

    #[test]
    fn what_is_unfinished_in_the_quarantine_is_no_segment() {
        let dir = tempfile::tempdir().expect("a folder");
        let quarantine = dir.path().join(QUARANTINE_DIR);
        fs::create_dir(&quarantine).expect("makes a folder");
        for (number, extension) in [(1, EXTENSION_NEW), (2, EXTENSION_OPEN), (3, EXTENSION_SEALED)]
        {
            let path = id::segment_path(&quarantine, SegmentId::new(number), extension);
            fs::write(path, [0; 10]).expect("writes");
        }
        let [open, sealed] = [EXTENSION_OPEN, EXTENSION_SEALED].map(str::to_owned);
        assert_eq!(listed(dir.path()), [(2, open, true), (3, sealed, true)]);
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(QUARANTINE_DIR), b"no folder").expect("writes");
        assert!(list_segments(&SystemFileSystem, dir.path()).is_err());
        assert!(list_segments(&SystemFileSystem, &dir.path().join("gone")).is_err());
    }
}
