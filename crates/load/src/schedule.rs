//! When requests are due, whatever became of the requests before.

use std::num::NonZeroU32;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The schedule: request `n` is due `n * records / rate` seconds after the start.
#[derive(Clone, Copy, Debug)]
pub struct SendSchedule {
    /// Records a second.
    pub rate: NonZeroU32,
    /// Records in a request.
    pub records: NonZeroU32,
    /// For how long requests become due.
    pub lasts: Duration,
}

impl SendSchedule {
    /// After what time from the start a request is due. It is computed from the number of the request, so that
    /// nothing adds up.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * self.nanos_times_rate() / u128::from(self.rate.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests are due in all: those that are due before the end.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let sent = self.lasts.as_nanos() * u128::from(self.rate.get());
        u64::try_from(sent.div_ceil(self.nanos_times_rate())).unwrap_or(u64::MAX)
    }

    /// The time between two requests in nanoseconds, times the rate.
    fn nanos_times_rate(&self) -> u128 {
        u128::from(self.records.get()) * NANOS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: u32, records: u32, millis: u64) -> SendSchedule {
        let [rate, records] = [rate, records].map(|number| NonZeroU32::new(number).unwrap());
        SendSchedule { rate, records, lasts: Duration::from_millis(millis) }
    }

    #[test]
    fn requests_are_due_at_fixed_times() {
        let schedule = schedule(20_000, 100, 30_000);
        assert_eq!(schedule.requests(), 6_000);
        let due = [0, 1, 2, 5_999].map(|number| schedule.due(number).as_micros());
        assert_eq!(due, [0, 5_000, 10_000, 29_995_000]);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_adds_no_error_up() {
        let schedule = schedule(3, 1, 3_600_000);
        assert_eq!(schedule.requests(), 10_800);
        assert_eq!(schedule.due(1).as_nanos(), 333_333_333);
        assert_eq!(schedule.due(10_797), Duration::from_secs(3_599));
    }

    #[test]
    fn a_request_larger_than_the_rate_is_due_less_than_once_a_second() {
        let schedule = schedule(50, 100, 5_000);
        assert_eq!((schedule.requests(), schedule.due(2)), (3, Duration::from_secs(4)));
        assert_eq!(self::schedule(50, 100, 1).requests(), 1);
    }

    #[test]
    fn the_last_request_is_due_before_the_end() {
        for (rate, records, millis) in [(7, 3, 1_000), (1_000_000, 1, 3), (999, 1_000, 2_500)] {
            let schedule = schedule(rate, records, millis);
            let requests = schedule.requests();
            assert!(schedule.due(requests - 1) < schedule.lasts, "{schedule:?}");
            assert!(schedule.lasts <= schedule.due(requests), "{schedule:?}");
        }
    }
}
