//! Vaults, and spools of sinks, that the configuration does not name and that still hold requests: nobody
//! delivers those.
//!
//! A vault is left behind when it is taken out of the configuration, renamed, or given another path; a spool
//! when its sink is taken out or renamed, or does not write requests any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::Survey;
use gophership_vault::VaultError;
use gophership_vault::is_vault;
use tokio::sync::watch;

use super::ledger::vault_dirs;
use crate::component::ComponentId;
use crate::component::Site;
use crate::config::Config;
use crate::config::SinkEntry;
use crate::control::LeftVault;
use crate::ledger;
use crate::ledger::StoredLedger;
use crate::metrics::Metrics;

/// The directory of a spool, in that of its sink.
const SPOOL_DIR: &str = "spool";

/// Looks for them, tells of each in the log and the metrics, and publishes the list. Does not wait.
pub(super) fn look(
    config: &Config,
    before: &Config,
    metrics: &std::sync::Arc<Metrics>,
    list: &watch::Sender<Vec<LeftVault>>,
) {
    let data_dir = config.data_dir.clone();
    let (wanted, known) = (vault_dirs(config), vault_dirs(before));
    let (wanted_spools, known_spools) = (spools(config), spools(before));
    let (metrics, list) = (std::sync::Arc::clone(metrics), list.clone());
    tokio::task::spawn_blocking(move || {
        let vaults = find(&data_dir, &wanted, known);
        let spools = find_spools(&data_dir, &wanted_spools, known_spools);
        for LeftVault { dir, requests } in &vaults {
            tracing::warn!(
                dir = %dir.display(),
                requests,
                "Undelivered requests are in a vault directory that the configuration does not \
                 contain. Add a vault with this `path`, or send them to a backend with `gophership \
                 vault export` and remove the directory."
            );
        }
        for LeftVault { dir, requests } in &spools {
            tracing::warn!(
                dir = %dir.display(),
                requests,
                "Undelivered requests are in the spool of an `s3` sink that the configuration does not \
                 contain. Add a sink with this id and `inputs`, or send them to a backend with \
                 `gophership vault export` and remove the directory."
            );
        }
        let left: Vec<LeftVault> = vaults.into_iter().chain(spools).collect();
        metrics.vault_left.reset();
        for LeftVault { dir, requests } in &left {
            let dir = dir.display().to_string();
            let gauge = i64::try_from(*requests).unwrap_or(i64::MAX);
            metrics.vault_left.with_label_values(&[&dir]).set(gauge);
        }
        list.send_replace(left);
    });
}

/// The directory of every spool of a configuration.
fn spools(config: &Config) -> Vec<PathBuf> {
    let spool = |(id, entry): (&ComponentId, &SinkEntry)| {
        entry.config.spool(&Site { id: id.as_str(), data_dir: &config.data_dir })
    };
    config.sinks.iter().filter_map(spool).collect()
}

/// Finds spools with requests among those that the last configuration had, or the data folder holds as
/// `KIND/ID/spool`, and that are not wanted.
fn find_spools(data_dir: &Path, wanted: &[PathBuf], known: Vec<PathBuf>) -> Vec<LeftVault> {
    let folders = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let sinks = folders(data_dir).into_iter().flat_map(|kind| folders(&kind));
    let inside = sinks.map(|sink| sink.join(SPOOL_DIR));
    // The cursor of a sink that copies is the one that delivers.
    left_of(known.into_iter().chain(inside), wanted, |_| true)
}

/// Finds vaults with requests among those that the ledger knows, the last configuration had, or the data
/// folder holds, and that are not wanted.
fn find(data_dir: &Path, wanted: &[PathBuf], known: Vec<PathBuf>) -> Vec<LeftVault> {
    let booked = match ledger::read(data_dir) {
        Ok(StoredLedger::Snapshot(_, page)) => page.vaults,
        Ok(StoredLedger::Nothing | StoredLedger::Damaged) | Err(_) => BTreeSet::new(),
    };
    let inside = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    let inside = inside.map(|entry| entry.path()).filter(|path| is_vault(path));
    let booked = booked.into_iter().map(|name| data_dir.join(name));
    let all = known.into_iter().chain(booked).chain(inside);
    left_of(all, wanted, |cursor| !gophership_vault::is_copy_cursor(cursor))
}

/// Those of some directories that are vaults, are not wanted, and hold requests that a cursor which delivers
/// has not passed.
fn left_of(
    all: impl Iterator<Item = PathBuf>,
    wanted: &[PathBuf],
    delivers: impl Fn(&str) -> bool,
) -> Vec<LeftVault> {
    let same = |dir: &Path| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let wanted: BTreeSet<PathBuf> = wanted.iter().map(|dir| same(dir)).collect();
    let all: BTreeSet<PathBuf> = all.filter(|dir| is_vault(dir)).map(|dir| same(&dir)).collect();
    let mut left = Vec::new();
    for dir in all.difference(&wanted) {
        match undelivered(dir, &delivers) {
            Ok(0) => {}
            Ok(requests) => left.push(LeftVault { dir: dir.clone(), requests }),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "Cannot read a former vault.");
            }
        }
    }
    left
}

/// Requests that some cursor which delivers has not passed; without such a cursor, all.
fn undelivered(dir: &Path, delivers: impl Fn(&str) -> bool) -> Result<u64, VaultError> {
    let survey = Survey::take(dir)?;
    let all = survey.segments.iter().map(|segment| segment.records).sum();
    let waiting = survey.cursors.iter().filter(|cursor| delivers(&cursor.name));
    Ok(waiting.map(|cursor| cursor.backlog_records).max().unwrap_or(all))
}
