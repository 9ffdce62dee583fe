//! Latencies of any number of requests in bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What takes longer counts as this long.
const LONGEST: Duration = Duration::from_hours(1);
/// Of each figure; the others are rounded up.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies, each to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let longest = micros(LONGEST);
        let histogram = Histogram::new_with_bounds(1, longest, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are in order, and three digits are allowed"))
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency));
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Sums them up.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| Duration::from_micros(self.0.value_at_quantile(quantile));
        Percentiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(self.0.max()),
        }
    }
}

/// Latencies, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half of them were no longer.
    pub p50: Duration,
    /// 90 of 100 were no longer.
    pub p90: Duration,
    /// 99 of 100 were no longer.
    pub p99: Duration,
    /// 999 of 1,000 were no longer.
    pub p999: Duration,
    /// None was longer.
    pub max: Duration,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        for millis in (1..=1_000).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let Percentiles { count, p50, p90, p99, p999, max } = latencies.percentiles();
        assert_eq!(count, 1_000);
        for (found, wanted) in [(p50, 500), (p90, 900), (p99, 990), (p999, 999), (max, 1_000)] {
            let wanted = Duration::from_millis(wanted);
            assert!(wanted <= found && found <= wanted.mul_f64(1.001), "{found:?} {wanted:?}");
        }
    }

    #[test]
    fn what_takes_longer_than_an_hour_counts_as_an_hour() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::from_hours(30));
        let max = latencies.percentiles().max;
        assert!(LONGEST <= max && max < LONGEST.mul_f64(1.001), "{max:?}");
        latencies.clear();
        assert_eq!(latencies.percentiles(), Percentiles::default());
    }
}
