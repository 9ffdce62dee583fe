//! Why there is no load.

use std::path::PathBuf;

/// The load could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file with the CA certificates cannot be used.
    #[error("cannot use the CA certificates in {path}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS cannot be used.
    #[error("cannot use TLS: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// Nobody can be reached there.
    #[error("cannot connect to {url}: {reason}; {hint}")]
    NoConnection {
        /// The target.
        url: String,
        /// Why.
        reason: String,
        /// What to look at.
        hint: String,
    },
    /// What is there does not answer as OTLP says.
    #[error("no {protocol} answer from {url}: {reason}; check the scheme, the port and --protocol")]
    NoAnswer {
        /// The target.
        url: String,
        /// What was spoken.
        protocol: &'static str,
        /// Why.
        reason: String,
    },
    /// An interrupt came before the target answered.
    #[error("interrupted before the target answered")]
    Interrupted,
}
