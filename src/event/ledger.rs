//! The loss ledger: every record that was accepted is in exactly one bucket.
//!
//! ```text
//!   received + recovered + copies
//!       = in_flight + delivered + vaulted + filtered + dead_lettered + dropped + rejected
//! ```
//!
//! `copies` is what fan-out adds (two sinks, one extra copy) less what was withdrawn because the
//! vault had taken it over. The counters are spread over shards, one per worker thread, so that
//! booking writes no cache line that another worker writes.

use std::array::from_fn;
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::otlp::Signal;

/// More threads than this share shards; correctness does not depend on it.
const SHARDS: usize = 32;
const SIGNALS: usize = 3;

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

#[derive(Debug)]
struct Shard([[AtomicI64; Bucket::ALL.len()]; SIGNALS]);

/// Counts records by bucket and signal. One per process; it lives as long as the process.
#[derive(Debug)]
pub struct Ledger {
    shards: [CachePadded<Shard>; SHARDS],
}

impl Default for Ledger {
    fn default() -> Self {
        let shard = |_| CachePadded::new(Shard(from_fn(|_| from_fn(|_| AtomicI64::new(0)))));
        Self { shards: from_fn(shard) }
    }
}

const fn signal_idx(signal: Signal) -> usize {
    match signal {
        Signal::Logs => 0,
        Signal::Traces => 1,
        Signal::Metrics => 2,
    }
}

/// The shard of the calling thread: threads take numbers in the order in which they first book.
fn shard_idx() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    })
    .unwrap_or(0)
}

impl Ledger {
    /// Makes a ledger that lives as long as the process, so that a batch can refer to it without
    /// counting references on its way.
    #[must_use]
    pub fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Books `records` into a bucket; negative takes them out.
    pub fn book(&self, signal: Signal, bucket: Bucket, records: i64) {
        if let Some(shard) = self.shards.get(shard_idx()) {
            shard.0[signal_idx(signal)][bucket as usize].fetch_add(records, Ordering::Relaxed);
        }
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

    /// Returns how many records of a signal are in a bucket now.
    #[must_use]
    pub fn count(&self, signal: Signal, bucket: Bucket) -> i64 {
        let of = |shard: &CachePadded<Shard>| {
            shard.0[signal_idx(signal)][bucket as usize].load(Ordering::Relaxed)
        };
        self.shards.iter().map(of).sum()
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
