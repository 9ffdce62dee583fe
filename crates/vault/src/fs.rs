//! The seam to the file system, so that tests can fail, tear and cut power at any call.
//!
//! The vault reads and writes with positions, never maps files (a mapped hole on a full disk is a
//! SIGBUS), and treats a short write as a failed one.

use std::fmt::Debug;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// How a file is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Past the page cache where the file system can; offsets, lengths and memory are multiples of
    /// 4,096.
    Direct,
    /// Through the page cache, without rules.
    Buffered,
}

/// One regular file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name inside its directory.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Which file or directory it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// The file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// A held lock; dropping it lets go.
pub trait Lock: Send + Sync + Debug {
    /// Which file is locked, also when it has no name any more.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn identity(&self) -> io::Result<FileIdentity>;
}

/// What the vault asks of a file system.
pub trait FileSystem: Send + Sync + Debug + 'static {
    /// Makes a directory and those above it; an existing one is fine. Does not sync.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Lists the regular files of a directory, in no order.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a new, empty file.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, or the system's answer.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;
    /// Opens an existing file for reading and writing, or for reading alone if that is all it allows.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;
    /// Renames a file, replacing what stood there. Does not sync.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Does not sync.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns the bytes an unprivileged user can still write below this directory, or `u64::MAX` where
    /// the file system does not tell.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn available_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Returns which file or directory is under a name.
    ///
    /// # Errors
    ///
    /// `NotFound`, or the system's answer.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;
    /// Takes the exclusive lock on a file, making it; `None` when someone else holds it.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// What the vault asks of an open file.
pub trait File: Send + Sync + Debug {
    /// Reads until the buffer or the file ends, and returns the bytes read.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes or fails; a short write is a failure.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes data and length durable.
    ///
    /// # Errors
    ///
    /// The system's answer; after one, nothing written before counts as durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes data and all metadata durable.
    ///
    /// # Errors
    ///
    /// As [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves blocks up to this length and lengthens the file to it; new bytes are zero.
    ///
    /// # Errors
    ///
    /// One of [`is_no_room`], or the system's answer.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Returns the length in bytes.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn bytes(&self) -> io::Result<u64>;
    /// Returns which file it is, also when it has no name any more.
    ///
    /// # Errors
    ///
    /// The system's answer.
    fn identity(&self) -> io::Result<FileIdentity>;
}

/// Whether an error says that there is no room: on the disk, in a quota, or in the size that the process
/// may give to a file.
#[must_use]
pub fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Whether an error says that the process is short of something, and nothing of the file.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let code = error.raw_os_error();
    code.is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}
