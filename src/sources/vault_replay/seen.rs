//! What a stored record is, and its way into the books.

use crate::config::running::Inherited;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Note;
use crate::event::Provenance;
use crate::event::Signal;
use crate::otlp;
use crate::vault::StoredRecord;

/// What is known of a stored record.
pub(super) struct Seen {
    pub(super) signal: Signal,
    pub(super) records: u64,
    /// That of the source that took it, whichever process that was in.
    pub(super) ledger: &'static Ledger,
    pub(super) provenance: Provenance,
    /// The sinks that need it; without any, all do.
    pub(super) owed: Vec<String>,
    /// Whether it is OTLP; what is not can only be buried.
    pub(super) is_readable: bool,
}

impl Seen {
    /// Looks at a record; one that an earlier process left is booked when it is first seen.
    pub(super) fn new(
        record: &StoredRecord,
        ledgers: &'static Ledgers,
        inherited: &Inherited,
    ) -> Option<Self> {
        let Some(signal) = Signal::from_u8(record.signal) else {
            let (seq, signal) = (record.seq, record.signal);
            tracing::error!(seq, signal, "Unknown signal in the vault.");
            return None;
        };
        let note = Note::read(&record.attrs);
        let ledger = ledgers.source(note.source_name());
        let provenance = Provenance::of_note(&record.attrs);
        let scanned = otlp::prescan(signal, &record.payload).ok();
        let records = scanned.as_ref().map_or(note.records, |summary| summary.records);
        if inherited.is_news(record.seq) {
            let signed = i64::try_from(records).unwrap_or(i64::MAX);
            ledger.book(signal, Bucket::Recovered, signed);
            ledger.book(signal, Bucket::Vaulted, signed);
        }
        let is_readable = scanned.is_some();
        Some(Self { signal, records, ledger, provenance, owed: note.owed, is_readable })
    }
}
