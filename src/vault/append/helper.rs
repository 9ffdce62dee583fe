//! The helper thread: everything that must not stand on the way of an acknowledgement.
//!
//! It keeps spares ready, seals closed segments, reads them back, verifies suspect ones, sets damaged
//! ones aside (both in `scrub.rs`) and runs retention. Writer and helper meet in the [`Depot`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::vault::append::scrub::Scrub;
use crate::vault::append::seal;
use crate::vault::append::seal::SealError;
use crate::vault::append::segment::SealJob;
use crate::vault::append::spare;
use crate::vault::append::spare::SegmentId;
use crate::vault::append::spare::SegmentState;
use crate::vault::append::spare::Spare;
use crate::vault::log::Log;
use crate::vault::options::Options;
use crate::vault::options::WhenFull;
use crate::vault::state::Gauges;
use crate::vault::state::lock;
use crate::vault::throttle::PAUSED_FOR;
use crate::vault::throttle::Throttle;

/// Retention runs this often.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// While full, space is looked for this often.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// While records wait for the disk, this long until another look whether they still do.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Longest wait for a spare while the helper is at it.
const SPARE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Work for the helper.
pub(in crate::vault) enum Job {
    /// Write the footer.
    Seal(Box<SealJob>),
    /// Verify what was durable in a segment that failed, then set it aside.
    Suspect(SegmentId),
}

#[derive(Default)]
struct DepotState {
    spares: VecDeque<Spare>,
    jobs: VecDeque<Job>,
    is_stopping: bool,
    first_error: Option<String>,
}

/// Spares and jobs, between writer and helper.
pub(in crate::vault) struct Depot {
    state: Mutex<DepotState>,
    changed: Condvar,
    throttle: OnceLock<Throttle>,
}

impl Depot {
    /// Starts with what recovery found.
    pub(in crate::vault) fn new(spares: VecDeque<Spare>) -> Self {
        let state = DepotState { spares, ..DepotState::default() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { state, changed, throttle: OnceLock::new() }
    }

    /// Names who is asked how much background work may be done; the first one stays.
    pub(in crate::vault) fn govern(&self, throttle: Throttle) {
        self.throttle.get_or_init(|| throttle);
    }

    /// How long to rest after so much background work; none means that it pauses.
    fn rest_after(&self, worked: Duration) -> Option<Duration> {
        self.throttle.get().unwrap_or(&Throttle::NONE).rest_after(worked)
    }

    /// Takes the next spare, waiting while one is being made; `None` when none can be made.
    pub(in crate::vault) fn take_spare(&self, is_full: &AtomicBool) -> Option<Spare> {
        let is_waiting =
            |state: &mut DepotState| state.spares.is_empty() && !is_full.load(Ordering::Acquire);
        let waited = self.changed.wait_timeout_while(lock(&self.state), SPARE_WAIT_MAX, is_waiting);
        let (mut state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        let spare = state.spares.pop_front();
        drop(state);
        self.changed.notify_all();
        spare
    }

    /// Puts an unused spare back to where it came from: with it the vault is not full, whatever was
    /// found while it was away.
    pub(in crate::vault) fn return_spare(&self, spare: Spare, is_full: &AtomicBool) {
        let mut state = lock(&self.state);
        state.spares.push_front(spare);
        is_full.store(false, Ordering::Release);
    }

    /// Whether a spare stands by.
    pub(in crate::vault) fn has_spare(&self) -> bool {
        !lock(&self.state).spares.is_empty()
    }

    /// Gives the helper work.
    pub(in crate::vault) fn push(&self, job: Job) {
        lock(&self.state).jobs.push_back(job);
        self.changed.notify_all();
    }

    /// Tells the helper to finish its jobs and end.
    pub(in crate::vault) fn stop(&self) {
        lock(&self.state).is_stopping = true;
        self.changed.notify_all();
    }

    /// Says whether the vault is full and wakes whoever waits for a spare.
    ///
    /// The writer may have taken a spare that was just made: no spare then does not mean no room.
    fn announce(&self, is_full: &AtomicBool, is_made: bool) {
        let state = lock(&self.state);
        is_full.store(!is_made && state.spares.is_empty(), Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    /// Returns the first failure to seal, for `close`.
    pub(in crate::vault) fn first_error(&self) -> Option<String> {
        lock(&self.state).first_error.clone()
    }
}

/// The helper thread's own state.
pub(in crate::vault) struct Helper {
    pub(in crate::vault) options: Options,
    pub(in crate::vault) log: Arc<Log>,
    pub(in crate::vault) depot: Arc<Depot>,
    pub(in crate::vault) gauges: Arc<Gauges>,
    /// Number of the next spare.
    pub(in crate::vault) next_segment: u64,
    /// Digest of the segment sealed last; the next one includes it.
    pub(in crate::vault) last_digest: [u8; 32],
    /// Sealed segments that were not read back yet.
    pub(in crate::vault) scrub: Scrub,
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
    pub(in crate::vault) fn run(mut self) {
        let mut next_tidy = Instant::now() + PRUNE_EVERY;
        let mut next_try = Instant::now();
        let mut next_read = next_try;
        loop {
            match self.next_turn(next_tidy, next_try, next_read) {
                Turn::Job(job) => self.work(job),
                Turn::MakeSpare => {
                    let made = self.find_room();
                    let is_made = made.is_ok();
                    let is_trouble = made.is_err_and(|e| e.kind() != io::ErrorKind::StorageFull);
                    self.gauges.has_disk_trouble.store(is_trouble, Ordering::Release);
                    next_try = Instant::now() + if is_made { Duration::ZERO } else { RETRY_EVERY };
                    self.depot.announce(&self.log.is_full, is_made);
                }
                Turn::Tidy => {
                    self.tidy();
                    next_tidy = Instant::now() + PRUNE_EVERY;
                }
                Turn::ReadBack => {
                    let rest = self.read_back_as_allowed().unwrap_or(PAUSED_FOR);
                    next_read = Instant::now() + rest;
                }
                Turn::Stop => return,
            }
        }
    }

    /// Reads a piece back unless background work pauses; returns how long it rests then.
    fn read_back_as_allowed(&mut self) -> Option<Duration> {
        self.depot.rest_after(Duration::ZERO)?;
        let began = Instant::now();
        self.read_back();
        self.depot.rest_after(began.elapsed())
    }

    /// Decides what is most urgent: an empty depot, then jobs, then further spares, then retention, and
    /// reading back while no record waits for the disk.
    fn next_turn(&self, next_tidy: Instant, next_try: Instant, next_read: Instant) -> Turn {
        let mut state = lock(&self.depot.state);
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
            let waited = self.depot.changed.wait_timeout(state, next - now);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Seal(job) => {
                self.seal(*job);
                self.gauges.unsealed_segments.fetch_sub(1, Ordering::AcqRel);
            }
            Job::Suspect(id) => self.verify_suspect(id),
        }
    }

    /// Makes a spare. When there is no room the waiting jobs come first: a sealed segment lets go of
    /// what it did not use, and may be deleted.
    fn find_room(&mut self) -> io::Result<()> {
        loop {
            match self.make_spare() {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    let job = lock(&self.depot.state).jobs.pop_front();
                    let Some(job) = job else { return Err(error) };
                    self.work(job);
                }
                made => return made,
            }
        }
    }

    fn seal(&mut self, job: SealJob) {
        let id = job.id;
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
                tracing::error!(%error, segment = %id, "Segment could not be sealed.");
                lock(&self.depot.state).first_error.get_or_insert_with(|| error.to_string());
                if matches!(error, SealError::Mismatch { .. }) {
                    self.gauges.suspect_segments.fetch_add(1, Ordering::Relaxed);
                }
                self.verify_suspect(id);
            }
        }
    }

    fn make_spare(&mut self) -> io::Result<()> {
        let bytes = self.options.segment_bytes;
        self.ensure_room(bytes)?;
        let id = SegmentId(self.next_segment);
        let made = spare::create_spare(&*self.log.files, &self.log.dir, id, bytes);
        if let Err(error) = &made
            && error.kind() != io::ErrorKind::StorageFull
        {
            tracing::warn!(%error, "Spare segment could not be made.");
        }
        // A number is never used twice, not even after a failure that may have left a file.
        self.next_segment += 1;
        lock(&self.depot.state).spares.push_back(made?);
        self.log.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Sees that a spare has room: by retention, and by dropping the oldest segment if that was asked
    /// for.
    fn ensure_room(&self, bytes: u64) -> io::Result<()> {
        if !self.is_short_of(bytes)? {
            return Ok(());
        }
        self.tidy();
        if !self.is_short_of(bytes)? {
            return Ok(());
        }
        // One at a time: space may come back late, when a reader lets go of the file.
        if self.options.when_full == WhenFull::DropOldest
            && self.log.drop_oldest()?
            && !self.is_short_of(bytes)?
        {
            return Ok(());
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// Whether a segment would be too much for the budget or the disk, on which one more stays free for
    /// what lives beside the segments.
    fn is_short_of(&self, bytes: u64) -> io::Result<bool> {
        let log = &self.log;
        Ok(self.options.max_bytes < log.used_bytes() + bytes
            || log.files.available_bytes(&log.dir)? < 2 * bytes)
    }

    /// Drops the oldest segments for a record that is larger than one, and comes again.
    fn make_room_asked_for(&self) -> io::Result<()> {
        let asked = self.gauges.asked_bytes.swap(0, Ordering::AcqRel);
        if asked == 0 || self.options.when_full != WhenFull::DropOldest {
            return Ok(());
        }
        while self.options.max_bytes < self.log.used_bytes() + asked {
            if !self.log.drop_oldest()? {
                break;
            }
        }
        Ok(())
    }

    /// Runs retention, makes the room that a large record asked for, and sets aside what readers found
    /// damaged.
    fn tidy(&self) {
        if let Err(error) = self.log.prune() {
            tracing::warn!(%error, "Retention could not delete a segment.");
        }
        if let Err(error) = self.make_room_asked_for() {
            tracing::warn!(%error, "No segment could be dropped for a large record.");
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
                tracing::warn!(%error, segment = %id, "Segment could not be set aside.");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::sim::SimFileSystem;

    #[test]
    fn a_spare_that_was_taken_at_once_does_not_make_the_vault_full() {
        let (depot, is_full) = (Depot::new(VecDeque::new()), AtomicBool::new(false));
        depot.announce(&is_full, true);
        assert!(!is_full.load(Ordering::Acquire));
        depot.announce(&is_full, false);
        assert!(is_full.load(Ordering::Acquire));
    }

    #[test]
    fn a_spare_that_comes_back_ends_what_was_found_without_it() {
        let (depot, is_full) = (Depot::new(VecDeque::new()), AtomicBool::new(false));
        depot.announce(&is_full, false);
        let (files, dir) = (SimFileSystem::default(), std::path::Path::new("/vault"));
        crate::vault::fs::FileSystem::create_dir(&files, dir).unwrap();
        let made = spare::create_spare(&files, dir, SegmentId(1), 4096).unwrap();
        depot.return_spare(made, &is_full);
        assert!(!is_full.load(Ordering::Acquire));
    }
}
