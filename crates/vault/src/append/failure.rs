//! What the writer thread does when a write fails.
//!
//! A failed sync is never tried again on the same file: the kernel may answer `Ok` without having
//! written anything. The segment is suspect, its group goes to the next one. After several failures the
//! vault refuses for a while, see `outage.rs`.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::append::commit::Committer;
use crate::append::group::CommitGroup;
use crate::append::record::Completion;
use crate::append::spare_pool::Job;
use crate::error::AppendError;
use crate::options::Durability;
use crate::segment::id::SegmentState;
use crate::segment::seal::Predecessor;

/// This many failures ...
const FAILURES_MAX: usize = 3;
/// ... within this time begin an outage.
const FAILURES_WITHIN: Duration = Duration::from_mins(1);

impl<C: Completion> Committer<C> {
    /// A write or sync failed: nothing is ever written to that file again.
    pub(crate) fn suspect(&mut self, error: &io::Error) {
        let now = Instant::now();
        self.failures.push_back(now);
        self.failures.retain(|failure| now.duration_since(*failure) < FAILURES_WITHIN);
        self.shared.gauges.suspect_segments.fetch_add(1, Ordering::Relaxed);
        if let Some(active) = self.take_active() {
            let id = active.id;
            self.buffer.abandon_segment();
            tracing::warn!(
                %error, segment = %id,
                "Write or sync failed; the vault no longer writes to this segment."
            );
            self.log.update(id, |info| info.state = SegmentState::Closed);
            self.predecessor =
                Predecessor { segment: id.get(), last_seq: self.next_seq - 1, crc: 0 };
            self.spare_pool.push(Job::Suspect(id));
        }
        if FAILURES_MAX <= self.failures.len() || self.outages.is_relapse(now) {
            self.begin_outage(error, now);
        }
        self.tell_room();
    }

    /// As [`Self::commit`], after the segment that the group was meant for has failed.
    pub(crate) fn commit_elsewhere(&mut self, group: CommitGroup<C>) {
        if self.outages.is_on() || !(self.fits(group.bytes) || self.open_segment(group.bytes)) {
            self.end_up_without_a_segment();
            self.fail(group);
        } else {
            self.commit(group);
        }
    }

    /// The group could be written nowhere.
    pub(crate) fn fail(&mut self, mut group: CommitGroup<C>) {
        let error = self.no_place_error();
        if self.durability == Durability::Memory {
            // These seqs were given away already; the gap they leave is the truth.
            self.next_seq += group.len();
        }
        self.forget_records(&mut group);
        for done in group.waiting.drain(..) {
            done.complete(Err(error));
        }
        self.empty_groups.push(group);
    }

    /// What is told to whoever waits when there is no segment to write to.
    pub(crate) fn no_place_error(&self) -> AppendError {
        let gauges = &self.shared.gauges;
        let is_failing = gauges.has_failed.load(Ordering::Acquire)
            || gauges.has_disk_trouble.load(Ordering::Acquire);
        if is_failing { AppendError::Failed } else { AppendError::Full }
    }

    /// A write failed and there is no other segment: while none can be made though there is space, the
    /// disk is out.
    pub(crate) fn end_up_without_a_segment(&mut self) {
        let has_trouble = self.shared.gauges.has_disk_trouble.load(Ordering::Acquire);
        if has_trouble && !self.outages.is_on() {
            let error = io::Error::other("cannot create a segment after a failed write");
            self.begin_outage(&error, Instant::now());
        }
    }
}
