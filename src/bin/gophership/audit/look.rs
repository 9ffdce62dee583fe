//! One look at the books and at the vaults, from outside.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use gophership::ledger;
use gophership::ledger::Holdings;
use gophership::ledger::LedgerRows;
use gophership::ledger::LedgerSnapshot;
use gophership::ledger::MissingRequests;
use gophership::ledger::StoredLedger;
use gophership_vault::VaultError;

/// What was seen.
#[derive(Debug)]
pub(super) struct AuditView {
    pub(super) snapshot: LedgerSnapshot,
    /// Number of its writing.
    pub(super) generation: u64,
    /// Whether a server keeps the books.
    pub(super) is_kept: bool,
    /// Every vault, with what it holds.
    pub(super) vaults: Vec<(PathBuf, Holdings)>,
    /// Those of them that the configuration does not name, with the requests that wait there.
    pub(super) left: Vec<(PathBuf, u64)>,
    /// Requests that the ledger knows of, and that are neither there nor passed.
    pub(super) missing: Vec<MissingRequests>,
}

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error("there is no ledger in {0}: no server of this version has used this data directory")]
    Nothing(PathBuf),
    #[error(
        "the ledger in {0} is damaged. The next start moves it away and begins a new one. The \
         vaults are not affected"
    )]
    Damaged(PathBuf),
    #[error("cannot read the ledger: {0}")]
    Io(#[from] io::Error),
    #[error("{}", gophership_http_client::chain(.0))]
    Vault(#[from] VaultError),
}

impl AuditView {
    /// Reads the books and counts what every vault holds that the books or the configuration name.
    pub(super) fn take(data_dir: &Path, configured: &[PathBuf]) -> Result<Self, LookError> {
        let (is_kept, generation, snapshot) = read_with_keeper(data_dir)?;
        let of_file = configured.iter().map(|dir| ledger::name_of(data_dir, dir));
        let names: BTreeSet<PathBuf> = of_file.chain(snapshot.vaults.iter().cloned()).collect();
        let configured: Vec<PathBuf> =
            configured.iter().map(|dir| data_dir.join(ledger::name_of(data_dir, dir))).collect();
        let known = snapshot.known(data_dir);
        let (mut vaults, mut left) = (Vec::new(), Vec::new());
        for dir in names.into_iter().map(|name| data_dir.join(name)) {
            let cursors = known.get(&dir).map(|known| known.cursors.clone()).unwrap_or_default();
            let held = ledger::count(&dir, &cursors, None)?.unwrap_or_default();
            let requests = held.vaulted.requests;
            if 0 < requests && !configured.contains(&dir) {
                left.push((dir.clone(), requests));
            }
            vaults.push((dir, held));
        }
        // A running server looks for itself each second, and counts what was taken away.
        let missing = if is_kept { Vec::new() } else { ledger::missing_in(&snapshot, data_dir)? };
        Ok(Self { snapshot, generation, is_kept, vaults, left, missing })
    }

    /// Acknowledged requests that are missing. What a server saw being taken away is among what is missing
    /// once it has ended.
    pub(super) fn lost_requests(&self) -> u64 {
        let missing: u64 = self.missing.iter().map(MissingRequests::count).sum();
        let taken_away: u64 = self.snapshot.marks.values().map(|mark| mark.lost_requests).sum();
        missing.max(taken_away)
    }

    /// What is booked by source and by sink. What an earlier version booked is nobody's, but for what the
    /// vaults name the source of.
    pub(super) fn rows(&self) -> LedgerRows {
        let mut rows = self.snapshot.rows();
        rows.attribute(&self.held());
        rows
    }

    /// What all vaults hold.
    pub(super) fn held(&self) -> Holdings {
        let mut all = Holdings::default();
        for (_, held) in &self.vaults {
            all.vaulted.add_all(&held.vaulted);
            all.dead_letters.add_all(&held.dead_letters);
        }
        all
    }
}

/// The newest page, and whether a server kept the books before and after it was read: one that starts
/// or ends meanwhile makes it another page.
fn read_with_keeper(data_dir: &Path) -> Result<(bool, u64, LedgerSnapshot), LookError> {
    let mut is_kept = ledger::is_kept(data_dir)?;
    loop {
        let (generation, snapshot) = read(data_dir)?;
        let was_kept = std::mem::replace(&mut is_kept, ledger::is_kept(data_dir)?);
        if was_kept == is_kept {
            return Ok((is_kept, generation, snapshot));
        }
    }
}

/// The newest page, and the number of its writing.
pub(super) fn read(data_dir: &Path) -> Result<(u64, LedgerSnapshot), LookError> {
    // A page that is being written can look damaged once.
    for _ in 0..2 {
        match ledger::read(data_dir)? {
            StoredLedger::Snapshot(generation, snapshot) => return Ok((generation, *snapshot)),
            StoredLedger::Nothing => return Err(LookError::Nothing(data_dir.to_owned())),
            StoredLedger::Damaged => {}
        }
    }
    Err(LookError::Damaged(data_dir.to_owned()))
}
