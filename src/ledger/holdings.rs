//! What the vaults really hold: counted record by record, from outside, beside a writer or without one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;
use gophership_vault::StoredRecord;
use gophership_vault::Survey;
use gophership_vault::VaultError;
use gophership_vault::is_copy_cursor;

use super::removed_letters::RemovedLetters;
use crate::event::Note;
use crate::event::Signal;

/// Folder of a vault's dead letters, a vault of its own.
const DEAD_LETTERS: &str = "deadletter";
/// The clock is asked after so many requests.
const CLOCK_EVERY: u64 = 256;

/// Records by signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts([i64; 3]);

impl RecordCounts {
    /// The records of a signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> i64 {
        let [logs, traces, metrics] = self.0;
        match signal {
            Signal::Logs => logs,
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        }
    }

    /// Adds records of a signal.
    pub const fn add(&mut self, signal: Signal, records: i64) {
        let [logs, traces, metrics] = &mut self.0;
        match signal {
            Signal::Logs => *logs += records,
            Signal::Traces => *traces += records,
            Signal::Metrics => *metrics += records,
        }
    }

    /// Adds what another tally has.
    pub fn add_all(&mut self, other: &Self) {
        for signal in Signal::ALL {
            self.add(signal, other.of(signal));
        }
    }
}

/// What one store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// Records by signal.
    pub records: RecordCounts,
    /// Requests.
    pub requests: u64,
    /// The same records by the source that took them.
    pub by_source: BTreeMap<String, RecordCounts>,
    /// The same records by the sink that still misses them; `None` is every sink.
    pub by_sink: BTreeMap<Option<String>, RecordCounts>,
    /// Those that a cursor of the vault has not passed. It skips what only other sinks need.
    pub by_cursor: BTreeMap<String, RecordCounts>,
    /// Damaged places that were passed.
    pub faults: u64,
}

/// A vault with more files is not counted at a start.
const FILES_MAX: usize = 256;

/// What a vault holds, and its dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// What some cursor has not passed.
    pub vaulted: Store,
    /// The dead-letter store, without letters that were taken out of it.
    pub dead_letters: Store,
    /// When letters were last taken out of it, in nanoseconds since 1970.
    pub letters_removed_unix_ns: u64,
    /// Whether requests are known to be missing.
    pub has_losses: bool,
}

/// Counts what a vault holds, of which these cursors are known. `None` if that is not done by the deadline.
///
/// # Errors
///
/// As [`Survey::take`] and [`OfflineReader::next`].
pub fn count(
    dir: &Path,
    cursors: &BTreeMap<String, u64>,
    deadline: Option<Instant>,
) -> Result<Option<Holdings>, VaultError> {
    let mut holdings = Holdings::default();
    if deadline.is_some() && has_many_files(dir) {
        return Ok(None);
    }
    if gophership_vault::is_vault(dir) {
        let survey = Survey::take_knowing(dir, cursors)?;
        // What every cursor has passed need not be read.
        let waiting = survey.cursors.iter().filter(|cursor| !is_copy_cursor(&cursor.name));
        let low = waiting.map(|cursor| cursor.low_seq).min().unwrap_or(0);
        let is_passed = |seq| survey.is_passed(seq);
        let store = read(dir, low, Some(&survey), is_passed, deadline)?;
        let Some(store) = store else { return Ok(None) };
        holdings.vaulted = store;
    }
    let dead_letter_dir = dir.join(DEAD_LETTERS);
    if gophership_vault::is_vault(&dead_letter_dir) {
        // A list that cannot be read removes nothing.
        let removed = RemovedLetters::read(&dead_letter_dir).unwrap_or_default();
        let store = read(&dead_letter_dir, 0, None, |seq| removed.has(seq), deadline)?;
        let Some(store) = store else { return Ok(None) };
        holdings.dead_letters = store;
        holdings.letters_removed_unix_ns = removed.written_unix_ns();
    }
    Ok(Some(holdings))
}

/// Whether the survey of a vault alone would take longer than a start may.
pub(super) fn has_many_files(dir: &Path) -> bool {
    let files = std::fs::read_dir(dir).map(|files| files.take(FILES_MAX + 1).count());
    files.is_ok_and(|count| FILES_MAX < count)
}

/// Reads what lies above `low` and is not gone; a survey says which cursors wait for it.
fn read(
    dir: &Path,
    low: u64,
    survey: Option<&Survey>,
    is_gone: impl Fn(u64) -> bool,
    deadline: Option<Instant>,
) -> Result<Option<Store>, VaultError> {
    let selection =
        RecordSelection { seqs: Some((low + 1, u64::MAX)), ..RecordSelection::default() };
    let mut reader = OfflineReader::open_selected(dir, &selection)?;
    let mut store = Store::default();
    let mut seen: u64 = 0;
    while let Some(item) = reader.next()? {
        match item {
            OfflineItem::Record(record) => {
                if !is_gone(record.seq) {
                    store.take(&record, survey);
                }
            }
            OfflineItem::Fault(_) => store.faults += 1,
        }
        seen += 1;
        let is_late = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        if seen.is_multiple_of(CLOCK_EVERY) && is_late() {
            return Ok(None);
        }
    }
    Ok(Some(store))
}

impl Store {
    fn take(&mut self, record: &StoredRecord, survey: Option<&Survey>) {
        let Some(signal) = Signal::from_u8(record.signal) else { return };
        let note = Note::read(&record.attrs);
        let counted =
            || gophership_otlp::prescan(signal, &record.payload).map_or(0, |found| found.records);
        let records = if note.records == 0 { counted() } else { note.records };
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        self.requests += 1;
        self.records.add(signal, records);
        self.by_source.entry(note.source_name().to_owned()).or_default().add(signal, records);
        if note.owed.is_empty() {
            self.by_sink.entry(None).or_default().add(signal, records);
        }
        for cursor in survey.iter().flat_map(|survey| survey.behind(record.seq)) {
            self.by_cursor.entry(cursor.name.clone()).or_default().add(signal, records);
        }
        for sink in note.owed {
            self.by_sink.entry(Some(sink)).or_default().add(signal, records);
        }
    }

    /// Adds what another store holds.
    pub fn add_all(&mut self, other: &Self) {
        self.records.add_all(&other.records);
        self.requests += other.requests;
        self.faults += other.faults;
        for (source, tally) in &other.by_source {
            self.by_source.entry(source.clone()).or_default().add_all(tally);
        }
        for (sink, tally) in &other.by_sink {
            self.by_sink.entry(sink.clone()).or_default().add_all(tally);
        }
        for (cursor, tally) in &other.by_cursor {
            self.by_cursor.entry(cursor.clone()).or_default().add_all(tally);
        }
    }
}
