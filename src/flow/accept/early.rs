//! Requests that were answered before they were delivered: somebody must see that they end well.
//!
//! Nearly all of them are settled within a millisecond, so none has a task or a timer of its own. Each thread that
//! accepts has a queue; whoever settles the first request in it takes out all that have ended well. What is left
//! after [`LOOK_EVERY`], or has failed, is for a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Wake;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Acceptor;
use super::Copied;
use super::ROOM_RETRY;
use crate::event::Bucket;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::ack::AckWaiter;
use crate::metrics::PivotCause;
use crate::stripes::Stripes;

/// How often somebody looks for requests that take longer, while there are requests at all.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A request that was answered.
struct Answered {
    waiter: AckWaiter,
    request: Request,
    /// When it was placed: its patience counts from there.
    placed: Instant,
    /// What it holds until it has ended well, such as the room that was taken for it.
    _hold: Box<dyn Send>,
}

/// The requests of one source that were answered and have not ended yet.
#[derive(Default)]
pub(super) struct Early {
    queues: Stripes<Striped>,
    is_watched: AtomicBool,
}

/// The queue of one thread, and what wakes it.
struct Striped {
    queue: Arc<Queue>,
    waker: Waker,
}

#[derive(Default)]
struct Queue(Mutex<VecDeque<Answered>>);

impl Default for Striped {
    fn default() -> Self {
        let queue = Arc::<Queue>::default();
        let waker = Waker::from(Arc::clone(&queue));
        Self { queue, waker }
    }
}

impl Queue {
    /// Lets go of the first requests that have ended well. Each is dropped outside the lock: others may wait for
    /// what it held.
    fn let_go(&self) {
        let is_safe = |first: &mut Answered| first.waiter.outcome().is_some_and(Outcome::is_safe);
        loop {
            let ended = self.0.lock().pop_front_if(is_safe);
            if ended.is_none() {
                return;
            }
        }
    }
}

/// The first request that is settled wakes it, in the thread that settles.
impl Wake for Queue {
    fn wake(self: Arc<Self>) {
        self.let_go();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.let_go();
    }
}

impl Early {
    /// Takes a request over. Returns whether its caller must see to it that somebody looks after it from now on.
    fn add(&self, answered: Answered) -> bool {
        let Striped { queue, waker } = self.queues.mine();
        answered.waiter.wake_when_settled(waker);
        queue.0.lock().push_back(answered);
        // It may have been settled before it was in the queue.
        queue.let_go();
        !self.is_watched.load(Ordering::Acquire) && !self.is_watched.swap(true, Ordering::AcqRel)
    }

    /// Takes out what was placed before `cutoff`, and what has failed behind nothing else.
    fn take_slow(&self, cutoff: Instant) -> Vec<Answered> {
        let is_slow =
            |first: &mut Answered| first.placed <= cutoff || first.waiter.outcome().is_some();
        let mut slow = Vec::new();
        for Striped { queue, .. } in self.queues.iter() {
            let mut queue = queue.0.lock();
            slow.extend(std::iter::from_fn(|| queue.pop_front_if(is_slow)));
        }
        slow
    }

    /// Ends the watch if there is nothing left; returns whether it has ended.
    fn end_watch(&self) -> bool {
        let is_empty = || self.queues.iter().all(|striped| striped.queue.0.lock().is_empty());
        if !is_empty() {
            return false;
        }
        self.is_watched.store(false, Ordering::Release);
        // What came meanwhile saw that somebody watches.
        is_empty() || self.is_watched.swap(true, Ordering::AcqRel)
    }
}

impl Acceptor {
    /// Takes over a request that is answered now; it must end delivered or in the vault, however long that takes.
    pub(super) fn answer_early<H: Send + 'static>(
        &self,
        waiter: AckWaiter,
        request: Request,
        hold: H,
    ) {
        let placed = Instant::now();
        let answered = Answered { waiter, request, placed, _hold: Box::new(hold) };
        if self.early.add(answered) {
            let this = self.clone();
            self.detached.spawn(async move { this.watch_early().await });
        }
    }

    /// Gives each request that takes long a task of its own, until there is none left.
    async fn watch_early(&self) {
        while !self.early.end_watch() {
            tokio::time::sleep(LOOK_EVERY).await;
            for answered in self.early.take_slow(Instant::now() - LOOK_EVERY / 2) {
                let this = self.clone();
                self.detached.spawn(async move { this.see_through(answered).await });
            }
        }
    }

    /// Follows a request that was answered already: it must end delivered or in the vault, however
    /// long that takes.
    async fn see_through(&self, answered: Answered) {
        // What it holds it holds until the end: or requests that fail would be acknowledged without end.
        let Answered { mut waiter, request, placed, _hold } = answered;
        let mut outcome = self.patiently(&mut waiter, placed).await;
        if outcome.is_some_and(|outcome| !outcome.is_safe()) {
            self.metrics.pivot(PivotCause::Failed);
        }
        while !outcome.is_some_and(Outcome::is_safe) {
            if self.output.vault().is_some() {
                let deadline = Instant::now() + self.waits.answer_within;
                let Some(owed) = self.output.owed(&waiter) else { return waiter.claim() };
                if self.copy_to_vault(&request, owed, deadline, None).await == Copied::Kept {
                    waiter.claim();
                    return;
                }
                outcome = waiter.outcome();
            } else if self.output.is_backed() {
                // It is being opened again with other options.
                tokio::time::sleep(ROOM_RETRY).await;
                outcome = waiter.outcome();
            } else if outcome.is_none() {
                // The pipeline has the only copy, unless a reload brings a vault.
                outcome = self.patiently(&mut waiter, Instant::now()).await;
            } else {
                self.ledger.conclude(request.signal, Bucket::RejectedFailed, request.records);
                tracing::error!(
                    records = request.records,
                    "Lost records that were acknowledged on receipt."
                );
                return;
            }
        }
    }
}
