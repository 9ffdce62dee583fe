//! The ledger of the process: kept on disk while it runs, and said in the log when it ends.

use std::path::PathBuf;
use std::sync::Arc;

use super::StartError;
use super::refused;
use crate::component::Resource;
use crate::component::Site;
use crate::component::Vaults;
use crate::config::Config;
use crate::event::Bucket;
use crate::event::Ledgers;
use crate::event::Signal;
use crate::ledger::LedgerStore;

/// Opens the books before any vault is opened.
pub(super) async fn keep_books(
    config: &Config,
    ledgers: &'static Ledgers,
    vaults: &Arc<Vaults>,
) -> Result<LedgerStore, StartError> {
    let open = Arc::clone(vaults);
    let (data_dir, dirs) = (config.data_dir.clone(), vault_dirs(config));
    let start =
        move || LedgerStore::start(&data_dir, dirs, ledgers, Box::new(move || open.marks()));
    let started =
        tokio::task::spawn_blocking(start).await.unwrap_or_else(|panic| Err(panic.into()));
    let books = started.map_err(refused("start", "the thread of the ledger"))?;
    vaults.expect(books.known());
    Ok(books)
}

/// Writes the last page.
pub(super) async fn close_books(books: LedgerStore) {
    // A panic in it has been logged.
    let _closed = tokio::task::spawn_blocking(move || books.close()).await;
}

/// Writes a page, and no word of an end.
pub(super) async fn leave_books(books: LedgerStore) {
    // A panic in it has been logged.
    let _left = tokio::task::spawn_blocking(move || drop(books)).await;
}

/// The directory of every vault of a configuration.
#[must_use]
pub fn vault_dirs(config: &Config) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for (id, entry) in config.sinks.iter().filter(|(_, entry)| entry.config.is_vault()) {
        let site = Site { id: id.as_str(), data_dir: &config.data_dir };
        let resources = entry.config.resources(&site).into_iter();
        dirs.extend(resources.filter_map(|resource| match resource {
            Resource::Directory(dir) => Some(dir),
            _ => None,
        }));
    }
    dirs
}

/// Says what became of every record.
pub(super) fn log_ledger(ledgers: &Ledgers) {
    for signal in Signal::ALL {
        let count = |bucket: Bucket| ledgers.count(signal, bucket);
        if count(Bucket::Received) == 0 && count(Bucket::Recovered) == 0 {
            continue;
        }
        // A bucket that is empty is no field.
        let sum = |bucket: Bucket| Some(count(bucket)).filter(|records| *records != 0);
        tracing::info!(
            signal = signal.name(),
            received = sum(Bucket::Received),
            recovered = sum(Bucket::Recovered),
            copies = sum(Bucket::Copies),
            in_flight = sum(Bucket::InFlight),
            delivered = sum(Bucket::Delivered),
            vaulted = sum(Bucket::Vaulted),
            filtered = sum(Bucket::Filtered),
            dead_lettered = sum(Bucket::DeadLettered),
            dropped = sum(Bucket::Dropped),
            rejected_no_room = sum(Bucket::RejectedNoRoom),
            rejected_by_backend = sum(Bucket::RejectedByBackend),
            rejected_failed = sum(Bucket::RejectedFailed),
            rejected_abandoned = sum(Bucket::RejectedAbandoned),
            imbalance = ledgers.imbalance(signal),
            "Ledger in records."
        );
    }
}
