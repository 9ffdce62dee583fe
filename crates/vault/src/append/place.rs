//! Where a vault is on its disk: its directory and its lock, and whether they are still there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use crate::fs::FileIdentity;
use crate::fs::FileSystem;
use crate::fs::Lock;

/// The lock on the directory, shared with who lets go of it.
pub(crate) type HeldLock = Arc<Mutex<Option<Box<dyn Lock>>>>;

/// What a look compares with.
pub(crate) struct FilePresence {
    /// The directory; `None` where the file system does not tell.
    pub(super) dir: Option<FileIdentity>,
    pub(super) lock_file: HeldLock,
    /// Why the vault has no place now.
    pub(super) trouble: Option<String>,
}

impl FilePresence {
    /// Remembers the directory that was locked.
    pub(crate) fn new(files: &dyn FileSystem, dir: &Path, lock_file: HeldLock) -> Self {
        Self { dir: files.identity(dir).ok(), lock_file, trouble: None }
    }

    /// Nothing is made in a directory that is not this vault's.
    pub(super) fn check(&self) -> io::Result<()> {
        self.trouble.as_ref().map_or(Ok(()), |text| Err(io::Error::other(text.clone())))
    }
}

/// Whether something else than this file, or nothing, is under its name.
pub(super) fn is_elsewhere(
    files: &dyn FileSystem,
    path: &Path,
    ours: &io::Result<FileIdentity>,
) -> bool {
    let Ok(ours) = ours else { return false };
    found(files.identity(path)).is_ok_and(|there| there.as_ref() != Some(ours))
}

/// What is there, or nothing.
pub(super) fn found<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
