//! The writer thread: gathers what is queued into a commit group, writes it, syncs it, answers.
//!
//! ```text
//!  gather --> write group --> sync --> publish to readers --> complete --> gather ...
//!                |              |
//!                +-- failure ---+--> segment is suspect: same records, same seqs, new segment
//! ```
//!
//! While one group syncs the next one gathers in the queue, so no timer is needed. Full groups are
//! written by a thread of their own, see `ahead.rs`; failures are in `failure.rs`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::vault::append::ahead::Disk;
use crate::vault::append::ahead::FLIGHTS_MAX;
use crate::vault::append::ahead::Flight;
use crate::vault::append::group::Group;
use crate::vault::append::group::GroupBuffer;
use crate::vault::append::helper::Depot;
use crate::vault::append::idle::IDLE_MAX;
use crate::vault::append::segment::ActiveSegment;
use crate::vault::append::segment::CommitStamp;
use crate::vault::append::segment::Predecessor;
use crate::vault::append::spare::SegmentId;
use crate::vault::append::writer::Completion;
use crate::vault::append::writer::QUEUE_RECORDS_MAX;
use crate::vault::append::writer::Receipt;
use crate::vault::append::writer::Shared;
use crate::vault::append::writer::Staged;
use crate::vault::error::AppendError;
use crate::vault::log::Log;
use crate::vault::options::Durability;
use crate::vault::options::Options;

/// The writer thread's own state.
pub(in crate::vault) struct Committer<C: Completion> {
    pub(in crate::vault) shared: Arc<Shared<C>>,
    pub(in crate::vault) log: Arc<Log>,
    pub(in crate::vault) depot: Arc<Depot>,
    pub(in crate::vault) durability: Durability,
    pub(in crate::vault) segment_age_max: Duration,
    pub(in crate::vault) max_bytes: u64,
    group_bytes_max: u64,
    pub(in crate::vault) buffer: GroupBuffer,
    pub(in crate::vault) active: Option<ActiveSegment>,
    pub(in crate::vault) predecessor: Predecessor,
    /// What is being gathered.
    group: Group<C>,
    /// Groups to gather in.
    pub(in crate::vault) empty_groups: Vec<Group<C>>,
    /// A record that did not fit the group before it.
    carry: Option<Staged<C>>,
    /// Started with the first group that is written ahead.
    pub(in crate::vault) disk: Option<Disk>,
    /// What is with it, oldest first.
    pub(in crate::vault) flights: VecDeque<Flight<C>>,
    /// The seq of the next group's first record.
    pub(in crate::vault) next_seq: u64,
    /// Last seq known to have been synced, at levels that do not sync each group.
    pub(in crate::vault) synced_seq: u64,
    /// Last seq that a header on disk tells to be durable.
    pub(in crate::vault) announced_seq: u64,
    pub(in crate::vault) commit_no: u32,
    pub(in crate::vault) last_commit: Instant,
    pub(in crate::vault) failures: VecDeque<Instant>,
}

/// Where a group lies.
#[derive(Debug, Clone, Copy)]
pub(in crate::vault) struct Placed {
    segment: SegmentId,
    pub(in crate::vault) first_seq: u64,
    /// What its header tells to be durable.
    durable_seq: u64,
    /// Where it ends in the segment.
    end: u64,
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
            group_bytes_max: options.group_bytes_max,
            buffer: GroupBuffer::new(last_digest, options.group_bytes_max)?,
            active: None,
            predecessor,
            group: Group::new(),
            empty_groups: (0..FLIGHTS_MAX).map(|_| Group::new()).collect(),
            carry: None,
            disk: None,
            flights: VecDeque::with_capacity(FLIGHTS_MAX),
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
        prefer();
        let guard = EndGuard { shared: Arc::clone(&self.shared) };
        while !self.has_failed() {
            self.land_finished();
            self.gather();
            let is_full = self.is_group_full();
            if !self.group.is_empty() && (is_full || self.flights.is_empty()) {
                self.send_off(is_full);
            } else if !self.flights.is_empty() {
                // Woken by the next record, and by the disk thread.
                std::thread::park_timeout(IDLE_MAX);
            } else if self.carry.is_none() && self.shared.queue.is_empty() {
                if self.shared.gauges.is_closing.load(Ordering::SeqCst) {
                    break;
                }
                self.idle();
            }
        }
        self.land_all();
        let left = std::mem::replace(&mut self.group, Group::new());
        self.fail(left);
        if let Some(staged) = self.carry.take() {
            self.answer_one(staged, AppendError::Failed);
        }
        self.retire_active();
        drop(guard);
    }

    pub(in crate::vault) fn has_failed(&self) -> bool {
        self.shared.gauges.has_failed.load(Ordering::Acquire)
    }

    /// Takes what is queued, as far as it fits one group of the active segment.
    fn gather(&mut self) {
        while self.group.records.len() < QUEUE_RECORDS_MAX {
            let Some(staged) = self.carry.take().or_else(|| self.shared.queue.pop()) else {
                return;
            };
            let wanted = self.group.bytes + staged.record.span_bytes();
            let is_too_large = self.group_bytes_max < wanted && !self.group.is_empty();
            if !is_too_large && self.fits(wanted) {
                self.group.push(staged);
            } else if !self.group.is_empty() {
                self.carry = Some(staged);
                return;
            } else if !self.flights.is_empty() {
                // The segment ends with what is on its way; afterwards it may be another one.
                self.carry = Some(staged);
                self.land_all();
            } else if self.open_segment(wanted) {
                self.group.push(staged);
            } else {
                self.answer_one(staged, AppendError::Full);
            }
        }
    }

    pub(in crate::vault) fn fits(&self, bytes: u64) -> bool {
        self.active.as_ref().is_some_and(|active| active.fits(bytes))
    }

    fn is_group_full(&self) -> bool {
        self.carry.is_some() || self.group.records.len() == QUEUE_RECORDS_MAX
    }

    /// Writes what was gathered: a full group ahead, so that the next one is put together meanwhile;
    /// otherwise here, which answers sooner.
    fn send_off(&mut self, is_full: bool) {
        let is_ahead =
            is_full && self.group.bytes <= self.group_bytes_max && self.has_disk_thread();
        while !self.flights.is_empty() && (!is_ahead || FLIGHTS_MAX <= self.flights.len()) {
            self.land_next();
        }
        let empty = self.empty_groups.pop().unwrap_or_else(Group::new);
        let mut group = std::mem::replace(&mut self.group, empty);
        group.started = Instant::now();
        if self.durability == Durability::Memory {
            self.answer_early(&mut group);
        }
        if !self.fits(group.bytes) {
            // A group that was on its way failed, and its segment with it.
            self.land_all();
            self.commit_elsewhere(group);
        } else if is_ahead {
            if let Err((group, error)) = self.send_ahead(group) {
                self.land_all();
                self.suspect(&error);
                self.commit_elsewhere(group);
            }
        } else {
            self.commit(group);
        }
        if self.flights.is_empty() {
            self.rotate_by_age();
        }
    }

    /// Level `memory` promises nothing that is not true already.
    fn answer_early(&self, group: &mut Group<C>) {
        let segment = self.active.as_ref().map(|active| active.id);
        for (done, seq) in group.waiting.drain(..).zip(self.next_seq..) {
            let receipt = segment.map(|segment| Receipt { seq, segment });
            done.complete(receipt.ok_or(AppendError::Failed));
        }
    }

    /// Writes a group until it is durable, in one segment or the next.
    pub(in crate::vault) fn commit(&mut self, group: Group<C>) {
        loop {
            match self.write(&group) {
                Ok(placed) => {
                    self.next_seq += group.len();
                    return self.publish(group, placed);
                }
                Err(error) => {
                    self.suspect(&error);
                    if self.has_failed() || !self.open_segment(group.bytes) {
                        self.fail_if_disk_is_gone();
                        return self.fail(group);
                    }
                }
            }
        }
    }

    fn write(&mut self, group: &Group<C>) -> io::Result<Placed> {
        let placed = self.assemble(group)?;
        let active = self.active.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.buffer.write(&*active.file)?;
        if self.durability == Durability::Synced {
            active.file.sync_data()?;
        }
        Ok(placed)
    }

    /// Puts a group together in the buffer.
    pub(in crate::vault) fn assemble(&mut self, group: &Group<C>) -> io::Result<Placed> {
        let stamp = self.next_stamp();
        let active = self.active.as_mut().ok_or(io::ErrorKind::NotFound)?;
        active.assemble(&mut self.buffer, &group.records, stamp)?;
        Ok(Placed {
            segment: active.id,
            first_seq: stamp.first_seq,
            durable_seq: stamp.durable_seq,
            end: active.data_end(),
        })
    }

    /// The group is durable: readers may see it, callers are answered.
    pub(in crate::vault) fn publish(&mut self, mut group: Group<C>, placed: Placed) {
        let Placed { segment, first_seq, durable_seq, end } = placed;
        let last_seq = first_seq + group.len() - 1;
        let raw = group.records.iter().map(|record| u64::from(record.raw_len)).sum();
        let stored = group.records.iter().map(|record| u64::from(record.stored_len)).sum();
        self.log.publish(segment, end, last_seq, [raw, stored]);
        self.announced_seq = durable_seq;
        self.forget_records(&mut group);
        for (done, seq) in group.waiting.drain(..).zip(first_seq..) {
            done.complete(Ok(Receipt { seq, segment }));
        }
        let latency = u64::try_from(group.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.gauges.commit_latency_ns.store(latency, Ordering::Relaxed);
        self.shared.gauges.commits.fetch_add(1, Ordering::Relaxed);
        self.last_commit = Instant::now();
        self.empty_groups.push(group);
    }

    pub(in crate::vault) fn forget_records(&self, group: &mut Group<C>) {
        let spans = group.forget_records();
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
            // Whatever comes before is synced before this group is written.
            durable_seq: match self.durability {
                Durability::Synced => self.next_seq - 1,
                Durability::Written | Durability::Memory => self.synced_seq,
            },
            commit_no: self.commit_no,
        }
    }
}

/// Makes this thread one that comes first. Linux keeps the nice value by thread. Under CPU saturation it
/// decides the commit latency.
pub(in crate::vault) fn prefer() {
    if let Err(error) = rustix::process::setpriority_process(None, -10) {
        tracing::debug!(%error, "A thread of the vault runs at normal priority.");
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
