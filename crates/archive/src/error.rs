//! What can go wrong between a segment file and its object.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::VaultError;

/// A segment could not be brought into or out of the form of the archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The disk refused an operation. Retrying later may work.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// The vault could not read its segment.
    #[error(transparent)]
    Vault(#[from] VaultError),

    /// The bytes are not those that were archived.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The segment file, or the object.
        path: PathBuf,
        /// What does not match.
        problem: String,
    },

    /// A manifest is not one, or describes something else.
    #[error("manifest {key} is not usable: {problem}")]
    Manifest {
        /// The key of the manifest.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl ArchiveError {
    /// Makes a function that wraps an I/O error with what was being done, for `map_err`.
    pub(crate) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { operation, path, source }
    }

    /// Whether the segment itself is damaged, so that no retry helps.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Vault(VaultError::Foreign { .. }))
    }
}
