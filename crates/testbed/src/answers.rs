//! How long answers took, summed up in percentiles.

use std::time::Duration;

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencySummary {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}

impl LatencySummary {
    /// Sums up times in microseconds.
    #[must_use]
    pub fn of(micros: Vec<u32>) -> Self {
        Self::of_runs(micros.into_iter().map(|micros| (micros, 1)).collect())
    }

    /// Sums up times in microseconds, each with how often there was it.
    #[must_use]
    pub fn of_runs(mut runs: Vec<(u32, u32)>) -> Self {
        runs.sort_unstable();
        let total: u64 = runs.iter().map(|(_, count)| u64::from(*count)).sum();
        // The smallest time that so many of a hundred do not exceed.
        let rank = |percent: u64| {
            let wanted = (total * percent).div_ceil(100);
            let mut below = 0;
            let found = runs.iter().find(|(_, count)| {
                below += u64::from(*count);
                wanted <= below
            });
            Duration::from_micros(found.map_or(0, |(micros, _)| *micros).into())
        };
        Self { count: total, p50: rank(50), p99: rank(99), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let answers = LatencySummary::of((1..=1000).rev().collect());
        let micros = [answers.p50, answers.p99, answers.max].map(|time| time.as_micros());
        assert_eq!((answers.count, micros), (1000, [500, 990, 1000]));
        assert_eq!(LatencySummary::of(vec![7]).p50, Duration::from_micros(7));
        assert_eq!(LatencySummary::of(Vec::new()), LatencySummary::default());
    }
}
