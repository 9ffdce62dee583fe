//! An edge: the bounded queue in front of a component.
//!
//! Bounded twice, by batches and by bytes. A place is reserved with one compare-and-swap on a
//! single word before anything is pushed, so a fan-out can reserve on all its edges first and
//! either places the batch everywhere or nowhere:
//!
//! ```text
//!   used: | batches (20 bits) | bytes (44 bits) |
//! ```
//!
//! An empty edge takes any batch: otherwise a legal message larger than the edge could never pass.
//!
//! Live requests overtake replayed ones: somebody waits for the answer to a live one. So that a
//! source that is never quiet does not keep the vault from emptying, one batch in eight
//! may be a replayed one before its turn.
//!
//! No operation allocates or locks, except that a receiver or sender that must wait parks itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::event::Batch;
use crate::event::Origin;
use crate::event::SinkId;

const BYTES_BITS: u32 = 44;
const BYTES_MASK: u64 = (1 << BYTES_BITS) - 1;
const ONE_BATCH: u64 = 1 << BYTES_BITS;

/// The most batches an edge can hold.
pub const BATCHES_MAX: u32 = 1 << 19;

const _: () = assert!((BATCHES_MAX as u64) < (1 << (64 - BYTES_BITS)));

/// A replayed batch goes before live ones once among so many.
const REPLAYED_EVERY: u64 = 8;

/// The limits of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// At most this many batches, from 1 to [`BATCHES_MAX`].
    pub batches: u32,
    /// At most this many bytes, unless a single batch is larger.
    pub bytes: u64,
}

struct Shared {
    live: ArrayQueue<Batch>,
    replayed: ArrayQueue<Batch>,
    used: CachePadded<Used>,
    limits: EdgeLimits,
    /// Who reads it, if that is a sink.
    sink: SinkId,
    /// Wakes the receiver.
    filled: Notify,
    /// Wakes senders that wait for room.
    drained: Notify,
    senders_waiting: AtomicUsize,
    senders: AtomicUsize,
    is_abandoned: AtomicBool,
}

/// On one line, which whoever takes a batch out writes anyway.
#[derive(Default)]
struct Used {
    now: AtomicU64,
    /// Batches taken out; two that take one at the same time may count as one.
    taken: AtomicU64,
}

impl Shared {
    /// What a batch counts for in `used`.
    fn weight(bytes: u64) -> u64 {
        ONE_BATCH + bytes.min(BYTES_MASK >> 1)
    }

    fn release(&self, weight: u64) {
        // Sequentially consistent together with `room`: either this load sees the waiting sender, or
        // the sender, looking once more, sees the room.
        self.used.now.fetch_sub(weight, Ordering::SeqCst);
        if self.senders_waiting.load(Ordering::SeqCst) > 0 {
            self.drained.notify_waiters();
        }
    }

    fn queue(&self, origin: Origin) -> &ArrayQueue<Batch> {
        match origin {
            Origin::Source => &self.live,
            Origin::Vault => &self.replayed,
        }
    }

    /// Takes out whose turn it is.
    fn pop(&self) -> Option<Batch> {
        let taken = &self.used.taken;
        let count = taken.load(Ordering::Relaxed);
        let (first, second) = if count % REPLAYED_EVERY == REPLAYED_EVERY - 1 {
            (&self.replayed, &self.live)
        } else {
            (&self.live, &self.replayed)
        };
        let batch = first.pop().or_else(|| second.pop())?;
        Some(self.taken_out(batch))
    }

    fn taken_out(&self, batch: Batch) -> Batch {
        let taken = &self.used.taken;
        taken.store(taken.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.release(Self::weight(batch.cost_bytes()));
        batch
    }
}

/// How many of an edge's batches may be of this origin.
///
/// What comes from the vault gets at most half of an edge: replay alone must neither turn the zone
/// nor push live requests out. An empty edge takes one of either.
fn share_of(batches: u32, origin: Origin) -> u32 {
    (batches / divisor(origin)).max(1)
}

const fn divisor(origin: Origin) -> u32 {
    match origin {
        Origin::Source => 1,
        Origin::Vault => 2,
    }
}

/// Makes an edge in front of a transform, or of nobody in the books.
#[must_use]
pub fn edge(limits: EdgeLimits) -> (EdgeSender, EdgeReceiver) {
    edge_of(SinkId::NONE, limits)
}

/// Makes an edge in front of a sink: what is put into it, the sink has taken.
#[must_use]
pub fn edge_of(sink: SinkId, limits: EdgeLimits) -> (EdgeSender, EdgeReceiver) {
    let batches = limits.batches.clamp(1, BATCHES_MAX);
    let limits = EdgeLimits { batches, bytes: limits.bytes.min(BYTES_MASK >> 1) };
    let shared = Arc::new(Shared {
        live: ArrayQueue::new(batches as usize),
        replayed: ArrayQueue::new(share_of(batches, Origin::Vault) as usize),
        used: CachePadded::default(),
        limits,
        sink,
        filled: Notify::new(),
        drained: Notify::new(),
        senders_waiting: AtomicUsize::new(0),
        senders: AtomicUsize::new(1),
        is_abandoned: AtomicBool::new(false),
    });
    (EdgeSender(Arc::clone(&shared)), EdgeReceiver(shared))
}

/// The sending half. The edge closes when the last clone is dropped.
pub struct EdgeSender(Arc<Shared>);

/// A place in an edge that was reserved and not yet used.
#[derive(Clone, Copy, Debug)]
pub(super) struct EdgePlace {
    weight: u64,
}

impl EdgeSender {
    /// Reserves a place for a batch of `bytes`, or says that there is none.
    pub(super) fn reserve(&self, bytes: u64, origin: Origin) -> Option<EdgePlace> {
        if self.0.is_abandoned.load(Ordering::Acquire) {
            return None;
        }
        let weight = Shared::weight(bytes);
        let batches_max = u64::from(share_of(self.0.limits.batches, origin));
        let bytes_max = self.0.limits.bytes / u64::from(divisor(origin));
        let mut used = self.0.used.now.load(Ordering::SeqCst);
        loop {
            let next = used + weight;
            let fits = next >> BYTES_BITS <= batches_max && next & BYTES_MASK <= bytes_max;
            if used != 0 && !fits {
                return None;
            }
            let word = &self.0.used.now;
            match word.compare_exchange_weak(used, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(EdgePlace { weight }),
                Err(current) => used = current,
            }
        }
    }

    /// Gives a reserved place back.
    pub(super) fn cancel(&self, place: EdgePlace) {
        self.0.release(place.weight);
    }

    /// Puts a batch into its reserved place.
    pub(super) fn fill(&self, place: EdgePlace, batch: Batch) {
        debug_assert_eq!(place.weight, Shared::weight(batch.cost_bytes()), "one weight per batch");
        // The reservation bounds the queue's length by its capacity. The one exception is a slot
        // whose last reader has not quite left it: that takes a few instructions.
        let queue = self.0.queue(batch.origin());
        let mut batch = batch;
        batch.enter(self.0.sink);
        while let Err(back) = queue.push(batch) {
            batch = back;
            std::hint::spin_loop();
        }
        self.0.filled.notify_one();
    }

    /// How full the edge is, in thousandths of its tighter limit.
    #[must_use]
    pub fn occupancy_permille(&self) -> u32 {
        let used = self.0.used.now.load(Ordering::Relaxed);
        let batches = (used >> BYTES_BITS) * 1000 / u64::from(self.0.limits.batches);
        let bytes = (used & BYTES_MASK) * 1000 / self.0.limits.bytes.max(1);
        u32::try_from(batches.max(bytes).min(1000)).unwrap_or(1000)
    }

    /// Batches and bytes in the edge now.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        let used = self.0.used.now.load(Ordering::Relaxed);
        (used >> BYTES_BITS, used & BYTES_MASK)
    }

    /// Counts what is taken out, well enough to see that something is.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.used.taken.load(Ordering::Relaxed)
    }

    /// Begins to wait for room. Enable it, look for room once more, then await it.
    pub(super) fn room(&self) -> RoomWait<'_> {
        self.0.senders_waiting.fetch_add(1, Ordering::SeqCst);
        RoomWait { shared: &self.0, notified: Some(self.0.drained.notified()) }
    }
}

impl Clone for EdgeSender {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for EdgeSender {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.filled.notify_one();
        }
    }
}

impl fmt::Debug for EdgeSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EdgeSender").field("used", &self.used()).finish_non_exhaustive()
    }
}

/// A sender's wait for room in an edge.
pub(super) struct RoomWait<'a> {
    shared: &'a Shared,
    notified: Option<Notified<'a>>,
}

impl<'a> RoomWait<'a> {
    /// The notification itself, to be pinned and enabled.
    pub(super) fn notified(&mut self) -> Option<Notified<'a>> {
        self.notified.take()
    }
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        self.shared.senders_waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The receiving half: one component reads it.
///
/// A clone reads the same edge; the supervisor keeps one, so that what is queued survives a
/// component that panics.
pub struct EdgeReceiver(Arc<Shared>);

impl EdgeReceiver {
    /// Returns the next batch, or `None` when the edge is closed and empty.
    ///
    /// Batches that the vault has taken over are withdrawn on the way. May be dropped at any time;
    /// nothing is lost then.
    pub async fn recv(&mut self) -> Option<Batch> {
        loop {
            let filled = self.0.filled.notified();
            if let Some(batch) = self.pop() {
                return Some(batch);
            }
            if self.is_closed() {
                // A batch placed just before the last sender left is still to be returned.
                return self.pop();
            }
            filled.await;
        }
    }

    /// The limits of the edge.
    #[must_use]
    pub fn limits(&self) -> EdgeLimits {
        self.0.limits
    }

    /// Whether nobody can place anything any more; some may be left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.senders.load(Ordering::Acquire) == 0
    }

    /// Waits until nobody can place anything any more. Not while somebody receives, who would miss a
    /// wake-up.
    pub async fn closed(&self) {
        loop {
            let filled = self.0.filled.notified();
            if self.is_closed() {
                return;
            }
            filled.await;
        }
    }

    /// Returns the next batch if there is one now.
    pub fn try_recv(&mut self) -> Option<Batch> {
        self.pop()
    }

    /// Returns the next batch that did not come out of a vault, if there is one now.
    pub fn try_recv_live(&mut self) -> Option<Batch> {
        self.0.live.pop().map(|batch| self.0.taken_out(batch))
    }

    fn pop(&self) -> Option<Batch> {
        while let Some(batch) = self.0.pop() {
            if !batch.is_claimed() {
                return Some(batch);
            }
            batch.superseded();
        }
        None
    }

    /// Makes another handle on the same receiving half.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Gives the edge up: senders find it full from now on, and what is queued fails.
    pub fn abandon(&self) {
        self.0.is_abandoned.store(true, Ordering::Release);
        while let Some(batch) = self.0.pop() {
            batch.failed();
        }
    }
}

impl fmt::Debug for EdgeReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.live.len() + self.0.replayed.len();
        formatter.debug_struct("EdgeReceiver").field("len", &len).finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::SinkSet;
    use crate::event::ack;

    fn request(bytes: usize, records: u64) -> Request {
        let wire = Bytes::from(vec![0; bytes]);
        Request {
            signal: Signal::Logs,
            wire,
            records,
            received_unix_ns: 0,
            provenance: crate::event::Provenance::default(),
        }
    }

    fn batch(bytes: usize) -> Batch {
        Batch::received(&request(bytes, 1), None, Ledger::leak())
    }

    fn put(edge: &EdgeSender, bytes: usize) -> bool {
        let Some(place) = edge.reserve(bytes as u64, Origin::Source) else { return false };
        edge.fill(place, batch(bytes));
        true
    }

    #[test]
    fn an_edge_is_full_at_either_limit_and_has_room_again_after_a_read() {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 2, bytes: 100 });
        assert!(put(&sender, 60));
        assert!(!put(&sender, 50), "too many bytes");
        assert!(put(&sender, 40));
        assert!(!put(&sender, 0), "too many batches");
        assert_eq!(sender.occupancy_permille(), 1000);
        assert!(receiver.try_recv().is_some());
        assert!(put(&sender, 60));
        assert_eq!(sender.used(), (2, 100));
    }

    #[test]
    fn an_edge_is_as_full_as_the_larger_share_of_its_two_limits() {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 8, bytes: 1000 });
        let mut after = |bytes| {
            assert!(put(&sender, bytes));
            sender.occupancy_permille()
        };
        assert_eq!([0, 300, 0, 0].map(&mut after), [125, 300, 375, 500]);
        assert_eq!(sender.taken(), 0);
        assert!(receiver.try_recv().is_some() && receiver.try_recv().is_some());
        assert_eq!((sender.taken(), sender.occupancy_permille()), (2, 250));
    }

    fn put_replayed(edge: &EdgeSender, bytes: usize) -> bool {
        let Some(place) = edge.reserve(bytes as u64, Origin::Vault) else { return false };
        let (ticket, _waiter) = ack::channel();
        let request = request(bytes, 1);
        edge.fill(place, Batch::replayed(&request, SinkSet::ALL, ticket, Ledger::leak()));
        true
    }

    #[test]
    fn live_batches_overtake_replayed_ones_but_not_for_ever() {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 64, bytes: 1 << 20 });
        for _ in 0..20 {
            assert!(put_replayed(&sender, 1));
        }
        for _ in 0..20 {
            assert!(put(&sender, 1));
        }
        let origins: Vec<Origin> =
            std::iter::from_fn(|| receiver.try_recv()).map(|batch| batch.origin()).collect();
        let live = |origins: &[Origin]| origins.iter().filter(|&&o| o == Origin::Source).count();
        assert_eq!(live(&origins[..8]), 7, "they do not wait for what was there before them");
        assert_eq!(live(&origins[..24]), 20, "{origins:?}");
        assert_eq!(origins.len(), 40);
        assert_eq!(sender.used(), (0, 0));
    }

    #[test]
    fn replayed_batches_have_half_of_an_edge() {
        let (sender, _receiver) = edge(EdgeLimits { batches: 5, bytes: 1 << 20 });
        assert!(put_replayed(&sender, 1) && put_replayed(&sender, 1) && !put_replayed(&sender, 1));
        assert!(put(&sender, 1) && put(&sender, 1) && put(&sender, 1) && !put(&sender, 1));
        let (sender, _receiver) = edge(EdgeLimits { batches: 8, bytes: 100 });
        assert!(put_replayed(&sender, 1) && put_replayed(&sender, 49) && !put_replayed(&sender, 1));
        let (sender, _receiver) = edge(EdgeLimits { batches: 1, bytes: 1 << 20 });
        assert!(put_replayed(&sender, 1), "an empty edge takes one of either");
        assert!(!put_replayed(&sender, 1));
    }

    #[test]
    fn an_empty_edge_takes_a_batch_larger_than_itself_but_only_one() {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 8, bytes: 10 });
        assert!(put(&sender, 1000));
        assert!(!put(&sender, 1));
        assert!(receiver.try_recv().is_some());
        assert!(put(&sender, 1));
    }

    #[test]
    fn a_place_given_back_can_be_taken_by_another() {
        let (sender, _receiver) = edge(EdgeLimits { batches: 1, bytes: 10 });
        let place = sender.reserve(10, Origin::Source).unwrap();
        assert!(sender.reserve(1, Origin::Source).is_none());
        sender.cancel(place);
        assert_eq!(sender.used(), (0, 0));
        assert!(put(&sender, 10));
    }

    #[tokio::test]
    async fn an_edge_closes_when_its_last_sender_is_dropped_and_it_is_empty() {
        let (sender, mut receiver) = edge(EdgeLimits { batches: 4, bytes: 100 });
        let other = sender.clone();
        assert!(put(&sender, 1));
        drop(sender);
        assert!(receiver.recv().await.is_some());
        let waiting = tokio::spawn(async move { receiver.recv().await.is_none() });
        tokio::task::yield_now().await;
        drop(other);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_batch_that_the_vault_took_over_is_withdrawn_not_received() {
        let ledger = Ledger::leak();
        let (sender, mut receiver) = edge(EdgeLimits { batches: 4, bytes: 100 });
        let (ticket, waiter) = ack::channel();
        let claimed = Batch::received(&request(1, 3), Some(ticket), ledger);
        let place = sender.reserve(1, Origin::Source).unwrap();
        sender.fill(place, claimed);
        assert!(put(&sender, 2));
        waiter.claim();
        assert_eq!(receiver.recv().await.unwrap().cost_bytes(), 2);
        assert_eq!(ledger.total(Bucket::InFlight), 0);
        assert_eq!(ledger.total(Bucket::Copies), -3);
        assert_eq!(ledger.imbalance(Signal::Logs), 0);
    }

    /// Scenario: four threads push through a narrow edge as fast as they can, one reads.
    /// Guarantees: nothing is lost, nothing is invented, the limits hold, nobody sleeps for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn contending_senders_lose_nothing() {
        const EACH: usize = 5_000;
        let (sender, mut receiver) = edge(EdgeLimits { batches: 4, bytes: 1 << 20 });
        for _ in 0..4 {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut left = EACH;
                while left > 0 {
                    if put(&sender, 8) {
                        left -= 1;
                        continue;
                    }
                    let mut room = sender.room();
                    let notified = room.notified().unwrap();
                    tokio::pin!(notified);
                    notified.as_mut().enable();
                    if put(&sender, 8) {
                        left -= 1;
                        continue;
                    }
                    notified.await;
                }
            });
        }
        drop(sender);
        let mut count = 0;
        while let Some(batch) = receiver.recv().await {
            batch.delivered();
            count += 1;
        }
        assert_eq!(count, 4 * EACH);
    }
}
