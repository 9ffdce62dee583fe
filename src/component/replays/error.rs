//! Why the requests of a range cannot be read.

use gophership_restore::RestoreError;
use gophership_s3::S3Error;
use gophership_units::ByteSize;
use gophership_vault::VaultError;

/// The requests of a range could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The vault could not be read; where it is a segment, what follows can be.
    #[error("cannot read the vault: {0}")]
    Vault(#[from] VaultError),
    /// The bucket cannot be reached as the configuration says.
    #[error("cannot reach the archive {url}: {source}")]
    Bucket {
        /// The archive.
        url: String,
        /// What is wrong.
        source: S3Error,
    },
    /// The bucket refuses what is asked in a way that no retry mends.
    #[error("cannot read the archive {url}: {source}")]
    Archive {
        /// The archive.
        url: String,
        /// What is wrong.
        source: RestoreError,
    },
    /// Everything else of the archive was read.
    #[error("{segments} segments of the archive cannot be restored; the first one: {first}")]
    Unusable {
        /// How many.
        segments: u64,
        /// What is wrong with the first of them.
        first: String,
    },
    /// There is no memory for the work.
    #[error(
        "restoring segments takes {wanted} of memory, but {used} of the {limit} for `s3` sinks are \
         used: increase `somatic.memory.shares.s3`"
    )]
    Memory {
        /// What it takes.
        wanted: ByteSize,
        /// What is used of the share.
        used: ByteSize,
        /// The share.
        limit: ByteSize,
    },
    /// The folder for restored segments cannot be prepared.
    #[error("cannot prepare the folder {folder} for restored segments: {source}")]
    Folder {
        /// Its path.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of this process panicked.
    #[error("reading panicked: {0}")]
    Panicked(String),
}
