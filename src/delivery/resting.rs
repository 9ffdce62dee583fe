//! Requests that rest between two attempts: their places in the sink are for others meanwhile, or a few that a backend
//! never takes would be all that is ever sent to it.

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch_group::CLAIM_CHECK;
use super::concurrency::ConcurrencyLimit;

/// Which requests of a sink rest, and how many have a place.
#[derive(Debug, Default)]
pub(super) struct Resting {
    counts: Mutex<Counts>,
    /// Wakes who may fill a place: one more rests, or one that rested is gone.
    more: Notify,
    /// Wakes who wants a place again.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    /// Requests in the sink.
    deliveries: usize,
    /// Those of them that rest.
    resting: usize,
    resting_bytes: u64,
    /// Those that rest no longer than until there is a place: they go before who comes for the first time.
    returning: usize,
}

impl Counts {
    const fn places_taken(&self) -> usize {
        self.deliveries.saturating_sub(self.resting)
    }
}

impl Resting {
    /// Tells how many requests are in the sink.
    pub(super) fn show(&self, deliveries: usize) {
        let mut counts = self.lock();
        let is_freed = deliveries < counts.deliveries;
        counts.deliveries = deliveries;
        drop(counts);
        if is_freed {
            self.freed.notify_waiters();
        }
    }

    /// Whether there is a place for one more request, if so many may be on their way.
    pub(super) fn has_place(&self, limit: usize) -> bool {
        let counts = self.lock();
        counts.places_taken() + counts.returning < limit
    }

    /// What those that rest have of the bytes in the sink.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().resting_bytes
    }

    /// Counts a request of so many bytes as one that rests, until the guard is dropped or has a place again.
    pub(super) fn begin(&self, bytes: u64) -> Rests<'_> {
        let mut counts = self.lock();
        counts.resting += 1;
        counts.resting_bytes += bytes;
        drop(counts);
        self.freed.notify_waiters();
        self.more.notify_one();
        Rests { resting: self, bytes, is_over: false }
    }

    /// Waits until there may be a place more.
    pub(super) async fn changed(&self) {
        self.more.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock()
    }
}

/// One of them.
pub(super) struct Rests<'a> {
    resting: &'a Resting,
    bytes: u64,
    is_over: bool,
}

impl Rests<'_> {
    /// Takes a place if there is one; returns whether it has.
    pub(super) fn takes_place(&mut self, limit: usize) -> bool {
        let mut counts = self.resting.lock();
        if !self.is_over && counts.places_taken() < limit {
            self.is_over = true;
            counts.resting -= 1;
            counts.resting_bytes -= self.bytes;
        }
        self.is_over
    }

    /// Waits for a place, before whoever is not in the sink yet.
    pub(super) async fn end(mut self, limit: &ConcurrencyLimit) {
        let resting = self.resting;
        let _returning = Returning::begin(resting);
        loop {
            let freed = resting.freed.notified();
            tokio::pin!(freed);
            // From here on no place that is freed is missed.
            freed.as_mut().enable();
            if self.takes_place(limit.get()) {
                return;
            }
            // The limit may have risen.
            let _late = tokio::time::timeout_at(Instant::now() + CLAIM_CHECK, freed).await;
        }
    }
}

impl Drop for Rests<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut counts = self.resting.lock();
            counts.resting -= 1;
            counts.resting_bytes -= self.bytes;
        }
    }
}

/// One that wants its place again.
struct Returning<'a>(&'a Resting);

impl<'a> Returning<'a> {
    fn begin(resting: &'a Resting) -> Self {
        resting.lock().returning += 1;
        Self(resting)
    }
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        self.0.lock().returning -= 1;
        self.0.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::concurrency::Concurrency;
    use super::*;

    fn limit(requests: u32) -> ConcurrencyLimit {
        ConcurrencyLimit::new(Concurrency::Fixed(requests), Instant::now())
    }

    #[tokio::test]
    async fn the_place_of_one_that_rests_is_for_another_and_it_comes_back_before_the_next() {
        let (resting, limit) = (Resting::default(), limit(1));
        resting.show(1);
        assert!(!resting.has_place(1));
        let mut rests = resting.begin(10);
        assert!(resting.has_place(1));
        assert_eq!(resting.bytes(), 10);
        // Another one takes it.
        resting.show(2);
        assert!(!resting.has_place(1) && !rests.takes_place(1));
        let end = rests.end(&limit);
        tokio::pin!(end);
        assert!(futures_util::poll!(end.as_mut()).is_pending());
        let other = resting.begin(5);
        assert!(!resting.has_place(1), "it is for the one that waits for it");
        end.await;
        assert!(!resting.has_place(1));
        assert_eq!(resting.bytes(), 5);
        drop(other);
        resting.show(1);
        assert!(!resting.has_place(1));
        resting.show(0);
        assert!(resting.has_place(1));
    }

    #[tokio::test]
    async fn one_that_goes_while_it_waits_leaves_nothing_behind() {
        let (resting, limit) = (Resting::default(), limit(1));
        resting.show(2);
        let end = Box::pin(resting.begin(10).end(&limit));
        let mut end = end;
        assert!(futures_util::poll!(end.as_mut()).is_pending());
        drop(end);
        resting.show(0);
        assert!(resting.has_place(1));
        assert_eq!(resting.bytes(), 0);
    }
}
