//! What recovery tells its caller.

use std::time::Duration;

use crate::segment::fault::DamagedRange;
use crate::segment::id::SegmentId;

/// What recovery found and did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Segments with records, or that once had some.
    pub segments: u64,
    /// Segments that had no footer and were read record by record.
    pub scanned_segments: u64,
    /// Segments whose end was never acknowledged.
    pub torn_tails: u64,
    /// Records found with a valid header.
    pub records: u64,
    /// Segments in quarantine, new and old.
    pub quarantined: Vec<SegmentId>,
    /// Damaged ranges of scanned segments, torn tails included.
    pub faults: Vec<DamagedRange>,
    /// Acknowledged records that are gone: first and last seq of each range.
    pub acknowledged_lost: Vec<(u64, u64)>,
    /// Cursors whose file was damaged; they start at the oldest record again.
    pub damaged_cursors: Vec<String>,
    /// Cursors that were known and had no file any more; they start where they were known to be.
    pub missing_cursors: Vec<String>,
    /// Seq of the next record.
    pub next_seq: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl RecoveryReport {
    /// Number of acknowledged records that are gone.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        self.acknowledged_lost.iter().map(|(first, last)| last - first + 1).sum()
    }
}
