//! What the writer thread does when a write fails.
//!
//! A failed sync is never tried again on the same file: the kernel may answer `Ok` without having
//! written anything. The segment is suspect, its group goes to the next one.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::vault::append::commit::Committer;
use crate::vault::append::group::Group;
use crate::vault::append::helper::Job;
use crate::vault::append::segment::Predecessor;
use crate::vault::append::spare::SegmentState;
use crate::vault::append::writer::Completion;
use crate::vault::error::AppendError;
use crate::vault::options::Durability;

/// This many failures ...
const FAILURES_MAX: usize = 3;
/// ... within this time end the writer.
const FAILURES_WITHIN: Duration = Duration::from_mins(1);

impl<C: Completion> Committer<C> {
    /// A write or sync failed: nothing is ever written to that file again.
    pub(in crate::vault) fn suspect(&mut self, error: &io::Error) {
        let now = Instant::now();
        self.failures.push_back(now);
        self.failures.retain(|failure| now.duration_since(*failure) < FAILURES_WITHIN);
        self.shared.gauges.suspect_segments.fetch_add(1, Ordering::Relaxed);
        if let Some(active) = self.active.take() {
            let id = active.id;
            self.buffer.abandon_segment();
            tracing::warn!(%error, segment = %id, "Segment is suspect after a failed write.");
            self.log.update(id, |info| info.state = SegmentState::Closed);
            self.predecessor =
                Predecessor { segment: id.get(), last_seq: self.next_seq - 1, crc: 0 };
            self.depot.push(Job::Suspect(id));
        }
        if FAILURES_MAX <= self.failures.len() {
            tracing::error!(%error, "Vault has failed: repeated disk failures.");
            self.shared.gauges.has_failed.store(true, Ordering::Release);
        }
        self.tell_room();
    }
    /// As [`Self::commit`], after the segment that the group was meant for has failed.
    pub(in crate::vault) fn commit_elsewhere(&mut self, group: Group<C>) {
        if self.has_failed() || !(self.fits(group.bytes) || self.open_segment(group.bytes)) {
            self.fail_if_disk_is_gone();
            self.fail(group);
        } else {
            self.commit(group);
        }
    }

    /// The group could be written nowhere.
    pub(in crate::vault) fn fail(&mut self, mut group: Group<C>) {
        let error = if self.has_failed() { AppendError::Failed } else { AppendError::Full };
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

    /// A write failed and no new segment can be made, though there is space: nothing is left to try.
    pub(in crate::vault) fn fail_if_disk_is_gone(&self) {
        let gauges = &self.shared.gauges;
        if gauges.has_disk_trouble.load(Ordering::Acquire) {
            tracing::error!("Vault has failed: no segment can be made after a failed write.");
            gauges.has_failed.store(true, Ordering::Release);
        }
    }
}
