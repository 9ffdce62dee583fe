//! One replay, how far it is, and those of a vault: one at a time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::found::FoundSum;
use super::range::ReplayRange;
use crate::component::id::ComponentId;
use crate::component::running::Stop;

/// What was found and sent so far.
#[derive(Debug, Default)]
pub struct JobCounts {
    /// Bytes of segments that were read.
    pub read_bytes: AtomicU64,
    /// Bytes of segments to read.
    pub total_bytes: AtomicU64,
    /// Requests that are meant.
    pub requests: AtomicU64,
    /// Their records.
    pub records: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// When the oldest of them was received, in nanoseconds since 1970; 0 while there is none.
    pub oldest_unix_ns: AtomicU64,
    /// When the newest was.
    pub newest_unix_ns: AtomicU64,
    /// Deliveries to sinks.
    pub delivered: AtomicU64,
    /// Requests that a backend refused for good, or that are no OTLP.
    pub rejected: AtomicU64,
}

impl JobCounts {
    /// Counts a request that is meant; one task does that.
    pub(super) fn find(&self, records: u64, bytes: usize, received_unix_ns: u64) {
        self.add(&FoundSum {
            requests: 1,
            records,
            bytes: bytes as u64,
            oldest_unix_ns: received_unix_ns,
            newest_unix_ns: received_unix_ns,
        });
    }

    /// Counts several requests that are meant; one task does that.
    pub(super) fn add(&self, sum: &FoundSum) {
        if sum.requests == 0 {
            return;
        }
        let is_first = self.requests.fetch_add(sum.requests, Ordering::Relaxed) == 0;
        self.records.fetch_add(sum.records, Ordering::Relaxed);
        self.bytes.fetch_add(sum.bytes, Ordering::Relaxed);
        self.newest_unix_ns.fetch_max(sum.newest_unix_ns, Ordering::Relaxed);
        if is_first {
            self.oldest_unix_ns.store(sum.oldest_unix_ns, Ordering::Relaxed);
        } else {
            self.oldest_unix_ns.fetch_min(sum.oldest_unix_ns, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self, done_bytes: u64, total_bytes: u64) {
        self.read_bytes.store(done_bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
    }
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Everything was sent.
    Done,
    /// An operator, or the end of the source, stopped it.
    Stopped,
    /// It could not go on.
    Failed(String),
}

impl fmt::Display for JobEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => formatter.write_str("done"),
            Self::Stopped => formatter.write_str("stopped"),
            Self::Failed(reason) => write!(formatter, "failed: {reason}"),
        }
    }
}

/// A replay that an operator asked for.
#[derive(Debug)]
pub struct ReplayJob {
    /// Its number in this process.
    pub id: u64,
    /// What is sent to whom.
    pub range: ReplayRange,
    /// Why, in the operator's words.
    pub reason: String,
    /// The source that carries it out.
    pub replay: ComponentId,
    /// How far it is.
    pub counts: Arc<JobCounts>,
    /// Stops it.
    pub stop: Stop,
    began: Instant,
    end: Mutex<Option<(JobEnd, Instant)>>,
}

impl ReplayJob {
    /// How it ended; nothing while it runs.
    #[must_use]
    pub fn end(&self) -> Option<JobEnd> {
        self.end.lock().as_ref().map(|(end, _)| end.clone())
    }

    /// How long it took, or takes so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let ended = self.end.lock().as_ref().map(|(_, at)| *at);
        ended.unwrap_or_else(Instant::now).saturating_duration_since(self.began)
    }

    /// Says how it ended; the first word counts.
    pub fn finish(&self, end: JobEnd) {
        self.end.lock().get_or_insert((end, Instant::now()));
    }
}

/// Why a replay was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayStartError {
    /// One runs already.
    #[error(
        "replay {id} of this vault runs; wait for it, or stop it with `gs-ctl replay stop {id}`"
    )]
    Busy {
        /// Its number.
        id: u64,
    },
}

/// The replays of one open vault.
#[derive(Debug, Default)]
pub struct ReplayJobs {
    state: Mutex<State>,
    changed: Notify,
    /// Gives numbers to the replays of all vaults.
    ids: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that runs, or the last one.
    last: Option<Arc<ReplayJob>>,
    /// Its source has not begun yet.
    is_waiting: bool,
    /// The sources that carry replays out.
    served_by: Vec<ComponentId>,
}

impl ReplayJobs {
    /// None yet; `ids` numbers those of all vaults.
    pub(in crate::component) fn new(ids: Arc<AtomicU64>) -> Self {
        Self { ids, ..Self::default() }
    }

    /// The sources that carry replays of the vault out.
    #[must_use]
    pub fn served_by(&self) -> Vec<ComponentId> {
        self.state.lock().served_by.clone()
    }

    /// The one that runs, or the last one.
    #[must_use]
    pub fn last(&self) -> Option<Arc<ReplayJob>> {
        self.state.lock().last.clone()
    }

    /// Hands a replay to its source.
    ///
    /// # Errors
    ///
    /// When one runs.
    pub fn start(
        &self,
        replay: ComponentId,
        range: ReplayRange,
        reason: String,
    ) -> Result<Arc<ReplayJob>, ReplayStartError> {
        let mut state = self.state.lock();
        if let Some(last) = state.last.as_ref().filter(|last| last.end().is_none()) {
            return Err(ReplayStartError::Busy { id: last.id });
        }
        let job = Arc::new(ReplayJob {
            id: self.ids.fetch_add(1, Ordering::Relaxed) + 1,
            range,
            reason,
            replay,
            counts: Arc::default(),
            stop: Stop::new(),
            began: Instant::now(),
            end: Mutex::default(),
        });
        state.last = Some(Arc::clone(&job));
        state.is_waiting = true;
        drop(state);
        self.changed.notify_waiters();
        Ok(job)
    }

    /// Makes a source known that carries replays out, until what is returned is dropped.
    #[must_use]
    pub fn serve(self: &Arc<Self>, replay: &ComponentId) -> ReplayRegistration {
        self.state.lock().served_by.push(replay.clone());
        ReplayRegistration { jobs: Arc::clone(self), replay: replay.clone() }
    }
}

/// A source that carries replays out.
#[derive(Debug)]
pub struct ReplayRegistration {
    jobs: Arc<ReplayJobs>,
    replay: ComponentId,
}

impl ReplayRegistration {
    /// Waits for the next replay. May be dropped at any time.
    pub async fn next(&self) -> Arc<ReplayJob> {
        loop {
            let changed = self.jobs.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(job) = self.take() {
                return job;
            }
            changed.await;
        }
    }

    fn take(&self) -> Option<Arc<ReplayJob>> {
        let mut state = self.jobs.state.lock();
        let is_mine = |job: &&Arc<ReplayJob>| job.replay == self.replay && job.end().is_none();
        let job = state.last.as_ref().filter(is_mine).cloned().filter(|_| state.is_waiting)?;
        state.is_waiting = false;
        Some(job)
    }
}

impl Drop for ReplayRegistration {
    fn drop(&mut self) {
        let mut state = self.jobs.state.lock();
        let place = state.served_by.iter().position(|replay| *replay == self.replay);
        if let Some(place) = place {
            state.served_by.remove(place);
        }
        // Nobody carries it out any more.
        if let Some(job) = state.last.as_ref().filter(|job| job.replay == self.replay) {
            job.finish(JobEnd::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> (Arc<ReplayJobs>, ComponentId) {
        (Arc::default(), "replay".parse().unwrap())
    }

    #[tokio::test]
    async fn one_replay_runs_at_a_time_and_the_next_one_after_its_end() {
        let (jobs, replay) = jobs();
        let served = jobs.serve(&replay);
        let start =
            |reason: &str| jobs.start(replay.clone(), ReplayRange::default(), reason.to_owned());
        let first = start("one").unwrap();
        assert_eq!(served.next().await.id, first.id);
        assert_eq!(start("two").unwrap_err(), ReplayStartError::Busy { id: first.id });
        first.finish(JobEnd::Done);
        first.finish(JobEnd::Stopped);
        assert_eq!(first.end(), Some(JobEnd::Done), "the first word counts");
        let second = start("two").unwrap();
        assert!(first.id < second.id);
        assert_eq!(jobs.served_by(), std::slice::from_ref(&replay));
        drop(served);
        assert_eq!(second.end(), Some(JobEnd::Stopped), "its source is gone");
        assert!(jobs.served_by().is_empty());
    }
}
