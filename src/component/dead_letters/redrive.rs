//! Redrives: an operator orders that letters are sent again, and the replays of the vault do it, one
//! after the other. At any time at most one is under way for each store, or one dropping.

use std::sync::Arc;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::sync::watch;

use super::counted::LetterTotals;
use super::selection::LetterSelection;
use crate::component::id::ComponentId;

/// Why nothing is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedriveRefusal {
    /// Something else is under way.
    #[error("a redrive or a drop of these dead letters is under way already")]
    IsBusy,
    /// There is no way from the store to a sink.
    #[error("no vault_replay reads the vault, so its dead letters have no way to a sink")]
    HasNoReplay,
}

/// How far a redrive is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedriveProgress {
    /// Letters that were there and meant when it began, and their records.
    pub selected: LetterTotals,
    /// Every sink that missed them has them now.
    pub delivered: LetterTotals,
    /// They were refused again, and stay with the new reason.
    pub refused: LetterTotals,
    /// Their sinks did not take them in time; they stay as they were.
    pub failed: LetterTotals,
    /// Nothing more is done.
    pub is_done: bool,
    /// Why it ended before its end; empty if it did not.
    pub stopped: String,
}

impl RedriveProgress {
    /// Letters that were not sent: their sinks are not in the configuration, they are no OTLP, or the redrive
    /// did not come to them.
    #[must_use]
    pub const fn not_sent(&self) -> LetterTotals {
        let done = self.delivered.and(self.refused).and(self.failed);
        LetterTotals {
            letters: self.selected.letters.saturating_sub(done.letters),
            records: self.selected.records.saturating_sub(done.records),
        }
    }
}

/// Which letters are sent again, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedriveOrder {
    /// The letters that are meant.
    pub selection: LetterSelection,
    /// The sinks that get them, instead of those that missed them; those if there are none.
    pub to: Vec<String>,
}

struct Job {
    order: RedriveOrder,
    progress: Arc<watch::Sender<RedriveProgress>>,
    /// The replays whose turn is to come; the first one may be at it.
    replays: Vec<ComponentId>,
    is_taken: bool,
}

#[derive(Default)]
struct State {
    /// The replays that can send letters.
    replays: Vec<ComponentId>,
    job: Option<Job>,
    is_dropping: bool,
    last: Option<watch::Receiver<RedriveProgress>>,
}

/// What is under way with the letters of a store.
#[derive(Default)]
pub(super) struct Redrives {
    state: Mutex<State>,
    changed: Notify,
}

impl Redrives {
    pub(super) fn order(
        &self,
        order: RedriveOrder,
        selected: LetterTotals,
    ) -> Result<watch::Receiver<RedriveProgress>, RedriveRefusal> {
        let mut state = self.lock();
        if state.job.is_some() || state.is_dropping {
            return Err(RedriveRefusal::IsBusy);
        }
        if state.replays.is_empty() {
            return Err(RedriveRefusal::HasNoReplay);
        }
        let begun = RedriveProgress { selected, ..RedriveProgress::default() };
        let (progress, watched) = watch::channel(begun);
        let (progress, replays) = (Arc::new(progress), state.replays.clone());
        state.job = Some(Job { order, progress, replays, is_taken: false });
        state.last = Some(watched.clone());
        drop(state);
        self.changed.notify_waiters();
        Ok(watched)
    }

    pub(super) fn last(&self) -> Option<RedriveProgress> {
        self.lock().last.as_ref().map(|progress| progress.borrow().clone())
    }

    pub(super) fn begin_drop(self: &Arc<Self>) -> Result<DropTurn, RedriveRefusal> {
        let mut state = self.lock();
        if state.job.is_some() || state.is_dropping {
            return Err(RedriveRefusal::IsBusy);
        }
        state.is_dropping = true;
        Ok(DropTurn(Arc::clone(self)))
    }

    pub(super) fn attach(self: &Arc<Self>, replay: &ComponentId) -> AttachedReplay {
        self.lock().replays.push(replay.clone());
        AttachedReplay { redrives: Arc::clone(self), replay: replay.clone() }
    }

    fn take_turn(self: &Arc<Self>, replay: &ComponentId) -> Option<RedriveTurn> {
        let mut state = self.lock();
        let job = state.job.as_mut().filter(|job| !job.is_taken)?;
        if job.replays.first() != Some(replay) {
            return None;
        }
        job.is_taken = true;
        let (order, progress) = (job.order.clone(), Arc::clone(&job.progress));
        Some(RedriveTurn { redrives: Arc::clone(self), order, progress, is_finished: false })
    }

    /// A replay had its turn, or will have none.
    fn pass(&self, leaves: Option<&ComponentId>, stopped: &str) {
        let mut state = self.lock();
        let Some(job) = &mut state.job else { return };
        match leaves {
            Some(replay) => job.replays.retain(|one| one != replay),
            None if job.replays.is_empty() => {}
            None => drop(job.replays.remove(0)),
        }
        job.is_taken = false;
        let is_over = job.replays.is_empty();
        job.progress.send_modify(|progress| {
            progress.is_done = is_over;
            if !stopped.is_empty() {
                stopped.clone_into(&mut progress.stopped);
            }
        });
        if is_over {
            state.job = None;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A replay that can send letters, until it is dropped.
pub struct AttachedReplay {
    redrives: Arc<Redrives>,
    replay: ComponentId,
}

impl AttachedReplay {
    /// Waits until it is this replay's turn. May be dropped half-way.
    pub async fn turn(&self) -> RedriveTurn {
        loop {
            let changed = self.redrives.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(turn) = self.redrives.take_turn(&self.replay) {
                return turn;
            }
            changed.await;
        }
    }
}

impl Drop for AttachedReplay {
    fn drop(&mut self) {
        let mut state = self.redrives.lock();
        if let Some(idx) = state.replays.iter().position(|one| *one == self.replay) {
            state.replays.remove(idx);
        }
        let is_awaited = state.job.as_ref().is_some_and(|job| job.replays.contains(&self.replay));
        drop(state);
        if is_awaited {
            self.redrives.pass(Some(&self.replay), STOPPED);
        }
    }
}

const STOPPED: &str = "the replay of the vault was stopped";

/// The turn of one replay in a redrive; over when it is dropped.
pub struct RedriveTurn {
    redrives: Arc<Redrives>,
    /// What is sent, and to whom.
    pub order: RedriveOrder,
    /// How far it is.
    pub progress: Arc<watch::Sender<RedriveProgress>>,
    is_finished: bool,
}

impl RedriveTurn {
    /// Ends the turn: every letter was looked at, or `stopped` says why not.
    pub fn finish(mut self, stopped: &str) {
        self.is_finished = true;
        self.redrives.pass(None, stopped);
    }
}

impl Drop for RedriveTurn {
    fn drop(&mut self) {
        if !self.is_finished {
            self.redrives.pass(None, STOPPED);
        }
    }
}

/// The right to take letters out for good, until it is dropped.
pub struct DropTurn(Arc<Redrives>);

impl Drop for DropTurn {
    fn drop(&mut self) {
        self.0.lock().is_dropping = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn replays_have_their_turns_one_after_the_other_and_nothing_else_is_begun_meanwhile() {
        let redrives = Arc::new(Redrives::default());
        let order = || redrives.order(RedriveOrder::default(), LetterTotals::of(3));
        assert_eq!(order().unwrap_err(), RedriveRefusal::HasNoReplay);
        let (a, b) = (redrives.attach(&id("a")), redrives.attach(&id("b")));
        let progress = order().unwrap();
        assert_eq!(order().unwrap_err(), RedriveRefusal::IsBusy);
        assert_eq!(redrives.begin_drop().err(), Some(RedriveRefusal::IsBusy));
        let first = a.turn().await;
        assert!(redrives.take_turn(&id("a")).is_none() && redrives.take_turn(&id("b")).is_none());
        first.finish("");
        assert!(!progress.borrow().is_done);
        b.turn().await.finish("");
        assert!(progress.borrow().is_done && progress.borrow().stopped.is_empty());
        let dropping = redrives.begin_drop().unwrap();
        assert_eq!(order().unwrap_err(), RedriveRefusal::IsBusy);
        drop(dropping);
        assert!(order().is_ok());
    }

    #[tokio::test]
    async fn a_replay_that_stops_ends_its_turn_and_says_so() {
        let redrives = Arc::new(Redrives::default());
        let a = redrives.attach(&id("a"));
        let progress = redrives.order(RedriveOrder::default(), LetterTotals::of(3)).unwrap();
        drop(a.turn().await);
        assert!(progress.borrow().is_done);
        assert_eq!(
            (progress.borrow().stopped.as_str(), progress.borrow().not_sent().records),
            (STOPPED, 3)
        );
        let progress = redrives.order(RedriveOrder::default(), LetterTotals::of(3)).unwrap();
        drop(a);
        assert!(progress.borrow().is_done);
        let refused = redrives.order(RedriveOrder::default(), LetterTotals::of(3));
        assert_eq!(refused.unwrap_err(), RedriveRefusal::HasNoReplay);
    }
}
