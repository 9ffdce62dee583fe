//! Why a component cannot be built, or has ended.

/// A component could not be built from its options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The operating system refused something: a port, a directory, a file.
    #[error("cannot {operation} {what}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The same, but it may pass: a disk may have room later, a directory may be there, a pipe may have a
    /// reader. A sink is tried again then, while everything else runs.
    #[error("cannot {operation} {what}: {source}")]
    NotYet {
        /// What was tried.
        operation: &'static str,
        /// On what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The vault cannot be opened.
    #[error("cannot open the vault: {0}")]
    Vault(#[from] gophership_vault::VaultError),
    /// A certificate or key is not usable.
    #[error("cannot set up tls: {0}")]
    Tls(#[from] crate::tls::TlsError),
    /// An option is not usable for a reason known only now.
    #[error("{0}")]
    Option(String),
}

impl BuildError {
    /// Whether the same options may do later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotYet { .. })
    }
}

/// A component stopped before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The operating system refused something.
    #[error("cannot {operation} {what}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The vault failed.
    #[error("the vault failed: {0}")]
    Vault(#[from] gophership_vault::VaultError),
}
