//! A vault's numbers, for whoever watches it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::append::record::Completion;
use crate::append::writer::Writer;
use crate::log::backlog::Backlog;
use crate::state::lock;

/// Numbers about a vault, read without stopping it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Bytes of all files.
    pub used_bytes: u64,
    /// The limit of `used_bytes`.
    pub max_bytes: u64,
    /// Segments with records.
    pub segments: u64,
    /// Accepted bytes not yet written.
    pub staged_bytes: u64,
    /// Duration of the last commit, from gathering to durable.
    pub commit_latency: Duration,
    /// Commit groups written since open.
    pub commits: u64,
    /// Those of them that were sent to the disk thread, beside which the next one is put together.
    pub commits_ahead: u64,
    /// Last durable seq.
    pub durable_seq: u64,
    /// Bytes of the requests that it has, before compression, and as they lie on disk.
    pub content_bytes: [u64; 2],
    /// What the slowest cursor has not acknowledged.
    pub backlog: Backlog,
    /// No space for another segment: appends beyond the open one are refused.
    pub is_full: bool,
    /// The disk fails: appends are refused until a try on a new segment succeeds.
    pub has_failed: bool,
    /// Segments whose write failed, or that read back other than written, since open.
    pub suspect_segments: u64,
    /// Sealed segments that were not read back yet.
    pub unread_segments: u64,
    /// Segments set aside.
    pub quarantined_segments: u64,
    /// Records found damaged since open.
    pub corrupt_records: u64,
    /// Records dropped on purpose although they were wanted, since the vault was made.
    pub dropped_records: u64,
    /// Acknowledged records found missing by recovery.
    pub lost_records: u64,
    /// Holds in force.
    pub holds: u64,
    /// Bytes of the segments that nobody needs but a hold keeps.
    pub held_bytes: u64,
}

impl<C: Completion> Writer<C> {
    /// Returns the bytes that were accepted and not yet written, and the commit groups written since
    /// open. Takes no lock.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let gauges = self.gauges();
        (gauges.staged_bytes.load(Ordering::Acquire), gauges.commits.load(Ordering::Relaxed))
    }

    /// Returns the vault's numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let gauges = self.gauges();
        let (segments, quarantined) = self.log.segments_len();
        let (holds, held_bytes) = self.log.held();
        Stats {
            used_bytes: self.log.used_bytes(),
            max_bytes: self.options.max_bytes,
            segments: segments as u64,
            staged_bytes: gauges.staged_bytes.load(Ordering::Acquire),
            commit_latency: self.commit_latency(),
            commits: gauges.commits.load(Ordering::Relaxed),
            commits_ahead: gauges.commits_ahead.load(Ordering::Relaxed),
            durable_seq: self.log.durable_seq(),
            content_bytes: self.log.content_bytes(),
            backlog: self.log.backlog(),
            is_full: self.is_full(),
            has_failed: self.has_failed(),
            suspect_segments: gauges.suspect_segments.load(Ordering::Relaxed),
            unread_segments: gauges.unread_segments.load(Ordering::Relaxed),
            quarantined_segments: quarantined as u64,
            corrupt_records: self.log.corrupt_records.load(Ordering::Relaxed),
            dropped_records: lock(&self.log.dropped).records(),
            lost_records: self.log.lost_records.load(Ordering::Relaxed),
            holds,
            held_bytes,
        }
    }
}
