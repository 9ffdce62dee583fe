//! What can go wrong between a bucket and the file of a segment.

use gophership_archive::ArchiveError;
use gophership_s3::S3Error;
use gophership_s3::S3ErrorKind;

/// An archive could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bucket did not do what was asked.
    #[error(transparent)]
    S3(#[from] S3Error),

    /// What came is not what was archived, or the disk refused it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),

    /// An object is not there.
    #[error("{what} {key} is not in the bucket")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Its key.
        key: String,
    },

    /// More segments are selected than fit into memory.
    #[error("more than {max} segments are selected; select fewer, by time or by segment")]
    TooMany {
        /// The limit.
        max: usize,
    },

    /// A claim is not one.
    #[error("claim {key} is not usable: {problem}")]
    Claim {
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A thread of this process panicked.
    #[error("cannot restore a segment: {0}")]
    Panicked(String),
}

impl RestoreError {
    /// Whether a later attempt may succeed: not where what was archived is damaged or gone.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // An object that came damaged was read several times.
            Self::S3(error) => error.is_retryable() && error.kind != S3ErrorKind::Checksum,
            Self::Archive(error) => matches!(error, ArchiveError::Io { .. }),
            Self::Missing { .. }
            | Self::TooMany { .. }
            | Self::Claim { .. }
            | Self::Panicked(_) => false,
        }
    }
}
