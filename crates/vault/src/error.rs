//! What can go wrong, sorted by what the caller can do about it.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// A vault operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The options contradict each other; the operator must change them.
    #[error("invalid vault options: {problem}")]
    InvalidOptions {
        /// What is wrong, and the limit that was missed.
        problem: String,
    },

    /// Another process or another `Writer` holds the directory.
    #[error("vault {path} is in use by another writer")]
    Locked {
        /// The vault's directory.
        path: PathBuf,
    },

    /// The directory holds something this version must not touch.
    #[error("{path} does not belong to this vault: {problem}")]
    Foreign {
        /// The offending file.
        path: PathBuf,
        /// Why it is foreign.
        problem: String,
    },

    /// The disk refused an operation. Retrying later may work.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A cursor's name is empty, too long, or holds characters other than `a-z A-Z 0-9 . _ -`.
    #[error("invalid cursor name {name:?}")]
    CursorName {
        /// The name as given.
        name: String,
    },

    /// A reader with this cursor is already open.
    #[error("cursor {name} is already in use")]
    CursorInUse {
        /// The cursor's name.
        name: String,
    },

    /// The vault was closed while its disk failed, or a thread of it has ended.
    #[error("vault {path} has failed and accepts no more records")]
    Failed {
        /// The vault's directory.
        path: PathBuf,
    },
}

impl VaultError {
    /// Whether the same call may succeed later without any change by the operator.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::CursorInUse { .. } | Self::Locked { .. })
    }

    /// Makes a function that wraps an I/O error with what was being done, for `map_err`.
    pub(super) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }
}

/// An accepted record was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The byte budget or the disk was used up before this record's turn.
    #[error("vault is full")]
    Full,
    /// The disk failed and the record could not be written elsewhere.
    #[error("vault has failed")]
    Failed,
    /// The writer was closed before this record's turn.
    #[error("vault is closed")]
    Closed,
}

impl AppendError {
    /// Whether the same append may succeed later without any change by the operator.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Full | Self::Failed)
    }
}

/// Why a record was refused before it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The bytes waiting for the writer thread have reached their limit.
    #[error("staging is full")]
    StagingFull,
    /// The byte budget or the disk is used up.
    #[error("vault is full")]
    VaultFull,
    /// Repeated disk failures; the vault tries again by itself.
    #[error("vault has failed")]
    Failed,
    /// The record is larger than the vault takes; it will never fit.
    #[error("record of {bytes} bytes exceeds the limit of {limit_bytes}")]
    TooLarge {
        /// Payload or attribute bytes, whichever broke its limit.
        bytes: u64,
        /// The limit it broke.
        limit_bytes: u64,
    },
    /// The writer is closing or closed.
    #[error("vault is closed")]
    Closed,
}

/// A refused append: the completion comes back uncalled.
#[derive(Debug)]
pub struct Refused<C> {
    /// The caller's completion, not called and never to be called by the vault.
    pub done: C,
    /// Why the record was not taken.
    pub reason: RefusalReason,
    /// When a retry is sensible; a hint, without jitter.
    pub retry_after: Duration,
}

impl<C> Refused<C> {
    /// Whether the same append may succeed later without any change by the sender.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        !matches!(self.reason, RefusalReason::TooLarge { .. })
    }
}
