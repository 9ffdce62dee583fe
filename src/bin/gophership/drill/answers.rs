//! How long answers took, summed up in percentiles.

use std::time::Duration;

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) count: u64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Answers {
    /// Sums up times in microseconds.
    pub(super) fn of(micros: Vec<u32>) -> Self {
        Self::of_runs(micros.into_iter().map(|micros| (micros, 1)).collect())
    }

    /// Sums up times in microseconds, each with how often there was it.
    pub(super) fn of_runs(mut runs: Vec<(u32, u32)>) -> Self {
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
        let answers = Answers::of((1..=1000).rev().collect());
        let micros = [answers.p50, answers.p99, answers.max].map(|time| time.as_micros());
        assert_eq!((answers.count, micros), (1000, [500, 990, 1000]));
        assert_eq!(Answers::of(vec![7]).p50, Duration::from_micros(7));
        assert_eq!(Answers::of(Vec::new()), Answers::default());
    }
}
