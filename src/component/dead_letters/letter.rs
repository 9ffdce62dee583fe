//! A dead letter: a stored request with what the note beside it says.

use bytes::Bytes;
use gophership_vault::StoredRecord;

use crate::event::Note;
use crate::event::Provenance;
use crate::event::Signal;

const NS_PER_MS: u64 = 1_000_000;

/// A request that could never be delivered.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The number of its segment.
    pub segment: u64,
    /// Its number in the store.
    pub seq: u64,
    /// The signal; `None` if this version does not know it.
    pub signal: Option<Signal>,
    /// Its records: log records, spans or data points.
    pub records: u64,
    /// When it was received, in nanoseconds since 1970.
    pub received_unix_ns: u64,
    /// When it became a letter, in milliseconds since 1970. Earlier versions did not note that: then it is
    /// when it was received.
    pub refused_unix_ms: u64,
    /// The id of the source that received it.
    pub source: String,
    /// The sinks that miss it; all of them if it is empty.
    pub sinks: Vec<String>,
    /// What the backend said.
    pub reason: String,
    /// Where it came from, to be stored again.
    pub provenance: Provenance,
    /// The protobuf bytes, as they were received.
    pub wire: Bytes,
}

impl Letter {
    /// Makes sense of a record of the store.
    #[must_use]
    pub fn of(segment: u64, record: StoredRecord) -> Self {
        let note = Note::read(&record.attrs);
        let received_unix_ms = record.received_unix_ns / NS_PER_MS;
        let signal = Signal::from_u8(record.signal);
        let counted = || {
            let scan = |signal| gophership_otlp::prescan(signal, &record.payload).ok();
            signal.and_then(scan).map_or(0, |found| found.records)
        };
        Self {
            segment,
            seq: record.seq,
            signal,
            records: if note.records == 0 { counted() } else { note.records },
            received_unix_ns: record.received_unix_ns,
            refused_unix_ms: note.refused_unix_ms().unwrap_or(received_unix_ms),
            source: note.source_name().to_owned(),
            reason: note.reason().unwrap_or_default().to_owned(),
            sinks: note.owed,
            provenance: Provenance::of_note(&record.attrs),
            wire: record.payload,
        }
    }

    /// The name of its signal, or `unknown`.
    #[must_use]
    pub const fn signal_name(&self) -> &'static str {
        match self.signal {
            Some(signal) => signal.name(),
            None => "unknown",
        }
    }

    /// The sinks that miss it, as one text.
    #[must_use]
    pub fn sink_names(&self) -> String {
        if self.sinks.is_empty() { "*".to_owned() } else { self.sinks.join(",") }
    }
}
