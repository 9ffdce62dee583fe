//! One part's share of the memory: how many bytes it may use, how many it does, and the grants that
//! use them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::sync::Semaphore;

/// A share of the memory, in bytes.
///
/// Used is what its grants hold together: at most the limit, but for one case. Who asks for more
/// than the whole limit passes when nothing else is used, or a legal message could never pass; then
/// it passes alone. A limit that is lowered cancels nothing; new grants wait until there is room.
#[derive(Debug)]
pub struct Budget {
    name: &'static str,
    limit: AtomicU64,
    used: AtomicU64,
    /// Who wants a grant.
    arrivals: Lane,
    /// Who has a grant and wants it to grow; they go first, because they can finish and the others
    /// have not begun.
    growers: Lane,
    /// Rung when bytes come back and somebody waits.
    freed: Notify,
    /// Into how many portions it is divided.
    portions: AtomicU64,
}

/// So many bytes of a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a grant gives its bytes back"]
pub struct Grant {
    budget: Arc<Budget>,
    bytes: u64,
}

/// A queue: the first in it waits for room, the others in order for the place of the first.
#[derive(Debug)]
struct Lane {
    len: AtomicUsize,
    first: Semaphore,
}

/// A place in a lane.
struct Place<'b> {
    budget: &'b Budget,
    lane: &'b Lane,
}

impl Budget {
    /// Makes a share of so many bytes.
    #[must_use]
    pub fn new(name: &'static str, limit: u64) -> Arc<Self> {
        Arc::new(Self {
            name,
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            arrivals: Lane::new(),
            growers: Lane::new(),
            freed: Notify::new(),
            portions: AtomicU64::new(0),
        })
    }

    /// The part whose share it is.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The bytes that may be used.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The bytes that are used.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How full it is: 1000 is at the limit, and one large request may exceed it.
    #[must_use]
    pub fn permille(&self) -> u32 {
        let permille = u128::from(self.used()) * 1000 / u128::from(self.limit().max(1));
        u32::try_from(permille).unwrap_or(u32::MAX)
    }

    /// Changes the limit; grants stay as they are.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::SeqCst);
        self.ring();
    }

    /// Takes so many bytes if there is room and nobody waits.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, bytes: u64) -> Option<Grant> {
        if !self.growers.is_empty() || !self.arrivals.is_empty() {
            return None;
        }
        self.admit(0, bytes).then(|| Grant::new(Arc::clone(self), bytes))
    }

    /// Takes so many bytes, and waits for them behind those who came before. May be dropped
    /// half-way: the place in the queue is then lost, and nothing else.
    pub async fn take(self: &Arc<Self>, bytes: u64) -> Grant {
        if let Some(grant) = self.try_take(bytes) {
            return grant;
        }
        self.wait(&self.arrivals, || self.growers.is_empty() && self.admit(0, bytes)).await;
        Grant::new(Arc::clone(self), bytes)
    }

    /// Books bytes whatever the limit is, for a portion, which has a limit of its own.
    pub(super) fn book(self: &Arc<Self>, bytes: u64) -> Grant {
        self.used.fetch_add(bytes, Ordering::SeqCst);
        Grant::new(Arc::clone(self), bytes)
    }

    pub(super) fn add_portion(&self) {
        self.portions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_portion(&self) {
        self.portions.fetch_sub(1, Ordering::Relaxed);
    }

    /// What each portion may use.
    pub(super) fn portion_limit(&self) -> u64 {
        self.limit() / self.portions.load(Ordering::Relaxed).max(1)
    }

    /// Adds to a grant that has `own` bytes, if there is room.
    fn try_grow(&self, own: u64, more: u64) -> bool {
        self.growers.is_empty() && self.admit(own, more)
    }

    /// Adds to a grant that has `own` bytes, before anybody gets a new one.
    async fn grow(&self, own: u64, more: u64) {
        if !self.try_grow(own, more) {
            self.wait(&self.growers, || self.admit(own, more)).await;
        }
    }

    /// Takes bytes back.
    fn give_back(&self, bytes: u64) {
        if 0 < bytes {
            self.used.fetch_sub(bytes, Ordering::SeqCst);
            self.ring();
        }
    }

    /// Books more bytes for one who has `own`, within the limit or alone.
    fn admit(&self, own: u64, more: u64) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let book = |used: u64| {
            let next = used.checked_add(more)?;
            (more == 0 || used == own || next <= limit).then_some(next)
        };
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, book).is_ok()
    }

    /// Waits in a lane until `admits` says yes to the first in it.
    async fn wait(&self, lane: &Lane, admits: impl Fn() -> bool) {
        lane.len.fetch_add(1, Ordering::SeqCst);
        let place = Place { budget: self, lane };
        let _first = lane.first.acquire().await.expect("it is never closed");
        loop {
            // Listens first, so that bytes that come back while it looks are not missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if admits() {
                break;
            }
            freed.await;
        }
        drop(place);
    }

    /// Tells the first in each lane to look again.
    fn ring(&self) {
        if !self.growers.is_empty() || !self.arrivals.is_empty() {
            self.freed.notify_waiters();
        }
    }
}

impl Lane {
    const fn new() -> Self {
        Self { len: AtomicUsize::new(0), first: Semaphore::const_new(1) }
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.len.fetch_sub(1, Ordering::SeqCst);
        // Who has only waited for this one to go looks again.
        self.budget.ring();
    }
}

impl Grant {
    /// The bytes are booked already.
    const fn new(budget: Arc<Budget>, bytes: u64) -> Self {
        Self { budget, bytes }
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more bytes if there is room; new grants that wait have no precedence.
    #[must_use]
    pub fn try_grow(&mut self, more: u64) -> bool {
        let is_grown = self.budget.try_grow(self.bytes, more);
        if is_grown {
            self.bytes += more;
        }
        is_grown
    }

    /// Takes more bytes, and waits for them. May be dropped half-way: the grant is then as it was.
    pub async fn grow(&mut self, more: u64) {
        self.budget.grow(self.bytes, more).await;
        self.bytes += more;
    }

    /// Gives back what is above so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.budget.give_back(excess);
    }

    /// Makes a grant of its own of so many of its bytes, or of all if it has fewer.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
