//! What is pure of a client: the records that come whether or not anybody is ready, and the bounded queue.
//!
//! Source: OpenTelemetry specification, "Batching processor" of the Logs SDK: `maxQueueSize` 2048,
//! `maxExportBatchSize` 512, `scheduledDelayMillis` 1000; when the queue is full, records are dropped.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::records::SHAPES;

/// Records that wait for an export.
pub const QUEUE_LEN_MAX: u32 = 2048;
/// Records in an export.
pub const EXPORT_LEN_MAX: u32 = 512;
const _: () = assert!(EXPORT_LEN_MAX as usize == SHAPES);

/// When which record comes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first one comes.
    pub start: Instant,
    /// How many come in a second.
    pub per_second: f64,
}

impl Schedule {
    /// How many records have come by `now`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of records, at most u32::MAX: casts of floats saturate"
    )]
    pub(crate) fn due(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.start).as_secs_f64() * self.per_second) as u32
    }

    /// When so many have come.
    pub(crate) fn when(&self, records: u32) -> Instant {
        self.start + Duration::from_secs_f64(f64::from(records) / self.per_second)
    }
}

/// The queue of one client.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Range<u32>>,
    len: u32,
    /// Records that came so far; the next one has this number.
    offered: u32,
    dropped: u64,
}

impl Queue {
    /// Lets records come until so many have; what finds no room is dropped. Between two calls nothing
    /// is taken out, so it makes no difference that they come at once.
    pub(crate) fn feed(&mut self, due: u32) {
        let new = due.saturating_sub(self.offered);
        let kept = new.min(QUEUE_LEN_MAX - self.len);
        match self.waiting.back_mut() {
            Some(back) if back.end == self.offered => back.end += kept,
            _ if kept > 0 => self.waiting.push_back(self.offered..self.offered + kept),
            _ => {}
        }
        self.len += kept;
        self.dropped += u64::from(new - kept);
        self.offered += new;
    }

    /// Takes the records of one export.
    pub(crate) fn take(&mut self) -> Vec<Range<u32>> {
        let mut taken = Vec::new();
        let mut room = EXPORT_LEN_MAX;
        while room > 0
            && let Some(front) = self.waiting.front_mut()
        {
            let len = (front.end - front.start).min(room);
            taken.push(front.start..front.start + len);
            front.start += len;
            room -= len;
            self.len -= len;
            if front.start == front.end {
                self.waiting.pop_front();
            }
        }
        taken
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn offered(&self) -> u32 {
        self.offered
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The oldest record that waits, or the next one.
    pub(crate) fn oldest(&self) -> u32 {
        self.waiting.front().map_or(self.offered, |front| front.start)
    }

    /// When the next export is due if none was made since `flush_at` less the delay.
    pub(crate) fn ready_at(&self, schedule: &Schedule, flush_at: Instant) -> Instant {
        let lacking = EXPORT_LEN_MAX.saturating_sub(self.len);
        schedule.when(self.offered + lacking).min(flush_at)
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "an export is a list of ranges, often of one")]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_what_comes_and_keeps_what_it_has() {
        let mut queue = Queue::default();
        queue.feed(2_000);
        assert_eq!(queue.take(), [0..512]);
        queue.feed(4_000);
        assert_eq!((queue.len(), queue.offered(), queue.dropped()), (2_048, 4_000, 1_440));
        for _ in 0..2 {
            queue.take();
        }
        assert_eq!((queue.oldest(), queue.len()), (1_536, 1_024));
        queue.feed(4_100);
        assert_eq!(queue.take(), [1_536..2_048]);
        assert_eq!(queue.take(), [2_048..2_560]);
        assert_eq!(queue.take(), [4_000..4_100]);
        assert_eq!((queue.take(), queue.oldest(), queue.len()), (Vec::new(), 4_100, 0));
        assert_eq!(queue.dropped(), 1_440);
    }

    #[test]
    fn records_come_at_their_time_and_a_full_export_does_not_wait() {
        let start = Instant::now();
        let schedule = Schedule { start, per_second: 1_000.0 };
        assert_eq!(schedule.due(start - Duration::from_secs(1)), 0);
        assert_eq!(schedule.due(start + Duration::from_millis(2_500)), 2_500);
        let mut queue = Queue::default();
        queue.feed(12);
        let late = start + Duration::from_mins(1);
        assert_eq!(queue.ready_at(&schedule, late), start + Duration::from_millis(512));
        let soon = start + Duration::from_millis(100);
        assert_eq!(queue.ready_at(&schedule, soon), soon);
    }
}
