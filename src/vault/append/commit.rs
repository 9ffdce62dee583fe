//! The writer thread: gathers what is queued into a commit group, writes it, syncs it, answers.
//!
//! ```text
//!  collect --> write group --> sync --> publish to readers --> complete --> collect ...
//!                 |              |
//!                 +-- failure ---+--> segment is suspect: same records, same seqs, new segment
//! ```
//!
//! While one group syncs the next one gathers in the queue, so no timer is needed. A failed sync is
//! never retried on the same file: the kernel may answer `Ok` without having written anything.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::vault::append::group::GROUP_BYTES_MAX;
use crate::vault::append::group::GroupBuffer;
use crate::vault::append::helper::Depot;
use crate::vault::append::helper::Job;
use crate::vault::append::segment::ActiveSegment;
use crate::vault::append::segment::CommitStamp;
use crate::vault::append::segment::Predecessor;
use crate::vault::append::spare::SegmentState;
use crate::vault::append::staging::StagedRecord;
use crate::vault::append::writer::Completion;
use crate::vault::append::writer::QUEUE_RECORDS_MAX;
use crate::vault::append::writer::Receipt;
use crate::vault::append::writer::Shared;
use crate::vault::append::writer::Staged;
use crate::vault::error::AppendError;
use crate::vault::format;
use crate::vault::log::Log;
use crate::vault::options::Durability;
use crate::vault::options::Options;

/// A watermark is written after this much idle time.
const WATERMARK_AFTER: Duration = Duration::from_millis(100);
/// Longest sleep; bounds how late a segment is rotated by age.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// This many failures ...
const FAILURES_MAX: usize = 3;
/// ... within this time end the writer.
const FAILURES_WITHIN: Duration = Duration::from_mins(1);

/// The writer thread's own state.
pub(in crate::vault) struct Committer<C: Completion> {
    pub(in crate::vault) shared: Arc<Shared<C>>,
    pub(in crate::vault) log: Arc<Log>,
    pub(in crate::vault) depot: Arc<Depot>,
    durability: Durability,
    pub(in crate::vault) segment_age_max: Duration,
    pub(in crate::vault) max_bytes: u64,
    pub(in crate::vault) buffer: GroupBuffer,
    pub(in crate::vault) active: Option<ActiveSegment>,
    pub(in crate::vault) predecessor: Predecessor,
    records: Vec<StagedRecord>,
    waiting: Vec<C>,
    group_bytes: u64,
    /// A record that did not fit the group before it.
    carry: Option<Staged<C>>,
    pub(in crate::vault) next_seq: u64,
    /// Last seq known to have been synced; goes into record headers.
    synced_seq: u64,
    /// `synced_seq` as the last header on disk tells it.
    announced_seq: u64,
    commit_no: u32,
    last_commit: Instant,
    failures: VecDeque<Instant>,
}

impl<C: Completion> Committer<C> {
    /// Prepares the thread's state; everything up to `next_seq - 1` is on disk.
    pub(in crate::vault) fn new(
        options: &Options,
        shared: Arc<Shared<C>>,
        log: Arc<Log>,
        depot: Arc<Depot>,
        next_seq: u64,
        predecessor: Predecessor,
        last_digest: [u8; 32],
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            log,
            depot,
            durability: options.durability,
            segment_age_max: options.segment_age_max,
            max_bytes: options.max_bytes,
            buffer: GroupBuffer::new(last_digest)?,
            active: None,
            predecessor,
            records: Vec::with_capacity(QUEUE_RECORDS_MAX),
            waiting: Vec::with_capacity(QUEUE_RECORDS_MAX),
            group_bytes: 0,
            carry: None,
            next_seq,
            synced_seq: next_seq - 1,
            announced_seq: next_seq - 1,
            commit_no: 0,
            last_commit: Instant::now(),
            failures: VecDeque::new(),
        })
    }

    /// Runs until closed and drained, or failed.
    pub(in crate::vault) fn run(mut self) {
        // Linux keeps the nice value by thread. Under CPU saturation it decides the commit latency.
        if let Err(error) = rustix::process::setpriority_process(None, -10) {
            tracing::debug!(%error, "Writer thread runs at normal priority.");
        }
        let guard = EndGuard { shared: Arc::clone(&self.shared) };
        while !self.has_failed() {
            self.collect();
            if !self.records.is_empty() {
                self.commit();
                self.rotate_by_age();
            } else if self.carry.is_none() && self.shared.queue.is_empty() {
                if self.shared.gauges.is_closing.load(Ordering::SeqCst) {
                    break;
                }
                self.idle();
            }
        }
        if let Some(staged) = self.carry.take() {
            self.answer_one(staged, AppendError::Failed);
        }
        self.retire_active();
        drop(guard);
    }

    fn has_failed(&self) -> bool {
        self.shared.gauges.has_failed.load(Ordering::Acquire)
    }

    /// Takes what is queued, as far as it fits one group of the active segment.
    fn collect(&mut self) {
        while self.records.len() < QUEUE_RECORDS_MAX {
            let Some(staged) = self.carry.take().or_else(|| self.shared.queue.pop()) else {
                return;
            };
            let span_bytes = staged.record.span_bytes();
            let wanted = self.group_bytes + span_bytes;
            if (GROUP_BYTES_MAX as u64) < wanted && !self.records.is_empty() {
                self.carry = Some(staged);
                return;
            }
            if !self.active.as_ref().is_some_and(|active| active.fits(wanted)) {
                if !self.records.is_empty() {
                    self.carry = Some(staged);
                    return;
                }
                if !self.open_segment(span_bytes) {
                    self.answer_one(staged, AppendError::Full);
                    continue;
                }
            }
            self.group_bytes = wanted;
            self.records.push(staged.record);
            self.waiting.push(staged.done);
        }
    }

    /// Writes the gathered group until it is durable, in one segment or the next.
    fn commit(&mut self) {
        let started = Instant::now();
        if self.durability == Durability::Memory {
            let segment = self.active.as_ref().map(|active| active.id);
            let first_seq = self.next_seq;
            for (done, seq) in self.waiting.drain(..).zip(first_seq..) {
                let receipt = segment.map(|segment| Receipt { seq, segment });
                done.complete(receipt.ok_or(AppendError::Failed));
            }
        }
        loop {
            match self.write_group() {
                Ok(()) => break,
                Err(error) => {
                    self.suspect(&error);
                    if self.has_failed() || !self.open_segment(self.group_bytes) {
                        self.fail_if_disk_is_gone();
                        self.fail_group();
                        return;
                    }
                }
            }
        }
        self.publish();
        let latency = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.gauges.commit_latency_ns.store(latency, Ordering::Relaxed);
        self.shared.gauges.commits.fetch_add(1, Ordering::Relaxed);
        self.last_commit = Instant::now();
    }

    /// A write failed and no new segment can be made, though there is space: nothing is left to try.
    fn fail_if_disk_is_gone(&self) {
        let gauges = &self.shared.gauges;
        if gauges.has_disk_trouble.load(Ordering::Acquire) {
            tracing::error!("Vault has failed: no segment can be made after a failed write.");
            gauges.has_failed.store(true, Ordering::Release);
        }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let stamp = self.next_stamp();
        let active = self.active.as_mut().ok_or(io::ErrorKind::NotFound)?;
        active.append(&mut self.buffer, &self.records, stamp)?;
        if self.durability == Durability::Synced {
            active.file.sync_data()?;
        }
        self.announced_seq = stamp.durable_seq;
        Ok(())
    }

    /// The group is durable: readers may see it, callers are answered.
    fn publish(&mut self) {
        let Some(active) = self.active.as_ref() else { return };
        let first_seq = self.next_seq;
        let last_seq = first_seq + self.records.len() as u64 - 1;
        let raw = self.records.iter().map(|record| u64::from(record.raw_len)).sum();
        let stored = self.records.iter().map(|record| u64::from(record.stored_len)).sum();
        self.log.publish(active.id, active.data_end(), last_seq, [raw, stored]);
        if self.durability == Durability::Synced {
            self.synced_seq = last_seq;
        }
        self.next_seq = last_seq + 1;
        let segment = active.id;
        self.forget_group();
        for (done, seq) in self.waiting.drain(..).zip(first_seq..) {
            done.complete(Ok(Receipt { seq, segment }));
        }
    }

    /// The group could be written nowhere.
    fn fail_group(&mut self) {
        let error = if self.has_failed() { AppendError::Failed } else { AppendError::Full };
        if self.durability == Durability::Memory {
            // These seqs were given away already; the gap they leave is the truth.
            self.next_seq += self.records.len() as u64;
        }
        self.forget_group();
        for done in self.waiting.drain(..) {
            done.complete(Err(error));
        }
    }

    fn forget_group(&mut self) {
        let spans: u64 = self.records.drain(..).map(|record| record.span_bytes()).sum();
        self.group_bytes = 0;
        // The room is told before the staged bytes shrink: never promise the same bytes twice.
        self.tell_room();
        self.shared.gauges.staged_bytes.fetch_sub(spans, Ordering::AcqRel);
    }

    fn answer_one(&mut self, staged: Staged<C>, error: AppendError) {
        let span_bytes = staged.record.span_bytes();
        self.shared.gauges.staged_bytes.fetch_sub(span_bytes, Ordering::AcqRel);
        drop(staged.record);
        staged.done.complete(Err(error));
    }

    /// Tells appenders what the active segment still takes.
    pub(in crate::vault) fn tell_room(&self) {
        let room = self.active.as_ref().map_or(0, ActiveSegment::room_bytes);
        self.shared.gauges.room_bytes.store(room, Ordering::Release);
    }

    fn next_stamp(&mut self) -> CommitStamp {
        self.commit_no = self.commit_no.wrapping_add(1);
        CommitStamp {
            first_seq: self.next_seq,
            durable_seq: self.synced_seq,
            commit_no: self.commit_no,
        }
    }

    /// A write or sync failed: nothing is ever written to that file again.
    fn suspect(&mut self, error: &io::Error) {
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

    /// Nothing to do: tell recovery what is durable, rotate by age, sleep.
    fn idle(&mut self) {
        let is_due = self.announced_seq + 1 < self.next_seq;
        if is_due && WATERMARK_AFTER <= self.last_commit.elapsed() {
            if let Err(error) = self.write_watermark() {
                self.suspect(&error);
            }
            self.tell_room();
        }
        self.rotate_by_age();
        std::thread::park_timeout(if is_due { WATERMARK_AFTER } else { IDLE_MAX });
    }

    fn write_watermark(&mut self) -> io::Result<()> {
        let last_seq = self.next_seq - 1;
        self.announced_seq = last_seq;
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        if self.durability != Durability::Synced {
            active.file.sync_data()?;
        }
        self.synced_seq = last_seq;
        if !active.fits(format::BLOCK_BYTES) {
            return Ok(());
        }
        self.commit_no = self.commit_no.wrapping_add(1);
        let stamp = CommitStamp {
            first_seq: self.next_seq,
            durable_seq: last_seq,
            commit_no: self.commit_no,
        };
        active.append_watermark(&mut self.buffer, last_seq, stamp)?;
        active.file.sync_data()?;
        self.log.publish(active.id, active.data_end(), last_seq, [0, 0]);
        Ok(())
    }
}

/// Answers what is queued however the writer thread ends, a panic included.
struct EndGuard<C: Completion> {
    shared: Arc<Shared<C>>,
}

impl<C: Completion> Drop for EndGuard<C> {
    fn drop(&mut self) {
        let gauges = &self.shared.gauges;
        if std::thread::panicking() {
            gauges.has_failed.store(true, Ordering::SeqCst);
        }
        gauges.is_ended.store(true, Ordering::SeqCst);
        let is_failed = gauges.has_failed.load(Ordering::SeqCst);
        self.shared.drain(if is_failed { AppendError::Failed } else { AppendError::Closed });
    }
}
