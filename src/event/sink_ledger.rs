//! What each sink took, and what became of it there.
//!
//! ```text
//!   taken = delivered + rejected + returned + what it has now
//! ```
//!
//! A sink takes a batch when it is put into its edge. What it has now is not counted but is the
//! difference: never less than nothing, and nothing once it has ended. Records are counted as often as
//! they come: what is given back comes again, from the vault.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use gophership_otlp::Signal;

use super::rows::Rows;
use crate::stripes::Stripes;

/// What is counted for a sink. Units: log records, spans, metric data points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum SinkBucket {
    /// Put into its edge.
    Taken,
    /// It has it: its backend, its file.
    Delivered,
    /// Its backend refused it for good.
    Rejected,
    /// Not delivered: withdrawn because the vault took it over, or failed, which is its source's or its
    /// replay's to mend.
    Returned,
    /// Moved to a dead-letter store after it was rejected, as it was stored, so with what transforms would
    /// have taken out; no part of the sum.
    DeadLettered,
}

impl SinkBucket {
    /// All of them, in the order of the equation.
    pub const ALL: [Self; 5] =
        [Self::Taken, Self::Delivered, Self::Rejected, Self::Returned, Self::DeadLettered];

    /// The label in metrics and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Returned => "returned",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// The number of a sink's row, or of none: whoever holds a batch then is no sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkId(u8);

impl SinkId {
    /// No sink.
    pub const NONE: Self = Self(0);
}

/// The signals of a line lie side by side, and all lines of a stripe on one or two cache lines.
#[derive(Debug, Default)]
struct Counts([[AtomicI64; Signal::ALL.len()]; SinkBucket::ALL.len()]);

/// The row of one sink.
#[derive(Debug, Default)]
pub struct SinkLedger(Stripes<Counts>);

impl SinkLedger {
    /// In order: who sees what became of records sees that they were taken.
    fn book(&self, signal: Signal, bucket: SinkBucket, records: i64) {
        let counts = self.0.mine();
        counts.0[bucket as usize][signal.idx()].fetch_add(records, Ordering::Release);
    }

    /// Returns how many records of a signal are in a line now.
    #[must_use]
    pub fn count(&self, signal: Signal, bucket: SinkBucket) -> i64 {
        let idx = signal.idx();
        let of = |counts: &Counts| counts.0[bucket as usize][idx].load(Ordering::Acquire);
        self.0.iter().map(of).sum()
    }

    /// Records of a signal that the sink has now, in its edge or in its hands.
    #[must_use]
    pub fn in_flight(&self, signal: Signal) -> i64 {
        let gone = [SinkBucket::Delivered, SinkBucket::Rejected, SinkBucket::Returned];
        // What is taken meanwhile is read later: better too many than less than none.
        let gone: i64 = gone.iter().map(|bucket| self.count(signal, *bucket)).sum();
        self.count(signal, SinkBucket::Taken) - gone
    }
}

/// The rows of all sinks.
#[derive(Debug, Default)]
pub(super) struct SinkRows(Rows<SinkLedger>);

impl SinkRows {
    pub(super) fn id(&self, sink: &str) -> SinkId {
        SinkId(self.0.row(sink, SinkLedger::default).0 + 1)
    }

    pub(super) fn book(&self, sink: SinkId, signal: Signal, bucket: SinkBucket, records: i64) {
        let row = sink.0.checked_sub(1).and_then(|idx| self.0.get(idx));
        if let Some(row) = row {
            row.book(signal, bucket, records);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &SinkLedger)> {
        self.0.iter()
    }
}
