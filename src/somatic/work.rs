//! What parts of the process have to do, and how much of it is done: what the watchdog looks at.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::reading::Place;
use crate::stripes::Stripes;

/// How much a part of the process has to do at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What waits or is under way now.
    pub waiting: u64,
    /// What came to its end, in any unit: only that it changes counts.
    pub done: u64,
    /// What was sent away undone, to come again: only that it changes counts.
    pub refused: u64,
}

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// It takes data in: while it stands still, nobody should send here.
    Intake,
    /// It hands on or keeps what was taken in.
    Inside,
}

/// The work of one part, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkSample {
    /// The component.
    pub place: Place,
    /// What waits for what, as in "batches wait for an answer of the backend".
    pub waits: &'static str,
    /// Whose work it is.
    pub part: WorkKind,
    /// How much.
    pub work: Work,
}

type Probe = dyn Fn() -> Work + Send + Sync;

struct Entry {
    place: Place,
    waits: &'static str,
    part: WorkKind,
    probe: Weak<Probe>,
}

/// A part that is watched; it is forgotten when this is dropped.
#[must_use]
pub struct WorkProbe {
    _probe: Arc<Probe>,
}

impl fmt::Debug for WorkProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnDuty")
    }
}

/// The parts that have something to do. Shared.
#[derive(Default)]
pub struct WorkProbes(Mutex<Vec<Entry>>);

impl WorkProbes {
    /// Makes the work of a part known; `probe` is asked some times a second, and must not wait.
    pub fn register(
        &self,
        place: &str,
        waits: &'static str,
        part: WorkKind,
        probe: impl Fn() -> Work + Send + Sync + 'static,
    ) -> WorkProbe {
        let probe: Arc<Probe> = Arc::new(probe);
        let entry = Entry { place: place.into(), waits, part, probe: Arc::downgrade(&probe) };
        self.0.lock().push(entry);
        WorkProbe { _probe: probe }
    }

    /// As [`WorkProbes::register`], for work that is counted where it is done.
    pub fn count(&self, place: &str, waits: &'static str, part: WorkKind) -> WatchedWorkCounter {
        let tally = Arc::<WorkCounter>::default();
        let watched = Arc::clone(&tally);
        let work_probe = self.register(place, waits, part, move || watched.work());
        WatchedWorkCounter { tally, _work_probe: work_probe }
    }

    /// Adds what every part has to do now.
    pub fn read(&self, work_probes: &mut Vec<WorkSample>) {
        self.0.lock().retain(|entry| {
            let Some(probe) = entry.probe.upgrade() else { return false };
            let Entry { place, waits, part, .. } = entry;
            let (place, work) = (Arc::clone(place), probe());
            work_probes.push(WorkSample { place, waits, part: *part, work });
            true
        });
    }
}

#[derive(Debug, Default)]
struct Shard {
    waiting: AtomicI64,
    done: AtomicU64,
    refused: AtomicU64,
}

/// Counts work where it is done, in stripes: counting writes no line that another worker writes.
#[derive(Debug, Default)]
pub struct WorkCounter(Stripes<Shard>);

impl WorkCounter {
    /// Counts one piece of work until what is returned is dropped.
    #[must_use]
    pub fn begin(&self) -> Task<'_> {
        self.0.mine().waiting.fetch_add(1, Ordering::Relaxed);
        Task(self)
    }

    /// Counts one that came to its end.
    pub fn done(&self) {
        self.0.mine().done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that was sent away.
    pub fn refuse(&self) {
        self.0.mine().refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is now.
    #[must_use]
    pub fn work(&self) -> Work {
        let sum = |of: fn(&Shard) -> u64| self.0.iter().map(of).fold(0, u64::wrapping_add);
        let waiting: i64 = self.0.iter().map(|shard| shard.waiting.load(Ordering::Relaxed)).sum();
        Work {
            waiting: u64::try_from(waiting).unwrap_or(0),
            done: sum(|shard| shard.done.load(Ordering::Relaxed)),
            refused: sum(|shard| shard.refused.load(Ordering::Relaxed)),
        }
    }
}

/// A tally that is watched; it is forgotten when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct WatchedWorkCounter {
    tally: Arc<WorkCounter>,
    _work_probe: WorkProbe,
}

impl Deref for WatchedWorkCounter {
    type Target = WorkCounter;

    fn deref(&self) -> &WorkCounter {
        &self.tally
    }
}

/// A piece of work under way.
#[derive(Debug)]
pub struct Task<'a>(&'a WorkCounter);

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.0.0.mine().waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_on_another_thread_is_counted_once() {
        let tally = WorkCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                let task = tally.begin();
                scope.spawn(|| {
                    drop(task);
                    tally.done();
                });
            }
        });
        let kept = tally.begin();
        tally.refuse();
        assert_eq!(tally.work(), Work { waiting: 1, done: 20, refused: 1 });
        drop(kept);
        assert_eq!(tally.work().waiting, 0);
    }

    #[test]
    fn a_part_that_is_gone_has_no_duty() {
        let work_probes = WorkProbes::default();
        let work = Work { waiting: 3, ..Work::default() };
        let guard = work_probes.register("sink", "batches wait", WorkKind::Inside, move || work);
        let mut read = Vec::new();
        work_probes.read(&mut read);
        assert_eq!((read.len(), read[0].work), (1, work));
        drop(guard);
        read.clear();
        work_probes.read(&mut read);
        assert!(read.is_empty());
    }
}
