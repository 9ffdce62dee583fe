//! The loss ledger: every record that was accepted is in exactly one bucket.
//!
//! ```text
//!   received + recovered + copies
//!       = in_flight + delivered + vaulted + filtered + dead_lettered + dropped + rejected
//! ```
//!
//! `copies` is what fan-out adds (two sinks, one extra copy) less what was withdrawn because the
//! vault had taken it over. The counters are striped, so that booking writes no cache line that
//! another worker writes.
//!
//! Each source has a [`Ledger`] of its own, and whatever becomes of a record is booked there: what a
//! vault holds names its source, so that also holds for what another process replays. So the equation
//! is exact for each source, and the sum of all sources, [`Ledgers`], is that of the process.
//! Of what a sink took, [`SinkBucket`] says what became of it there; of what is delivered all is
//! delivered by some sink, so both sums agree.
//!
//! [`Ledgers`]: super::Ledgers

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gophership_otlp::Signal;

use super::sink_ledger::SinkBucket;
use super::sink_ledger::SinkId;
use super::sink_ledger::SinkRows;
use crate::stripes::Stripes;

/// Where records are booked. Units: log records, spans, metric data points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Bucket {
    /// Accepted from a client or generated.
    Received,
    /// Read from a vault that an earlier process left behind.
    Recovered,
    /// Extra copies made by fan-out, less copies withdrawn.
    Copies,
    /// In an edge, a transform or a sink.
    InFlight,
    /// A sink has it.
    Delivered,
    /// In the vault, to be replayed.
    Vaulted,
    /// Taken out by a transform that was asked to.
    Filtered,
    /// In the dead-letter store.
    DeadLettered,
    /// Deleted from a full vault that was told to drop its oldest.
    Dropped,
    /// Refused: nobody could take it.
    RejectedNoRoom,
    /// Refused by a backend for good.
    RejectedByBackend,
    /// Not delivered, and the client was told so.
    RejectedFailed,
    /// Its client had gone when it failed.
    RejectedAbandoned,
}

impl Bucket {
    /// All buckets, in the order of the equation.
    pub const ALL: [Self; 13] = [
        Self::Received,
        Self::Recovered,
        Self::Copies,
        Self::InFlight,
        Self::Delivered,
        Self::Vaulted,
        Self::Filtered,
        Self::DeadLettered,
        Self::Dropped,
        Self::RejectedNoRoom,
        Self::RejectedByBackend,
        Self::RejectedFailed,
        Self::RejectedAbandoned,
    ];

    /// The bucket's label in metrics and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Recovered => "recovered",
            Self::Copies => "copies",
            Self::InFlight => "in_flight",
            Self::Delivered => "delivered",
            Self::Vaulted => "vaulted",
            Self::Filtered => "filtered",
            Self::DeadLettered => "dead_lettered",
            Self::Dropped => "dropped",
            Self::RejectedNoRoom => "rejected_no_room",
            Self::RejectedByBackend => "rejected_by_backend",
            Self::RejectedFailed => "rejected_failed",
            Self::RejectedAbandoned => "rejected_abandoned",
        }
    }

    /// Whether the bucket stands on the left of the equation: where records come from.
    #[must_use]
    pub const fn is_origin(self) -> bool {
        matches!(self, Self::Received | Self::Recovered | Self::Copies)
    }
}

/// The signals of a bucket lie side by side: who adds a bucket up reads one line of each stripe.
#[derive(Debug, Default)]
struct Counts([[AtomicI64; Signal::ALL.len()]; Bucket::ALL.len()]);

/// Counts the records of one source by bucket and signal. It lives as long as the process.
#[derive(Debug, Default)]
pub struct Ledger {
    counts: Stripes<Counts>,
    /// Those of all sinks, which all ledgers of a process share.
    sinks: Arc<SinkRows>,
}

impl Ledger {
    /// Makes a ledger that lives as long as the process, so that a batch can refer to it without
    /// counting references on its way.
    #[must_use]
    pub fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    pub(super) fn new(sinks: Arc<SinkRows>) -> Self {
        Self { counts: Stripes::default(), sinks }
    }

    /// Books what a sink took, or what became of it there.
    pub(super) fn book_at(&self, sink: SinkId, signal: Signal, bucket: SinkBucket, records: u64) {
        if sink != SinkId::NONE {
            self.sinks.book(sink, signal, bucket, signed(records));
        }
    }

    /// Books `records` into a bucket; negative takes them out.
    pub fn book(&self, signal: Signal, bucket: Bucket, records: i64) {
        let counts = self.counts.mine();
        counts.0[bucket as usize][signal.idx()].fetch_add(records, Ordering::Relaxed);
    }

    /// Moves `records` from one bucket to another.
    pub fn shift(&self, signal: Signal, from: Bucket, to: Bucket, records: u64) {
        let records = signed(records);
        self.book(signal, from, -records);
        self.book(signal, to, records);
    }

    /// Books records whose copies were all given back: their source answers for them with `bucket`.
    pub fn conclude(&self, signal: Signal, bucket: Bucket, records: u64) {
        self.book(signal, Bucket::Copies, signed(records));
        self.book(signal, bucket, signed(records));
    }

    /// Takes records out of a bucket that are there no more, because the copies made of them are
    /// accounted for.
    pub fn withdraw(&self, signal: Signal, bucket: Bucket, records: u64) {
        self.book(signal, Bucket::Copies, -signed(records));
        self.book(signal, bucket, -signed(records));
    }

    /// Returns how many records of a signal are in a bucket now.
    #[must_use]
    pub fn count(&self, signal: Signal, bucket: Bucket) -> i64 {
        let of = |counts: &Counts| counts.0[bucket as usize][signal.idx()].load(Ordering::Relaxed);
        self.counts.iter().map(of).sum()
    }

    /// Returns a bucket over all signals.
    #[must_use]
    pub fn total(&self, bucket: Bucket) -> i64 {
        Signal::ALL.iter().map(|signal| self.count(*signal, bucket)).sum()
    }

    /// Returns origins less destinations for a signal: zero whenever nothing moves.
    #[must_use]
    pub fn imbalance(&self, signal: Signal) -> i64 {
        let part = |bucket: &Bucket| {
            let count = self.count(signal, *bucket);
            if bucket.is_origin() { count } else { -count }
        };
        Bucket::ALL.iter().map(part).sum()
    }
}

/// Record counts are bounded by message sizes, far below `i64::MAX`.
pub(super) fn signed(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}
