//! The books: the ledger of every process that ran on a data folder, added up and kept on disk.
//!
//! ```text
//!   received + recovered + copies + unwritten
//!       = in_flight + delivered + vaulted + filtered + dead_lettered + dropped + rejected
//!         + interrupted + missing
//! ```
//!
//! The [`Ledgers`](crate::event::Ledgers) begin anew with each process; a [`LedgerSnapshot`] has what ended
//! processes booked, and what the running one had booked at the last writing, in [`LedgerRows`]: one for each
//! source and each sink that there ever was. A process writes once a
//! second if something changed, and at its end. What a vault still has is in `vaulted`, whichever
//! process took it.
//!
//! After a `kill -9` the last page is up to a second old. What was in flight then is `interrupted`:
//! its end is not known. What the vault holds is counted, and its difference to the page is
//! `unwritten`. After an end in order nothing is unknown, so what it holds less is `missing`; so it is
//! after a kill if requests are neither there nor passed by the vault's cursors.

mod count;
mod file;
mod holdings;
mod marks;
mod removed_letters;
mod rows;
mod store;
mod totals;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

pub use file::FILE_NAME;
pub use file::StoredLedger;
pub use file::is_kept;
pub use file::read;
pub use holdings::Holdings;
pub use holdings::RecordCounts;
pub use holdings::Store;
pub use holdings::count;
pub use marks::AskVaults;
pub use marks::MissingRequests;
pub use marks::VaultMark;
pub use marks::missing_in;
pub use removed_letters::REMOVED_RANGES_MAX;
pub use removed_letters::RemovedLetters;
pub use rows::LedgerRows;
pub use rows::SINK_LINES;
pub use rows::at_hand;
pub use store::LedgerStore;
pub use totals::INTERRUPTED;
pub use totals::LINES;
pub use totals::LedgerTotals;
pub use totals::MISSING;
pub use totals::SignalTotals;
pub use totals::UNWRITTEN;
pub use totals::is_origin;

/// How the process that wrote a page stood then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Records moved shortly before.
    #[default]
    Moving,
    /// Nothing was booked for a second: every number is of the same moment.
    Quiet,
    /// It had ended in order.
    Ended,
}

/// One writing of the books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerSnapshot {
    /// When the books began, in nanoseconds since 1970.
    pub begun_unix_ns: u64,
    /// When this was written.
    pub written_unix_ns: u64,
    /// How the process stood.
    pub standing: Standing,
    /// Processes that kept these books.
    pub starts: u64,
    /// Of them, those that did not end in order.
    pub kills: u64,
    /// The last of those.
    pub last_kill: Option<Kill>,
    /// Whether the vaults were too large to be counted at a start: what they hold may differ from the
    /// books by what was unwritten then.
    pub is_unsettled: bool,
    /// The directories of all vaults that there were, relative to the data folder if they are in it, so
    /// that the folder can be moved.
    pub vaults: BTreeSet<PathBuf>,
    /// What each of them told last, while it was open.
    pub marks: BTreeMap<PathBuf, VaultMark>,
    /// What ended processes booked, by source and by sink.
    pub before: LedgerRows,
    /// What the last process had booked.
    pub process: LedgerRows,
}

/// What a start found after a process that did not end in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kill {
    /// The last writing of the process that was killed.
    pub written_unix_ns: u64,
    /// The start that found it.
    pub found_unix_ns: u64,
    /// What was booked for it: the lines `interrupted` and `unwritten`.
    pub booked: SignalTotals,
}

/// How a page names the directory of a vault.
#[must_use]
pub fn name_of(data_dir: &Path, vault: &Path) -> PathBuf {
    match vault.strip_prefix(data_dir) {
        Ok(inside) => inside.to_path_buf(),
        Err(_) => std::path::absolute(vault).unwrap_or_else(|_| vault.to_path_buf()),
    }
}

impl LedgerSnapshot {
    /// What all processes booked, by source and by sink.
    #[must_use]
    pub fn rows(&self) -> LedgerRows {
        self.before.and(&self.process)
    }

    /// The totals of all processes.
    #[must_use]
    pub fn totals(&self) -> SignalTotals {
        self.rows().total()
    }
}
