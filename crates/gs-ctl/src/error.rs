//! What went wrong, and the exit code for it.

use std::io;
use std::path::PathBuf;

use gophership_control::ClientError;

use crate::exit;

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    /// GopherShip was not reached, or said no.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// GopherShip stopped in the middle of its answer.
    #[error("GopherShip ended its answer too early; is it stopping?")]
    Ended,
    /// The command line is wrong in a way that the parser does not see.
    #[error("{0}")]
    Usage(String),
    /// The file with the contexts cannot be used.
    #[error("cannot use {path}: {reason}")]
    Contexts {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(rcgen::Error),
    /// Standard output is closed or broken.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CtlError {
    /// The exit code, as in sysexits.h.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Client(error) => match error {
                ClientError::Unreachable { .. } => exit::UNAVAILABLE,
                ClientError::Forbidden { .. } | ClientError::Denied(_) => exit::NO_PERMISSION,
                ClientError::Remote(_) => exit::CONFIG,
                ClientError::Late { .. } => exit::TEMPORARY,
                ClientError::Refused(_) | ClientError::Local(_) => exit::IO,
            },
            Self::Ended => exit::UNAVAILABLE,
            Self::Usage(_) => exit::USAGE,
            Self::Contexts { .. } => exit::CONFIG,
            Self::Write { .. } | Self::Certificate(_) | Self::Output(_) => exit::IO,
        }
    }
}
