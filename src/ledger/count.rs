//! Counts at a start what the vaults hold, and looks for what is missing from them.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use gophership_vault::Known;
use gophership_vault::SeqRanges;

use super::LedgerSnapshot;
use super::holdings;
use super::holdings::Holdings;
use super::marks;

/// Whether a vault lost requests, or does not have any more what it is known to have had.
pub(super) fn has_losses(snapshot: &LedgerSnapshot, data_dir: &Path, dirs: &[PathBuf]) -> bool {
    let were_lost = snapshot.marks.values().any(|mark| 0 < mark.lost_requests);
    if were_lost || dirs.iter().any(|dir| holdings::has_many_files(dir)) {
        return were_lost;
    }
    let missing = marks::missing_in(snapshot, data_dir).unwrap_or_default();
    for one in &missing {
        let (vault, seqs) = (one.dir.display(), SeqRanges(&one.ranges));
        tracing::error!(%vault, lost_requests = one.count(), %seqs,
            "Acknowledged requests are missing from the vault, according to the ledger.");
    }
    !missing.is_empty()
}

/// Counts what several vaults hold; `None` when that takes too long, or a vault cannot be read.
pub(super) fn count_all(
    dirs: &[PathBuf],
    known: &BTreeMap<PathBuf, Known>,
    deadline: Instant,
) -> Option<Holdings> {
    let mut all = Holdings::default();
    for dir in dirs {
        let cursors = known.get(dir).map(|known| known.cursors.clone()).unwrap_or_default();
        match holdings::count(dir, &cursors, Some(deadline)) {
            Ok(Some(held)) => {
                all.vaulted.add_all(&held.vaulted);
                all.dead_letters.add_all(&held.dead_letters);
                let removed = &mut all.letters_removed_unix_ns;
                *removed = held.letters_removed_unix_ns.max(*removed);
            }
            Ok(None) => return None,
            Err(error) => {
                let vault = dir.display();
                tracing::warn!(
                    %error, %vault,
                    "Cannot count the records of a vault for the ledger."
                );
                return None;
            }
        }
    }
    Some(all)
}
