//! How the result of a batch travels back to its source: [`AckTicket`] and [`AckWaiter`].
//!
//! ```text
//!   source --- new() ---> AckTicket (in the batch; one per copy in a fan-out)
//!      |                      |  resolve(outcome), or dropped = Failed
//!      v                      v
//!   AckWaiter <--- the worst outcome, once the last ticket is resolved
//! ```
//!
//! A source that loses patience calls [`AckWaiter::claim`]: from then on the record is the vault's,
//! and whoever still holds a copy withdraws it instead of delivering it a second time.
//!
//! The cells are kept in a small pool per thread, so that a request in steady state allocates none.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;

use super::sink_set::SinkSet;

/// How many cells a thread keeps.
const POOL_LEN_MAX: usize = 256;
/// How many a thread begins with: more than it uses at once, as threads that resolve may still hold some.
const POOL_LEN_MIN: usize = 16;
/// How many cells are looked at for one that nobody holds.
const LOOKS_MAX: usize = 16;

/// What became of a batch, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Every sink on the path has it.
    Delivered = 0,
    /// The vault has it at its durability level.
    Vaulted = 1,
    /// A backend refused it for good; sending it again cannot help.
    Rejected = 2,
    /// It was not delivered; sending it again may help.
    Failed = 3,
}

impl Outcome {
    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Delivered,
            1 => Self::Vaulted,
            2 => Self::Rejected,
            _ => Self::Failed,
        }
    }

    /// Whether the batch is in safe hands: delivered, or kept by the vault.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Delivered | Self::Vaulted)
    }
}

/// Shared by the tickets and the waiter of one request. It has a cache line of its own: cells wander
/// between the pools of threads, and two workers' cells must not lie on one.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell {
    /// Tickets not yet resolved.
    pending: AtomicU32,
    /// The worst outcome so far.
    worst: AtomicU8,
    /// The lanes that need it no more: their sinks have it, or the vault has it for them.
    served: AtomicU64,
    /// The lanes of copies that came to no good.
    failed: AtomicU64,
    /// Records that were refused for good.
    rejected: AtomicU64,
    /// Records that were filtered out.
    filtered: AtomicU64,
    /// A copy was divided: that a part of it has arrived says nothing of the others.
    divided: AtomicBool,
    /// The vault took over: holders withdraw their copy.
    claimed: AtomicBool,
    /// The waiter was dropped; nobody takes a failed batch back.
    orphaned: AtomicBool,
    /// What a backend said when it refused the batch for good.
    reason: OnceLock<Arc<str>>,
    waker: AtomicWaker,
}

thread_local! {
    static POOL: RefCell<Vec<Arc<Cell>>> = const { RefCell::new(Vec::new()) };
}

/// Takes a cell out of a pool that nobody else refers to. A ticket that has been resolved may still hold one,
/// until its thread runs again.
fn take_idle(pool: &mut Vec<Arc<Cell>>) -> Option<Arc<Cell>> {
    if pool.capacity() == 0 {
        pool.reserve_exact(POOL_LEN_MAX);
        pool.resize_with(POOL_LEN_MIN, Arc::default);
    }
    let is_idle = |cell: &Arc<Cell>| Arc::strong_count(cell) == 1;
    let from_last = pool.iter().rev().take(LOOKS_MAX).position(is_idle)?;
    // Pairs with the release in Arc's own decrement: all writes of former holders are seen.
    fence(Ordering::Acquire);
    Some(pool.swap_remove(pool.len() - 1 - from_last))
}

fn take_cell() -> Arc<Cell> {
    let pooled = POOL.try_with(|pool| take_idle(&mut pool.borrow_mut())).ok().flatten();
    let mut cell = pooled.unwrap_or_default();
    if cell.reason.get().is_some() {
        // Nobody else refers to one of the pool.
        Arc::get_mut(&mut cell).map(|cell| cell.reason.take());
    }
    cell.pending.store(1, Ordering::Relaxed);
    cell.worst.store(Outcome::Delivered as u8, Ordering::Relaxed);
    cell.served.store(0, Ordering::Relaxed);
    cell.failed.store(0, Ordering::Relaxed);
    cell.rejected.store(0, Ordering::Relaxed);
    cell.filtered.store(0, Ordering::Relaxed);
    cell.divided.store(false, Ordering::Relaxed);
    cell.claimed.store(false, Ordering::Relaxed);
    cell.orphaned.store(false, Ordering::Relaxed);
    cell
}

/// Puts a cell into this thread's pool, from which it is taken when nobody else refers to it.
fn put_cell(cell: Arc<Cell>) {
    // A thread that is ending has no pool any more; then the cell is simply freed.
    let _ended = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOL_LEN_MAX {
            if pool.capacity() == 0 {
                pool.reserve_exact(POOL_LEN_MAX);
            }
            pool.push(cell);
        }
    });
}

/// Makes the two ends of one acknowledgement.
#[must_use]
pub fn channel() -> (AckTicket, AckWaiter) {
    let cell = take_cell();
    (AckTicket { cell: Some(Arc::clone(&cell)) }, AckWaiter { cell: Some(cell) })
}

/// The right, and duty, to say what became of a batch. Dropped unresolved it says `Failed`.
#[derive(Debug)]
pub struct AckTicket {
    /// `None` only once resolved.
    cell: Option<Arc<Cell>>,
}

impl AckTicket {
    /// Makes the ticket of a further copy of the same batch.
    #[must_use]
    pub fn fork(&self) -> Self {
        if let Some(cell) = &self.cell {
            cell.pending.fetch_add(1, Ordering::Relaxed);
        }
        Self { cell: self.cell.clone() }
    }

    /// Makes the ticket of a part of the same copy.
    #[must_use]
    pub fn divide(&self) -> Self {
        if let Some(cell) = &self.cell {
            cell.divided.store(true, Ordering::Release);
        }
        self.fork()
    }

    /// Whether the vault has taken the batch over, so that this copy must not be delivered.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.claimed.load(Ordering::Acquire))
    }

    /// Whether another copy for one of these lanes has come to no good, so that its sink gets all of
    /// the request on another way whatever becomes of this.
    #[must_use]
    pub fn is_lost(&self, sink_set: SinkSet) -> bool {
        let failed = self.cell.as_ref().map_or(0, |cell| cell.failed.load(Ordering::Acquire));
        SinkSet::from_bits(failed).meets(sink_set)
    }

    /// Whether the worst so far is that a copy was refused for good.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let worst = |cell: &Arc<Cell>| cell.worst.load(Ordering::Acquire);
        self.cell.as_ref().is_some_and(|cell| worst(cell) == Outcome::Rejected as u8)
    }

    /// Whether nobody waits for the outcome any more.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| cell.orphaned.load(Ordering::Acquire))
    }

    /// Says, before it is resolved, that the sinks of some lanes need it no more.
    pub fn serve(&self, sink_set: SinkSet) {
        if let Some(cell) = &self.cell {
            cell.served.fetch_or(sink_set.bits(), Ordering::AcqRel);
        }
    }

    /// Says, before it is resolved, that this copy for some lanes has come to no good.
    pub fn fail(&self, sink_set: SinkSet) {
        if let Some(cell) = &self.cell {
            cell.failed.fetch_or(sink_set.bits(), Ordering::AcqRel);
        }
    }

    /// Says, before it is resolved, how many records of this copy were refused for good.
    pub fn reject(&self, records: u64) {
        if let Some(cell) = &self.cell {
            cell.rejected.fetch_add(records, Ordering::AcqRel);
        }
    }

    /// Says, before it is resolved, how many records were filtered out of this copy.
    pub fn filter(&self, records: u64) {
        if let Some(cell) = &self.cell {
            cell.filtered.fetch_add(records, Ordering::AcqRel);
        }
    }

    /// Says, before it is resolved, why a backend refused it for good; the first to say so is heard.
    pub fn explain(&self, reason: &Arc<str>) {
        if let Some(cell) = &self.cell {
            cell.reason.get_or_init(|| Arc::clone(reason));
        }
    }

    /// Says what became of this copy.
    pub fn resolve(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        let Some(cell) = self.cell.take() else { return };
        cell.worst.fetch_max(outcome as u8, Ordering::AcqRel);
        let is_last = cell.pending.fetch_sub(1, Ordering::AcqRel) == 1;
        let waker = if is_last { cell.waker.take() } else { None };
        // The waiter is gone, or else it pools the cell: it sees that it is resolved.
        if Arc::strong_count(&cell) == 1 {
            put_cell(cell);
        } else {
            drop(cell);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for AckTicket {
    fn drop(&mut self) {
        // Whom it was for is not known any more.
        self.fail(SinkSet::ALL);
        self.finish(Outcome::Failed);
    }
}

/// Resolves to the worst outcome of all copies of one batch.
///
/// As a future it may be dropped at any time: the batch goes on, nobody learns its end.
#[derive(Debug)]
pub struct AckWaiter {
    /// `None` only while dropping.
    cell: Option<Arc<Cell>>,
}

impl AckWaiter {
    /// Takes the batch away from whoever holds it: copies not yet delivered are withdrawn.
    pub fn claim(&self) {
        if let Some(cell) = &self.cell {
            cell.claimed.store(true, Ordering::Release);
        }
    }

    /// The lanes whose sinks need it no more; none once a copy was divided.
    #[must_use]
    pub fn served(&self) -> SinkSet {
        let is_whole = |cell: &&Arc<Cell>| !cell.divided.load(Ordering::Acquire);
        let whole = self.cell.as_ref().filter(is_whole);
        SinkSet::from_bits(whole.map_or(0, |cell| cell.served.load(Ordering::Acquire)))
    }

    /// The lanes of copies that came to no good; all of them if a copy was lost.
    #[must_use]
    pub fn failed(&self) -> SinkSet {
        let failed = self.cell.as_ref().map_or(0, |cell| cell.failed.load(Ordering::Acquire));
        SinkSet::from_bits(failed)
    }

    /// How many records were refused for good; those of each copy count.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.cell.as_ref().map_or(0, |cell| cell.rejected.load(Ordering::Acquire))
    }

    /// How many records were filtered out; those of each copy count.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.cell.as_ref().map_or(0, |cell| cell.filtered.load(Ordering::Acquire))
    }

    /// What a backend said that refused the batch for good.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.cell.as_ref()?.reason.get().cloned()
    }

    /// Wakes somebody once, when every copy is resolved. If that is so already, nobody is woken.
    pub fn wake_when_settled(&self, waker: &Waker) {
        if let Some(cell) = &self.cell {
            cell.waker.register(waker);
        }
    }

    /// Returns the outcome if every copy is resolved.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let cell = self.cell.as_ref()?;
        (cell.pending.load(Ordering::Acquire) == 0)
            .then(|| Outcome::from_u8(cell.worst.load(Ordering::Acquire)))
    }
}

impl Future for AckWaiter {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        if let Some(cell) = &self.cell {
            cell.waker.register(context.waker());
        }
        // The last ticket may have been resolved between the look and the registration.
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for AckWaiter {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.orphaned.store(true, Ordering::Release);
            cell.waker.take();
            // One that is not resolved may be held for long; it is for the last ticket to pool.
            if cell.pending.load(Ordering::Acquire) == 0 {
                put_cell(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worst_outcome_of_all_copies_wins() {
        let (ticket, waiter) = channel();
        let copy = ticket.fork();
        ticket.resolve(Outcome::Delivered);
        assert_eq!(waiter.outcome(), None);
        copy.resolve(Outcome::Vaulted);
        assert_eq!(waiter.await, Outcome::Vaulted);
    }

    #[tokio::test]
    async fn a_ticket_dropped_without_a_word_means_failure() {
        let (ticket, waiter) = channel();
        drop(ticket);
        assert_eq!(waiter.await, Outcome::Failed);
    }

    #[tokio::test]
    async fn a_waiter_on_another_task_is_woken() {
        let (ticket, waiter) = channel();
        let waiting = tokio::spawn(waiter);
        tokio::task::yield_now().await;
        ticket.resolve(Outcome::Delivered);
        assert_eq!(waiting.await.unwrap(), Outcome::Delivered);
    }

    /// Scenario: a ticket has resolved a request, and its thread does not get to letting go of the cell.
    /// Guarantees: the next request does not get that cell, and allocates none; the one after it does.
    #[test]
    fn a_cell_that_a_resolved_ticket_still_holds_is_not_lost_to_the_pool() {
        let (ticket, waiter) = channel();
        let held = ticket.cell.clone().unwrap();
        ticket.resolve(Outcome::Delivered);
        assert_eq!(waiter.outcome(), Some(Outcome::Delivered));
        drop(waiter);
        let pooled = || POOL.with_borrow(Vec::len);
        assert_eq!(pooled(), POOL_LEN_MIN);
        let (_ticket, waiter) = channel();
        assert!(!Arc::ptr_eq(&held, waiter.cell.as_ref().unwrap()));
        assert_eq!(pooled(), POOL_LEN_MIN - 1);
        drop(held);
        let _all: Vec<_> = (1..POOL_LEN_MIN).map(|_| channel()).collect();
        assert_eq!(pooled(), 0, "that cell too is taken again");
    }

    #[test]
    fn a_claim_is_seen_by_every_copy_and_does_not_leak_into_the_next_request() {
        let (ticket, waiter) = channel();
        let copy = ticket.fork();
        waiter.claim();
        assert!(ticket.is_claimed() && copy.is_claimed());
        ticket.explain(&"no such tenant".into());
        ticket.reject(2);
        copy.reject(3);
        assert_eq!((waiter.reason().as_deref(), waiter.rejected()), (Some("no such tenant"), 5));
        drop((ticket, copy, waiter));
        let (next, waiter) = channel();
        assert!(!next.is_claimed() && !next.is_orphaned() && waiter.reason().is_none());
        assert_eq!(waiter.rejected(), 0);
    }
}
