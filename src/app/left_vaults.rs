//! Vaults and spools that the configuration does not name and that still hold requests or dead letters: nobody
//! delivers those.
//!
//! A vault is left behind when it is taken out of the configuration, renamed, or given another path; a spool
//! when its sink is taken out or renamed, or does not write requests any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use gophership_vault::Survey;
use gophership_vault::VaultError;
use gophership_vault::is_copy_cursor;
use gophership_vault::is_vault;
use tokio::sync::watch;

use super::ledger::vault_dirs;
use crate::component::ComponentId;
use crate::component::Resource;
use crate::component::Site;
use crate::config::Config;
use crate::config::SinkEntry;
use crate::control::LeftVault;
use crate::ledger;
use crate::ledger::StoredLedger;
use crate::metrics::Metrics;

/// The folder of the spool in that of an `s3` sink.
const SPOOL: &str = "spool";
/// The folder of the dead letters in that of a vault.
const DEAD_LETTERS: &str = "deadletter";

/// Looks for them, tells of each in the log and the metrics, and publishes the list. Does not wait.
pub(super) fn look(
    config: &Config,
    before: &Config,
    metrics: &std::sync::Arc<Metrics>,
    list: &watch::Sender<Vec<LeftVault>>,
) {
    let data_dir = config.data_dir.clone();
    let wanted = [sink_dirs(config), spools(config)].concat();
    let known = [vault_dirs(before), spools(before)].concat();
    let (metrics, list) = (std::sync::Arc::clone(metrics), list.clone());
    tokio::task::spawn_blocking(move || {
        let left = find(&data_dir, &wanted, known);
        metrics.vault_left.reset();
        metrics.vault_left_letters.reset();
        for LeftVault { dir, requests, dead_letters } in &left {
            let dir = dir.display().to_string();
            let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            metrics.vault_left.with_label_values(&[&dir]).set(gauge(*requests));
            metrics.vault_left_letters.with_label_values(&[&dir]).set(gauge(*dead_letters));
            tracing::warn!(
                %dir,
                requests,
                dead_letters,
                "Undelivered requests or dead letters are in a directory that the configuration does not \
                 contain. Add the vault or the `s3` sink with this directory again, or send the requests to a \
                 backend with `gophership vault export` and remove the directory."
            );
        }
        list.send_replace(left);
    });
}

/// Finds vaults with requests among those that the ledger knows, the last configuration had, or the data
/// folder holds, and the spools of `s3` sinks in there, that are not wanted.
fn find(data_dir: &Path, wanted: &[PathBuf], known: Vec<PathBuf>) -> Vec<LeftVault> {
    let booked = match ledger::read(data_dir) {
        Ok(StoredLedger::Snapshot(_, page)) => page.vaults,
        Ok(StoredLedger::Nothing | StoredLedger::Damaged) | Err(_) => BTreeSet::new(),
    };
    let booked = booked.into_iter().map(|name| data_dir.join(name));
    let spools = folders(&data_dir.join("s3")).map(|dir| dir.join(SPOOL));
    let all = known.into_iter().chain(booked).chain(folders(data_dir)).chain(spools);
    let same = |dir: &Path| std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let wanted: BTreeSet<PathBuf> = wanted.iter().map(|dir| same(dir)).collect();
    let all: BTreeSet<PathBuf> = all.filter(|dir| is_vault(dir)).map(|dir| same(&dir)).collect();
    let mut left = Vec::new();
    for dir in all.difference(&wanted) {
        match look_into(dir) {
            Ok((0, 0)) => {}
            Ok((requests, dead_letters)) => {
                left.push(LeftVault { dir: dir.clone(), requests, dead_letters });
            }
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "Cannot read a former vault.");
            }
        }
    }
    left
}

/// The folders in a folder.
fn folders(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Undelivered requests, and dead letters.
fn look_into(dir: &Path) -> Result<(u64, u64), VaultError> {
    // Nobody but its own cursor waits for a spool.
    let requests = undelivered(dir, |cursor| dir.ends_with(SPOOL) || !is_copy_cursor(cursor))?;
    let letters = dir.join(DEAD_LETTERS);
    let dead_letters = if is_vault(&letters) { undelivered(&letters, |_| true)? } else { 0 };
    Ok((requests, dead_letters))
}

/// Requests that some cursor has not passed; without a cursor, all.
fn undelivered(dir: &Path, counts: impl Fn(&str) -> bool) -> Result<u64, VaultError> {
    let survey = Survey::take(dir)?;
    let all = survey.segments.iter().map(|segment| segment.records).sum();
    let waiting = survey.cursors.iter().filter(|cursor| counts(&cursor.name));
    Ok(waiting.map(|cursor| cursor.backlog_records).max().unwrap_or(all))
}

/// The directory of every spool of a configuration.
fn spools(config: &Config) -> Vec<PathBuf> {
    let spool = |(id, entry): (&ComponentId, &SinkEntry)| {
        entry.config.spool(&Site { id: id.as_str(), data_dir: &config.data_dir })
    };
    config.sinks.iter().filter_map(spool).collect()
}

/// The directories of every sink of a configuration.
fn sink_dirs(config: &Config) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for (id, entry) in &config.sinks {
        let site = Site { id: id.as_str(), data_dir: &config.data_dir };
        let resources = entry.config.resources(&site).into_iter();
        dirs.extend(resources.filter_map(|resource| match resource {
            Resource::Directory(dir) => Some(dir),
            _ => None,
        }));
    }
    dirs
}
