//! What can go wrong with a call of the file system.

use std::io;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync_data` and `File::sync_all`.
    Sync,
    /// `File::allocate`.
    Allocate,
    /// `File::truncate`.
    Truncate,
    /// `FileSystem::create`.
    Create,
    /// `FileSystem::rename`.
    Rename,
    /// `FileSystem::remove` of a file that is there.
    Remove,
    /// `FileSystem::sync_dir`.
    SyncDir,
}

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    /// This one call fails: a write is half done, a sync loses what it should have kept.
    FailOnce,
    /// This one call finds no space; a write is half done.
    NoSpace,
    /// This one call fails as with `FailOnce`, and with this error of the system.
    Errno(i32),
    /// The power goes: this call is half done (a write), everything after fails.
    PowerCut,
}

impl InjectedFault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::Errno(errno) => io::Error::from_raw_os_error(errno),
            Self::FailOnce | Self::PowerCut => io::Error::other("injected"),
        }
    }
}
