//! The helper thread: everything that must not stand on the way of an acknowledgement.
//!
//! It keeps spares ready, seals closed segments, reads them back, verifies suspect ones, sets damaged
//! ones aside (both in `scrub.rs`) and runs retention. Writer and helper meet in the [`SparePool`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::append::place::FilePresence;
use crate::append::spare_pool::Job;
use crate::append::spare_pool::SparePool;
use crate::append::unread::Scrub;
use crate::append::waits::SpareTrouble;
use crate::log::view::Log;
use crate::options::Options;
use crate::segment::id::SegmentId;
use crate::segment::id::SegmentState;
use crate::segment::seal;
use crate::segment::seal::SealError;
use crate::segment::seal::SealJob;
use crate::state::VaultGauges;
use crate::state::lock;
use crate::throttle::PAUSED_FOR;

/// Retention runs this often.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// While records wait for the disk, this long until another look whether they still do.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The helper thread's own state.
pub(crate) struct Helper {
    pub(crate) options: Options,
    pub(crate) log: Arc<Log>,
    pub(crate) spare_pool: Arc<SparePool>,
    pub(crate) gauges: Arc<VaultGauges>,
    /// Number of the next spare.
    pub(crate) next_segment: u64,
    /// Digest of the segment sealed last; the next one includes it.
    pub(crate) last_digest: [u8; 32],
    /// Sealed segments that were not read back yet.
    pub(crate) scrub: Scrub,
    /// Segments that failed and could not be put where they belong.
    pub(crate) suspects: Vec<SegmentId>,
    /// Why no spare can be made, though there is room.
    pub(crate) trouble: Option<SpareTrouble>,
    /// Whether everything is where it was put.
    pub(crate) presence: FilePresence,
}

enum Turn {
    Job(Job),
    MakeSpare,
    Tidy,
    ReadBack,
    Stop,
}

impl Helper {
    /// Runs until stopped and out of jobs.
    pub(crate) fn run(mut self) {
        let mut next_tidy = Instant::now() + PRUNE_EVERY;
        let mut next_try = Instant::now();
        let mut next_read = next_try;
        loop {
            match self.next_turn(next_tidy, next_try, next_read) {
                Turn::Job(job) => self.work(job),
                Turn::MakeSpare => next_try = self.stock_up(),
                Turn::Tidy => {
                    self.look_around();
                    if self.see_place().is_ok() {
                        self.tidy();
                        self.settle_suspects();
                    }
                    next_tidy = Instant::now() + PRUNE_EVERY;
                }
                Turn::ReadBack => {
                    let rest = self.read_back_as_allowed().unwrap_or(PAUSED_FOR);
                    next_read = Instant::now() + rest;
                }
                Turn::Stop => return self.settle_suspects(),
            }
        }
    }

    /// Reads a piece back unless background work pauses; returns how long it rests then.
    fn read_back_as_allowed(&mut self) -> Option<Duration> {
        self.spare_pool.rest_after(Duration::ZERO)?;
        let began = Instant::now();
        self.read_back();
        self.spare_pool.rest_after(began.elapsed())
    }

    /// Decides what is most urgent: an empty spare pool, then jobs, then further spares, then retention, and
    /// reading back while no record waits for the disk.
    fn next_turn(&self, next_tidy: Instant, next_try: Instant, next_read: Instant) -> Turn {
        let mut state = lock(&self.spare_pool.state);
        loop {
            let now = Instant::now();
            let missing = self.options.spares().saturating_sub(state.spares.len());
            if state.spares.is_empty() && !state.is_stopping && next_try <= now {
                return Turn::MakeSpare;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Turn::Job(job);
            }
            if state.is_stopping {
                return Turn::Stop;
            }
            if 0 < missing && next_try <= now {
                return Turn::MakeSpare;
            }
            if next_tidy <= now {
                return Turn::Tidy;
            }
            let mut next = if 0 < missing { next_tidy.min(next_try) } else { next_tidy };
            if self.scrub.has_work() {
                let is_at_rest = self.gauges.staged_bytes.load(Ordering::Acquire) == 0;
                if is_at_rest && next_read <= now {
                    return Turn::ReadBack;
                }
                next = next.min(next_read.max(now + LOOK_AGAIN_AFTER));
            }
            let waited = self.spare_pool.changed.wait_timeout(state, next - now);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    pub(super) fn work(&mut self, job: Job) {
        match job {
            Job::Seal(job) => {
                self.seal(*job);
                self.gauges.unsealed_segments.fetch_sub(1, Ordering::AcqRel);
            }
            Job::Suspect(id) => self.settle(id),
            Job::Gone(id) => self.lose(id),
        }
    }

    fn seal(&mut self, job: SealJob) {
        let id = job.id;
        if self.see_place().is_err() {
            // Its name stands for a file of somebody else; when the place is free, it counts as gone.
            return;
        }
        let before = self.log.info(id).map_or(0, |info| info.file_bytes);
        match seal::seal(&*self.log.files, &self.log.dir, job, self.last_digest) {
            Ok(sealed) => {
                self.last_digest = sealed.digest;
                self.scrub.add(id);
                self.tell_unread();
                self.log.update(id, |info| {
                    info.state = SegmentState::Sealed;
                    info.path = sealed.path;
                    info.file_bytes = sealed.file_bytes;
                    info.segment_crc = Some(sealed.segment_crc);
                    info.digest = Some(sealed.digest);
                });
                let freed = before.saturating_sub(sealed.file_bytes);
                self.log.used_bytes.fetch_sub(freed, Ordering::AcqRel);
            }
            Err(error) => {
                tracing::error!(%error, segment = %id, "Cannot seal a segment.");
                lock(&self.spare_pool.state).first_error.get_or_insert_with(|| error.to_string());
                if matches!(error, SealError::Mismatch { .. }) {
                    self.gauges.suspect_segments.fetch_add(1, Ordering::Relaxed);
                }
                self.settle(id);
            }
        }
    }

    /// Runs retention, makes the room that a large record asked for, and sets aside what readers found
    /// damaged.
    pub(super) fn tidy(&self) {
        if let Err(error) = self.log.prune() {
            tracing::warn!(%error, "Cannot delete a segment that is no longer needed.");
        }
        // Whoever deletes reads them himself; this is for those who ask.
        let _unread = self.log.look_at_holds();
        if let Err(error) = self.make_room_asked_for() {
            tracing::warn!(%error, "Cannot drop a segment to make room for a large record.");
        }
        let damaged: Vec<SegmentId> = lock(&self.log.state)
            .segments
            .values()
            .filter(|listed| !listed.faults.is_empty())
            .filter(|listed| listed.info.state == SegmentState::Sealed)
            .map(|listed| listed.info.id)
            .collect();
        for id in damaged {
            if let Err(error) = self.set_aside(id) {
                tracing::warn!(%error, segment = %id, "Cannot move a segment to quarantine.");
            }
        }
    }
}
