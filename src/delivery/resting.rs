//! Requests that rest between two attempts, and are not among those that the backend has to do with.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

/// How many of them there are.
#[derive(Debug, Default)]
pub(super) struct Resting {
    count: AtomicUsize,
    more: Notify,
}

impl Resting {
    /// Counts one until the guard is dropped.
    pub(super) fn begin(&self) -> Rests<'_> {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.more.notify_one();
        Rests(self)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there is one more.
    pub(super) async fn changed(&self) {
        self.more.notified().await;
    }
}

/// One of them.
pub(super) struct Rests<'a>(&'a Resting);

impl Drop for Rests<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}
