//! The writer thread: gathers what is queued into a commit group, writes it, syncs it, answers.
//!
//! ```text
//!  gather --> write group --> sync --> publish to readers --> complete --> gather ...
//!                |              |
//!                +-- failure ---+--> segment is suspect: same records, same seqs, new segment
//! ```
//!
//! While one group syncs the next one gathers in the queue, so no timer is needed. Full groups are
//! written by a thread of their own, see `ahead.rs`; failures are in `failure.rs` and `outage.rs`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::append::flight::DiskThread;
use crate::append::flight::InFlightGroup;
use crate::append::flight::Placed;
use crate::append::group::CommitGroup;
use crate::append::group::FLIGHTS_MAX;
use crate::append::group::GroupBuffer;
use crate::append::intake_rate::IntakeRate;
use crate::append::outage::Outages;
use crate::append::queue::QUEUE_RECORDS_MAX;
use crate::append::queue::Shared;
use crate::append::queue::Staged;
use crate::append::record::Completion;
use crate::append::record::Receipt;
use crate::append::segment::ActiveSegment;
use crate::append::segment::CommitStamp;
use crate::append::spare_pool::SparePool;
use crate::append::waits::IDLE_MAX;
use crate::append::worker_thread::prefer;
use crate::error::AppendError;
use crate::log::view::Log;
use crate::options::Durability;
use crate::options::Options;
use crate::segment::seal::Predecessor;

/// The writer thread's own state.
pub(crate) struct Committer<C: Completion> {
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) log: Arc<Log>,
    pub(crate) spare_pool: Arc<SparePool>,
    pub(crate) durability: Durability,
    pub(crate) segment_age_max: Duration,
    pub(crate) max_bytes: u64,
    group_bytes_max: u64,
    pub(crate) buffer: GroupBuffer,
    pub(crate) active: Option<ActiveSegment>,
    pub(crate) predecessor: Predecessor,
    /// What is being gathered.
    group: CommitGroup<C>,
    /// Groups to gather in.
    pub(crate) empty_groups: Vec<CommitGroup<C>>,
    /// A record that did not fit the group before it.
    carry: Option<Staged<C>>,
    /// Started with the first group that is written ahead.
    pub(crate) disk: Option<DiskThread>,
    /// What is with it, oldest first.
    pub(crate) flights: VecDeque<InFlightGroup<C>>,
    /// The seq of the next group's first record.
    pub(crate) next_seq: u64,
    /// Last seq known to have been synced, at levels that do not sync each group.
    pub(crate) synced_seq: u64,
    /// Last seq that a header on disk tells to be durable.
    pub(crate) announced_seq: u64,
    pub(crate) commit_no: u32,
    pub(crate) last_commit: Instant,
    intake_rate: IntakeRate,
    pub(crate) failures: VecDeque<Instant>,
    pub(crate) outages: Outages,
    /// A thread that it cannot do without has ended.
    pub(crate) is_over: bool,
}

impl<C: Completion> Committer<C> {
    /// Prepares the thread's state; everything up to `next_seq - 1` is on disk.
    pub(crate) fn new(
        options: &Options,
        shared: Arc<Shared<C>>,
        log: Arc<Log>,
        spare_pool: Arc<SparePool>,
        next_seq: u64,
        predecessor: Predecessor,
        last_digest: [u8; 32],
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            log,
            spare_pool,
            durability: options.durability,
            segment_age_max: options.segment_age_max,
            max_bytes: options.max_bytes,
            group_bytes_max: options.group_bytes_max,
            buffer: GroupBuffer::new(last_digest, options.group_bytes_max)?,
            active: None,
            predecessor,
            group: CommitGroup::new(),
            empty_groups: (0..FLIGHTS_MAX).map(|_| CommitGroup::new()).collect(),
            carry: None,
            disk: None,
            flights: VecDeque::with_capacity(FLIGHTS_MAX),
            next_seq,
            synced_seq: next_seq - 1,
            announced_seq: next_seq - 1,
            commit_no: 0,
            last_commit: Instant::now(),
            intake_rate: IntakeRate::new(Instant::now()),
            failures: VecDeque::new(),
            outages: Outages::default(),
            is_over: false,
        })
    }

    /// Runs until closed and drained.
    pub(crate) fn run(mut self) {
        prefer();
        self.spare_pool.belong_to(std::thread::current());
        let guard = EndGuard { shared: Arc::clone(&self.shared) };
        while !self.is_over {
            if self.outages.is_on() {
                if !self.sit_out() {
                    break;
                }
                continue;
            }
            self.leave_gone_segment();
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
        self.fail_gathered();
        self.retire_active();
        drop(guard);
    }

    /// Answers what was gathered and not written.
    pub(crate) fn fail_gathered(&mut self) {
        let empty = self.empty_groups.pop().unwrap_or_else(CommitGroup::new);
        let left = std::mem::replace(&mut self.group, empty);
        self.fail(left);
        if let Some(staged) = self.carry.take() {
            self.answer_one(staged, self.no_place_error());
        }
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
                self.answer_one(staged, self.no_place_error());
            }
        }
    }

    pub(crate) fn fits(&self, bytes: u64) -> bool {
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
        let empty = self.empty_groups.pop().unwrap_or_else(CommitGroup::new);
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
    fn answer_early(&self, group: &mut CommitGroup<C>) {
        let segment = self.active.as_ref().map(|active| active.id);
        for (done, seq) in group.waiting.drain(..).zip(self.next_seq..) {
            let receipt = segment.map(|segment| Receipt { seq, segment });
            done.complete(receipt.ok_or(AppendError::Failed));
        }
    }

    /// Writes a group until it is durable, in one segment or the next.
    pub(crate) fn commit(&mut self, group: CommitGroup<C>) {
        loop {
            match self.write(&group) {
                Ok(placed) => {
                    self.next_seq += group.len();
                    return self.publish(group, placed);
                }
                Err(error) => {
                    self.suspect(&error);
                    if self.outages.is_on() || !self.open_segment(group.bytes) {
                        self.end_up_without_a_segment();
                        return self.fail(group);
                    }
                }
            }
        }
    }

    fn write(&mut self, group: &CommitGroup<C>) -> io::Result<Placed> {
        let placed = self.assemble(group)?;
        let active = self.active.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.buffer.write(&*active.file)?;
        if self.durability == Durability::Synced {
            active.file.sync_data()?;
        }
        Ok(placed)
    }

    /// Puts a group together in the buffer.
    pub(crate) fn assemble(&mut self, group: &CommitGroup<C>) -> io::Result<Placed> {
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
    pub(crate) fn publish(&mut self, mut group: CommitGroup<C>, placed: Placed) {
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
        let now = Instant::now();
        let latency = now.saturating_duration_since(group.started).as_nanos();
        let gauges = &self.shared.gauges;
        gauges.commit_latency_ns.store(latency.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        gauges.commits.fetch_add(1, Ordering::Relaxed);
        gauges.is_heavy.store(self.intake_rate.add(now, raw), Ordering::Relaxed);
        self.last_commit = now;
        self.empty_groups.push(group);
    }

    pub(crate) fn forget_records(&self, group: &mut CommitGroup<C>) {
        let spans = group.forget_records();
        // The room is told before the staged bytes shrink: never promise the same bytes twice.
        self.tell_room();
        self.shared.gauges.staged_bytes.fetch_sub(spans, Ordering::AcqRel);
    }

    pub(crate) fn answer_one(&mut self, staged: Staged<C>, error: AppendError) {
        let span_bytes = staged.record.span_bytes();
        self.shared.gauges.staged_bytes.fetch_sub(span_bytes, Ordering::AcqRel);
        drop(staged.record);
        staged.done.complete(Err(error));
    }

    /// Tells appenders what the active segment still takes.
    pub(crate) fn tell_room(&self) {
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
