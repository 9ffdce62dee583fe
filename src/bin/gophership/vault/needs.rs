//! Who still needs what a `prune` is about to delete, though no cursor says so: because the cursor's file
//! is gone.
//!
//! A request names the sinks that miss it, and the ledger knows the cursors that a server had.

use std::collections::BTreeMap;
use std::path::Path;

use gophership::event::Note;
use gophership::ledger;
use gophership::ledger::StoredLedger;
use gophership_vault::Cleared;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;
use gophership_vault::Survey;

use super::Failure;
use super::place::VaultTarget;

/// Between the id of a replay and that of a sink in the name of a cursor.
const BETWEEN: &str = ".TO.";
/// No fingerprint of a sink's id is shorter.
const FINGERPRINT_LEN_MIN: usize = 16;

/// What is needed and has no cursor.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Cursors that are known and have no file, with what they have not passed of all that is there.
    cursors: BTreeMap<String, u64>,
    /// Requests in the segments that are to go, by the sink that misses them and has no cursor.
    sinks: BTreeMap<String, u64>,
}

/// The cursors that the ledger of the vault's server knows, with what they had passed.
pub(super) fn known_cursors(target: &VaultTarget) -> BTreeMap<String, u64> {
    let above = target.dir.parent().map(Path::to_path_buf);
    let Some(data_dir) = target.data_dir.clone().or(above) else { return BTreeMap::new() };
    // Without a ledger, or with one that cannot be read, the requests have to say it.
    let Ok(StoredLedger::Snapshot(_, page)) = ledger::read(&data_dir) else {
        return BTreeMap::new();
    };
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    let mut marks = page.marks.into_iter();
    let is_this = |name: &Path| whole(&data_dir.join(name)) == whole(&target.dir);
    marks.find(|(name, _)| is_this(name)).map(|(_, mark)| mark.cursors).unwrap_or_default()
}

impl Needs {
    /// Reads what is to go, and corrects how much of it is not delivered.
    pub(super) fn take(
        dir: &Path,
        known: &BTreeMap<String, u64>,
        planned: &mut [Cleared],
    ) -> Result<Self, Failure> {
        let survey = Survey::take_knowing(dir, known)?;
        let missing = survey.cursors.iter().filter(|cursor| cursor.is_missing);
        let left = missing.filter(|cursor| 0 < cursor.backlog_records);
        let cursors = left.map(|cursor| (cursor.name.clone(), cursor.backlog_records)).collect();
        let has_cursor = |sink: &str| {
            survey.cursors.iter().any(|one| !one.is_missing && is_cursor_of(&one.name, sink))
        };
        let mut needs = Self { cursors, sinks: BTreeMap::new() };
        for segment in planned {
            let number = segment.id.get();
            let segments = Some((number, number));
            let selection = RecordSelection { segments, ..RecordSelection::default() };
            let mut reader = OfflineReader::open_selected(dir, &selection)?;
            let mut needed = 0;
            while let Some(item) = reader.next()? {
                let OfflineItem::Record(record) = item else { continue };
                let owed = Note::read(&record.attrs).owed;
                let unserved: Vec<String> =
                    owed.into_iter().filter(|sink| !has_cursor(sink)).collect();
                needed += u64::from(!unserved.is_empty());
                for sink in unserved {
                    *needs.sinks.entry(sink).or_default() += 1;
                }
            }
            segment.undelivered_records = segment.undelivered_records.max(needed);
        }
        Ok(needs)
    }

    /// Why nothing is deleted without consent.
    pub(super) fn objection(&self) -> Option<String> {
        let list = |what: &BTreeMap<String, u64>| -> Vec<String> {
            what.iter().map(|(name, requests)| format!("{name} ({requests})")).collect()
        };
        let (cursors, sinks) = (list(&self.cursors).join(", "), list(&self.sinks).join(", "));
        let why = if !self.cursors.is_empty() {
            format!(
                "the files of these cursors are gone, and they had not passed all requests: \
                 {cursors}"
            )
        } else if !self.sinks.is_empty() {
            format!("these sinks need requests, but have no cursor: {sinks}")
        } else {
            return None;
        };
        Some(format!(
            "{why}; nothing was deleted. The next start of the server creates the cursors again \
             and delivers the requests. --yes-lose-data deletes what the other cursors have passed"
        ))
    }
}

/// Whether a cursor is that of a sink: by its name, by a fingerprint of it, or because it is one for all.
fn is_cursor_of(cursor: &str, sink: &str) -> bool {
    let Some((_, of)) = cursor.split_once(BETWEEN) else { return true };
    let fingerprint = blake3::hash(sink.as_bytes()).to_hex();
    of == sink || (FINGERPRINT_LEN_MIN <= of.len() && fingerprint.starts_with(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_known_by_its_sink() {
        let long = "b".repeat(64);
        let fingerprint: String = blake3::hash(long.as_bytes()).to_hex().chars().take(24).collect();
        assert!(is_cursor_of("replay.TO.backend", "backend"));
        assert!(!is_cursor_of("replay.TO.backend", "other"));
        assert!(is_cursor_of(&format!("replay.TO.{fingerprint}"), &long));
        assert!(!is_cursor_of(&format!("replay.TO.{fingerprint}"), "backend"));
        assert!(is_cursor_of("replay", "backend"), "an old one is for all");
    }
}
