//! [`Ledgers`]: those of all sources of a process, and what each sink took.

use std::sync::Arc;

use gophership_otlp::Signal;

use super::ledger::Bucket;
use super::ledger::Ledger;
use super::ledger::signed;
use super::rows::Rows;
use super::sink_ledger::SinkBucket;
use super::sink_ledger::SinkId;
use super::sink_ledger::SinkLedger;
use super::sink_ledger::SinkRows;

/// The books of a process: a row for each source and for each sink that it ever had. Sources and sinks
/// beyond the 63rd share a row.
#[derive(Debug, Default)]
pub struct Ledgers {
    sources: Rows<Ledger>,
    sinks: Arc<SinkRows>,
}

impl Ledgers {
    /// Makes ledgers that live as long as the process.
    #[must_use]
    pub fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// The ledger of a source, or of whatever a vault names as one; [`UNKNOWN`](super::UNKNOWN) if it
    /// names none.
    #[must_use]
    pub fn source(&self, name: &str) -> &Ledger {
        self.sources.row(name, || Ledger::new(Arc::clone(&self.sinks))).1
    }

    /// The number of a sink's row.
    #[must_use]
    pub fn sink(&self, name: &str) -> SinkId {
        self.sinks.id(name)
    }

    /// Books that records which a sink's backend had rejected are in a dead-letter store.
    pub fn dead_letter(&self, sink: SinkId, signal: Signal, records: u64) {
        self.sinks.book(sink, signal, SinkBucket::DeadLettered, signed(records));
    }

    /// All sources, with what is booked for them.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Ledger)> {
        self.sources.iter()
    }

    /// All sinks, with what is booked for them.
    pub fn sinks(&self) -> impl Iterator<Item = (&str, &SinkLedger)> {
        self.sinks.iter()
    }

    /// Returns how many records of a signal are in a bucket now, whatever their source.
    #[must_use]
    pub fn count(&self, signal: Signal, bucket: Bucket) -> i64 {
        self.sources().map(|(_, ledger)| ledger.count(signal, bucket)).sum()
    }

    /// Returns a bucket over all signals.
    #[must_use]
    pub fn total(&self, bucket: Bucket) -> i64 {
        self.sources().map(|(_, ledger)| ledger.total(bucket)).sum()
    }

    /// Returns origins less destinations for a signal: zero whenever nothing moves.
    #[must_use]
    pub fn imbalance(&self, signal: Signal) -> i64 {
        self.sources().map(|(_, ledger)| ledger.imbalance(signal)).sum()
    }
}
