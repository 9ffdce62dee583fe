//! What each vault told at the last writing: by that a start sees what is not in it any more.
//!
//! The ledger counts records, a vault numbers requests. That a vault holds less than is booked may be
//! because it gave something away after the last word of a process that was killed; that a request is
//! neither there nor passed by its cursors can only be a loss.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::Known;
use gophership_vault::Log;
use gophership_vault::VaultError;
use serde::Deserialize;
use serde::Serialize;

use super::LedgerSnapshot;

/// What a vault told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultMark {
    /// The number of its last request.
    pub durable_seq: u64,
    /// Its cursors, each with the number up to which it had everything.
    pub cursors: BTreeMap<String, u64>,
    /// Requests that were lost while it was open: their files went away.
    pub lost_requests: u64,
}

/// Asks every open vault.
pub type AskVaults = dyn Fn() -> BTreeMap<PathBuf, VaultMark> + Send;

impl VaultMark {
    /// What a vault tells now.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        Self {
            durable_seq: log.durable_seq(),
            cursors: log.saved_cursors(),
            lost_requests: log.lost_while_open(),
        }
    }

    /// The same, for who opens it.
    #[must_use]
    pub fn known(&self) -> Known {
        Known { durable_seq: self.durable_seq, cursors: self.cursors.clone() }
    }
}

impl LedgerSnapshot {
    /// What is known of each vault, by its directory.
    #[must_use]
    pub fn known(&self, data_dir: &Path) -> BTreeMap<PathBuf, Known> {
        let known = |(name, mark): (&PathBuf, &VaultMark)| (data_dir.join(name), mark.known());
        self.marks.iter().map(known).collect()
    }
}

/// Requests that are missing from a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRequests {
    /// The vault.
    pub dir: PathBuf,
    /// First and last number of each range.
    pub ranges: Vec<(u64, u64)>,
}

impl MissingRequests {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// Finds the vaults of a page in which something is missing.
///
/// # Errors
///
/// As [`gophership_vault::missing`].
pub fn missing_in(
    snapshot: &LedgerSnapshot,
    data_dir: &Path,
) -> Result<Vec<MissingRequests>, VaultError> {
    let mut all = Vec::new();
    for (dir, known) in snapshot.known(data_dir) {
        let mut ranges = gophership_vault::missing(&dir, &known)?;
        if !ranges.is_empty() {
            // Beside a writer a file may have been on its way to another name.
            ranges = gophership_vault::missing(&dir, &known)?;
        }
        if !ranges.is_empty() {
            all.push(MissingRequests { dir, ranges });
        }
    }
    Ok(all)
}
