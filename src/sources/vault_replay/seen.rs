//! What a stored record is, and its way into the books.

use gophership_vault::StoredRecord;

use crate::component::Inherited;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Note;
use crate::event::Provenance;
use crate::event::Signal;

/// The header beside a dead letter whose signal nobody here knows: the number that it was stored with.
const SIGNAL_HEADER: &str = "gophership-signal";

/// What is known of a stored record.
pub(super) struct SeenRequest {
    /// Logs, where it is unknown.
    pub(super) signal: Signal,
    pub(super) records: u64,
    /// That of the source that took it, whichever process that was in.
    pub(super) ledger: &'static Ledger,
    pub(super) provenance: Provenance,
    /// The sinks that need it; without any, all do.
    pub(super) owed: Vec<String>,
    /// Whether it is OTLP; what is not can only be a dead letter.
    pub(super) is_readable: bool,
}

impl SeenRequest {
    /// Looks at a record; one that an earlier process left is booked when it is first seen.
    pub(super) fn new(
        record: &StoredRecord,
        ledgers: &'static Ledgers,
        inherited: &Inherited,
    ) -> Self {
        let note = Note::read(&record.attrs);
        let ledger = ledgers.source(note.source_name());
        let mut provenance = Provenance::of_note(&record.attrs);
        let known = Signal::from_u8(record.signal);
        let signal = known.unwrap_or(Signal::Logs);
        let scanned =
            known.and_then(|signal| gophership_otlp::prescan(signal, &record.payload).ok());
        if known.is_none() {
            provenance = provenance.and_header(SIGNAL_HEADER, record.signal.to_string().as_bytes());
        }
        let records = scanned.as_ref().map_or(note.records, |summary| summary.records);
        if inherited.is_news(record.seq) {
            let signed = i64::try_from(records).unwrap_or(i64::MAX);
            ledger.book(signal, Bucket::Recovered, signed);
            ledger.book(signal, Bucket::Vaulted, signed);
        }
        let is_readable = scanned.is_some();
        Self { signal, records, ledger, provenance, owed: note.owed, is_readable }
    }
}
