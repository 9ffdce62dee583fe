//! The spare pool: spares and jobs, where the writer thread and the helper meet.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::Thread;
use std::time::Duration;

use crate::segment::id::SegmentId;
use crate::segment::seal::SealJob;
use crate::segment::spare::Spare;
use crate::state::lock;
use crate::throttle::Throttle;

/// Longest wait for a spare while the helper is at it.
const SPARE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Work for the helper.
pub(crate) enum Job {
    /// Write the footer.
    Seal(Box<SealJob>),
    /// Verify what was durable in a segment that failed, then set it aside.
    Suspect(SegmentId),
    /// Count what is lost with a segment whose file was taken away.
    Gone(SegmentId),
}

#[derive(Default)]
pub(super) struct SparePoolState {
    pub(super) spares: VecDeque<Spare>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) is_stopping: bool,
    pub(super) first_error: Option<String>,
}

/// Spares and jobs, between writer and helper.
pub(crate) struct SparePool {
    pub(super) state: Mutex<SparePoolState>,
    pub(super) changed: Condvar,
    throttle: OnceLock<Throttle>,
    /// The writer thread.
    owner: OnceLock<Thread>,
}

impl SparePool {
    /// Starts with what recovery found.
    pub(crate) fn new(spares: VecDeque<Spare>) -> Self {
        let state = SparePoolState { spares, ..SparePoolState::default() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { state, changed, throttle: OnceLock::new(), owner: OnceLock::new() }
    }

    /// Names who is asked how much background work may be done; the first one stays.
    pub(crate) fn govern(&self, throttle: Throttle) {
        self.throttle.get_or_init(|| throttle);
    }

    /// Names the writer thread.
    pub(crate) fn belong_to(&self, owner: Thread) {
        self.owner.get_or_init(|| owner);
    }

    /// Wakes the writer thread, if it runs.
    pub(super) fn wake_owner(&self) {
        if let Some(owner) = self.owner.get() {
            owner.unpark();
        }
    }

    /// Takes away the spares that are not as they should be.
    pub(super) fn remove_spares(&self, is_gone: impl Fn(&Spare) -> bool) -> Vec<Spare> {
        let mut state = lock(&self.state);
        let (gone, there) = state.spares.drain(..).partition::<Vec<_>, _>(is_gone);
        state.spares.extend(there);
        gone
    }

    /// How long to rest after so much background work; none means that it pauses.
    pub(super) fn rest_after(&self, worked: Duration) -> Option<Duration> {
        self.throttle.get().unwrap_or(&Throttle::NONE).rest_after(worked)
    }

    /// Takes the next spare, waiting while one is being made; `None` when none can be made.
    pub(crate) fn take_spare(&self, is_full: &AtomicBool) -> Option<Spare> {
        let is_waiting = |state: &mut SparePoolState| {
            state.spares.is_empty() && !is_full.load(Ordering::Acquire)
        };
        let waited = self.changed.wait_timeout_while(lock(&self.state), SPARE_WAIT_MAX, is_waiting);
        let (mut state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        let spare = state.spares.pop_front();
        drop(state);
        self.changed.notify_all();
        spare
    }

    /// Puts an unused spare back to where it came from: with it the vault is not full, whatever was
    /// found while it was away.
    pub(crate) fn return_spare(&self, spare: Spare, is_full: &AtomicBool) {
        let mut state = lock(&self.state);
        state.spares.push_front(spare);
        is_full.store(false, Ordering::Release);
    }

    /// Whether a spare stands by.
    pub(crate) fn has_spare(&self) -> bool {
        !lock(&self.state).spares.is_empty()
    }

    /// Gives the helper work.
    pub(crate) fn push(&self, job: Job) {
        lock(&self.state).jobs.push_back(job);
        self.changed.notify_all();
    }

    /// Tells the helper to finish its jobs and end.
    pub(crate) fn stop(&self) {
        lock(&self.state).is_stopping = true;
        self.changed.notify_all();
    }

    /// Says whether the vault is full and wakes whoever waits for a spare.
    ///
    /// The writer may have taken a spare that was just made: no spare then does not mean no room.
    pub(super) fn announce(&self, is_full: &AtomicBool, is_made: bool) {
        let state = lock(&self.state);
        is_full.store(!is_made && state.spares.is_empty(), Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    /// Takes the next job.
    pub(super) fn next_job(&self) -> Option<Job> {
        lock(&self.state).jobs.pop_front()
    }

    /// Puts a new spare to the others.
    pub(super) fn add_spare(&self, spare: Spare) {
        lock(&self.state).spares.push_back(spare);
    }

    /// Returns the first failure to seal, for `close`.
    pub(crate) fn first_error(&self) -> Option<String> {
        lock(&self.state).first_error.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::spare::create_spare;
    use crate::system::SystemFileSystem;

    #[test]
    fn a_spare_that_was_taken_at_once_does_not_make_the_vault_full() {
        let (spare_pool, is_full) = (SparePool::new(VecDeque::new()), AtomicBool::new(false));
        spare_pool.announce(&is_full, true);
        assert!(!is_full.load(Ordering::Acquire));
        spare_pool.announce(&is_full, false);
        assert!(is_full.load(Ordering::Acquire));
    }

    #[test]
    fn a_spare_that_comes_back_ends_what_was_found_without_it() {
        let (spare_pool, is_full) = (SparePool::new(VecDeque::new()), AtomicBool::new(false));
        spare_pool.announce(&is_full, false);
        let dir = tempfile::tempdir().unwrap();
        let made = create_spare(&SystemFileSystem, dir.path(), SegmentId(1), 4096).unwrap();
        spare_pool.return_spare(made, &is_full);
        assert!(!is_full.load(Ordering::Acquire));
    }
}
