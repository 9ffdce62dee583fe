//! The requests that are due, between the clock and the connections.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;
use tokio::sync::Semaphore;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DueRequest {
    pub(crate) number: u64,
    /// After the start.
    pub(crate) due: Duration,
}

/// Requests that are due and not answered yet, of which there is a limited number. One thread adds, any number of
/// tasks take.
///
/// `in_flight` counts those that wait here and those that were taken, until they are answered.
pub(crate) struct DueQueue {
    waiting: ArrayQueue<DueRequest>,
    /// A permit for each request that waits. Tasks get them in the order in which they asked, so that all connections
    /// are used in turn.
    ready: Semaphore,
    in_flight: AtomicU64,
    idle: Notify,
    /// Requests that became due so far.
    offered: AtomicU64,
    /// Requests that became due and found no place.
    not_sent: AtomicU64,
}

impl DueQueue {
    /// For at most so many requests, at least one.
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self {
            waiting: ArrayQueue::new(in_flight_max.max(1)),
            ready: Semaphore::new(0),
            in_flight: AtomicU64::new(0),
            idle: Notify::new(),
            offered: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
        }
    }

    /// Adds a request; one that finds no place counts as not sent. To be called by one thread.
    pub(crate) fn offer(&self, request: DueRequest) {
        self.offered.fetch_add(1, Ordering::Relaxed);
        let is_full = self.waiting.capacity() as u64 <= self.in_flight();
        if is_full || self.waiting.push(request).is_err() {
            self.not_sent.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.ready.add_permits(1);
    }

    /// Waits for the next request; there is none any more when the queue is closed.
    pub(crate) async fn next(&self) -> Option<DueRequest> {
        self.ready.acquire().await.ok()?.forget();
        self.waiting.pop()
    }

    /// A request that was taken is answered.
    pub(crate) fn answered(&self) {
        if self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_one();
        }
    }

    /// Waits until nothing is in flight. To be called by one task, when no more is offered.
    pub(crate) async fn idle(&self) {
        while 0 < self.in_flight() {
            self.idle.notified().await;
        }
    }

    /// Takes out what waits, and counts it as not sent.
    pub(crate) fn close(&self) {
        self.ready.close();
        while self.waiting.pop().is_some() {
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.not_sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn offered(&self) -> u64 {
        self.offered.load(Ordering::Relaxed)
    }

    pub(crate) fn not_sent(&self) -> u64 {
        self.not_sent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(queue: &DueQueue, numbers: std::ops::Range<u64>) {
        for number in numbers {
            queue.offer(DueRequest { number, due: Duration::ZERO });
        }
    }

    /// Offered, not sent, in flight.
    fn counts(queue: &DueQueue) -> [u64; 3] {
        [queue.offered(), queue.not_sent(), queue.in_flight()]
    }

    #[tokio::test]
    async fn what_finds_no_place_is_counted() {
        let queue = DueQueue::new(3);
        offer(&queue, 0..5);
        assert_eq!(counts(&queue), [5, 2, 3]);
        // What was taken and has no answer keeps its place.
        assert_eq!(queue.next().await.unwrap().number, 0);
        offer(&queue, 5..6);
        assert_eq!(counts(&queue), [6, 3, 3]);
        queue.answered();
        offer(&queue, 6..7);
        assert_eq!(counts(&queue), [7, 3, 3]);
        assert_eq!(queue.next().await.unwrap().number, 1);
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_was_not_sent() {
        let queue = DueQueue::new(3);
        offer(&queue, 0..3);
        assert_eq!(queue.next().await.unwrap().number, 0);
        queue.close();
        assert_eq!(counts(&queue), [3, 2, 1]);
        assert!(queue.next().await.is_none());
        queue.answered();
        queue.idle().await;
    }
}
