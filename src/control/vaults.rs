//! What each vault holds, as its directory says.

use std::path::Path;
use std::path::PathBuf;

use gophership_control::proto;
use gophership_vault::Hold;
use gophership_vault::Survey;
use gophership_vault::VaultError;
use tonic::Status;

use crate::component::Resource;
use crate::component::Site;
use crate::config::Config;

/// The vaults of a configuration, each with its directory.
pub(super) fn dirs(config: &Config) -> Vec<(String, PathBuf)> {
    let mut dirs = Vec::new();
    for (id, entry) in config.sinks.iter().filter(|(_, entry)| entry.config.is_vault()) {
        let site = Site { id: id.as_str(), data_dir: &config.data_dir };
        let mut resources = entry.config.resources(&site).into_iter();
        let dir = resources.find_map(|resource| match resource {
            Resource::Directory(dir) => Some(dir),
            _ => None,
        });
        dirs.extend(dir.map(|dir| (id.to_string(), dir)));
    }
    dirs
}

/// Reads what a vault holds. It only reads, and the vault may be in use; it waits for the disk.
pub(super) fn content(id: String, dir: &Path) -> proto::VaultContent {
    let mut content =
        proto::VaultContent { id, dir: dir.display().to_string(), ..Default::default() };
    let survey = match Survey::take(dir) {
        Ok(survey) => survey,
        Err(error) => {
            content.error = error.to_string();
            return content;
        }
    };
    let ms = |unix_ns: u64| unix_ns / 1_000_000;
    let received: Vec<_> = survey.segments.iter().filter(|segment| segment.records != 0).collect();
    let oldest = received.iter().map(|segment| segment.created_unix_ns).min();
    let newest = received.iter().map(|segment| segment.last_received_unix_ns).max();
    content.segments = survey.segments.len() as u64;
    content.requests = survey.segments.iter().map(|segment| segment.records).sum();
    content.file_bytes = survey.segments.iter().map(|segment| segment.file_bytes).sum();
    content.raw_bytes = survey.segments.iter().map(|segment| segment.raw_bytes).sum();
    content.oldest_unix_ms = ms(oldest.unwrap_or(0));
    content.newest_unix_ms = ms(newest.unwrap_or(0));
    let cursor = |cursor: &gophership_vault::CursorSurvey| proto::VaultCursor {
        name: cursor.name.clone(),
        backlog_requests: cursor.backlog_records,
    };
    content.cursors = survey.cursors.iter().map(cursor).collect();
    content.holds = survey.holds.iter().map(wire_hold).collect();
    content
}

/// The directory of one vault of a configuration.
pub(super) fn dir_of(config: &Config, vault: &str) -> Result<PathBuf, Status> {
    let vaults = dirs(config);
    let found = vaults.iter().find(|(id, _)| id == vault);
    found.map(|(_, dir)| dir.clone()).ok_or_else(|| {
        let known: Vec<&str> = vaults.iter().map(|(id, _)| id.as_str()).collect();
        Status::not_found(format!("there is no vault {vault:?}; vaults: {}", known.join(", ")))
    })
}

/// What a client is told of an error of a vault.
pub(super) fn refusal(error: &VaultError) -> Status {
    match error {
        VaultError::InvalidOptions { .. } => Status::invalid_argument(error.to_string()),
        _ => Status::internal(error.to_string()),
    }
}

/// A hold as the protocol has it.
pub(super) fn wire_hold(hold: &Hold) -> proto::VaultHold {
    proto::VaultHold {
        name: hold.name.clone(),
        first_segment: hold.segments.map(|(first, _)| first),
        last_segment: hold.segments.map(|(_, last)| last),
        until_unix_ms: hold.until_unix_ms,
        reason: hold.reason.clone(),
    }
}
