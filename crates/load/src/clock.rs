//! The clock: a thread that offers each request when it is due.
//!
//! It is no task, because the timers of the runtime are exact to a millisecond only, and because a task would wait
//! while the runtime is busy with answers.

use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use crate::latency::Latencies;
use crate::queue::DueQueue;
use crate::queue::DueRequest;
use crate::schedule::SendSchedule;

/// Offers all requests, and returns how late each was. It ends early when the other end of `stop` is dropped.
pub(crate) fn run(
    schedule: SendSchedule,
    start: Instant,
    queue: &DueQueue,
    stop: &Receiver<()>,
) -> Latencies {
    let mut lateness = Latencies::default();
    for number in 0..schedule.requests() {
        let due = schedule.due(number);
        let wait = due.saturating_sub(start.elapsed());
        // Also without a wait it sees that it is to stop.
        if stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        lateness.add(start.elapsed().saturating_sub(due));
        queue.offer(DueRequest { number, due });
    }
    lateness
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn schedule(rate: u32, lasts: Duration) -> SendSchedule {
        let rate = NonZeroU32::new(rate).unwrap();
        SendSchedule { rate, records: NonZeroU32::MIN, lasts }
    }

    #[test]
    fn every_request_is_offered_and_none_before_it_is_due() {
        let (queue, (_running, stop)) = (DueQueue::new(1_000), channel());
        let schedule = schedule(10_000, Duration::from_millis(50));
        let start = Instant::now();
        let lateness = run(schedule, start, &queue, &stop);
        assert!(schedule.due(499) <= start.elapsed());
        assert_eq!((queue.offered(), lateness.percentiles().count), (500, 500));
    }

    #[test]
    fn after_a_pause_all_that_was_due_meanwhile_is_offered_at_once() {
        let (queue, (_running, stop)) = (DueQueue::new(1_000), channel());
        let start = Instant::now().checked_sub(Duration::from_millis(500)).unwrap();
        let lateness = run(schedule(1_000, Duration::from_millis(400)), start, &queue, &stop);
        assert_eq!((queue.offered(), queue.in_flight()), (400, 400));
        assert!(Duration::from_millis(101) <= lateness.percentiles().p50);
    }

    #[test]
    fn it_ends_early_when_it_is_told_to() {
        let (queue, (running, stop)) = (DueQueue::new(1_000), channel());
        drop(running);
        run(schedule(1, Duration::from_hours(1)), Instant::now(), &queue, &stop);
        assert_eq!(queue.offered(), 0);
    }
}
