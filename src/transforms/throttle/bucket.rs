//! How much may pass; pure.
//!
//! A bucket holds time. It fills as time goes by, up to the burst, and each record takes the time
//! that it has at the rate: at 100 records a second, 10 ms. A record that needs more than a full
//! bucket has passes when it is full, and leaves a debt.

use std::num::NonZeroU64;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Records of senders come a little out of order; time that goes back further has been set anew,
/// or a vault is read newest first.
const DISORDER_NS: u64 = 60 * SECOND_NS;

/// What passes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RefillRate {
    pub(super) records: Option<NonZeroU64>,
    pub(super) bytes: Option<NonZeroU64>,
}

/// What is left of one key's burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    /// Nanoseconds for records; negative in debt.
    records: i64,
    /// Nanoseconds for bytes.
    bytes: i64,
    /// The latest time seen, in nanoseconds since 1970.
    last_unix_ns: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) const fn full(burst_ns: i64, now_unix_ns: u64) -> Self {
        Self { records: burst_ns, bytes: burst_ns, last_unix_ns: now_unix_ns }
    }

    /// Takes one record of so many bytes; no if there is not enough left.
    pub(super) fn take(
        &mut self,
        rate: RefillRate,
        burst_ns: i64,
        now_unix_ns: u64,
        bytes: u64,
    ) -> bool {
        let passed = now_unix_ns.saturating_sub(self.last_unix_ns);
        if passed > 0 || self.last_unix_ns - now_unix_ns > DISORDER_NS {
            self.last_unix_ns = now_unix_ns;
        }
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        self.records = self.records.saturating_add(passed).min(burst_ns);
        self.bytes = self.bytes.saturating_add(passed).min(burst_ns);
        let (records_cost, bytes_cost) = (cost_ns(rate.records, 1), cost_ns(rate.bytes, bytes));
        let fits =
            records_cost.min(burst_ns) <= self.records && bytes_cost.min(burst_ns) <= self.bytes;
        if fits {
            self.records = self.records.saturating_sub(records_cost);
            self.bytes = self.bytes.saturating_sub(bytes_cost);
        }
        fits
    }
}

fn cost_ns(rate: Option<NonZeroU64>, count: u64) -> i64 {
    let Some(rate) = rate else { return 0 };
    let cost = u128::from(count) * u128::from(SECOND_NS) / u128::from(rate.get());
    i64::try_from(cost).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BURST_NS: i64 = 1_000_000_000;
    const START_UNIX_NS: u64 = 1_767_225_600 * SECOND_NS;

    fn rate(records: u64, bytes: u64) -> RefillRate {
        RefillRate { records: NonZeroU64::new(records), bytes: NonZeroU64::new(bytes) }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let mut bucket = TokenBucket::full(BURST_NS, START_UNIX_NS);
        let mut passed_at = |ms: u64| {
            let now = START_UNIX_NS + ms * 1_000_000;
            (0..100).filter(|_| bucket.take(rate(10, 0), BURST_NS, now, 1)).count()
        };
        assert_eq!(passed_at(0), 10);
        assert_eq!(passed_at(99), 0);
        assert_eq!(passed_at(100), 1);
        assert_eq!(passed_at(350), 2);
        assert_eq!(passed_at(60_000), 10);
    }

    #[test]
    fn bytes_count_too_and_a_record_larger_than_a_burst_leaves_a_debt() {
        let mut bucket = TokenBucket::full(BURST_NS, START_UNIX_NS);
        let mut take = |ms: u64, bytes: u64| {
            bucket.take(rate(1_000, 100), BURST_NS, START_UNIX_NS + ms * 1_000_000, bytes)
        };
        assert!(take(0, 60));
        assert!(!take(0, 60));
        assert!(take(0, 40));
        assert!(!take(999, 5_000));
        assert!(take(1_000, 5_000));
        assert!(!take(1_000, 1));
        assert!(!take(49_000, 1));
        assert!(take(50_100, 1));
    }

    #[test]
    fn time_that_goes_back_gives_nothing_and_does_not_stop_the_clock_for_ever() {
        let mut bucket = TokenBucket::full(BURST_NS, START_UNIX_NS);
        let mut passed_at =
            |now: u64| (0..100).filter(|_| bucket.take(rate(10, 0), BURST_NS, now, 1)).count();
        assert_eq!(passed_at(START_UNIX_NS), 10);
        assert_eq!(passed_at(START_UNIX_NS - SECOND_NS), 0);
        assert_eq!(passed_at(START_UNIX_NS), 0, "no time has gone by");
        let hour_ago = START_UNIX_NS - 3_600 * SECOND_NS;
        assert_eq!(passed_at(hour_ago), 0);
        assert_eq!(passed_at(hour_ago + SECOND_NS), 10);
    }

    proptest! {
        /// Whatever comes when, no more passes than the burst and the rate allow.
        #[test]
        fn no_more_passes_than_is_allowed(
            steps_ms in prop::collection::vec(0..300_u64, 1..400),
            per_second in 1..200_u64,
            burst_ms in 10..3_000_u32,
        ) {
            let burst_ns = i64::from(burst_ms) * 1_000_000;
            let mut bucket = TokenBucket::full(burst_ns, START_UNIX_NS);
            let (mut now, mut passed) = (START_UNIX_NS, 0);
            for step in &steps_ms {
                now += step * 1_000_000;
                passed += u64::from(bucket.take(rate(per_second, 0), burst_ns, now, 1));
            }
            let allowed = (now - START_UNIX_NS + u64::from(burst_ms) * 1_000_000) * per_second;
            prop_assert!(passed <= allowed / SECOND_NS + 1, "{passed}");
        }
    }
}
