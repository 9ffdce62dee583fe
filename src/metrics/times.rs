//! How long things took that every request does, as a histogram that costs two counts for each.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::ns_of;
use prometheus::proto;

/// Each histogram has so many buckets, and one for what takes longer.
const BUCKETS: usize = 21;

/// The upper bounds of the buckets in microseconds.
pub(super) struct Bounds([u32; BUCKETS]);

impl Bounds {
    /// Of the way to a place: what is of interest lies between a copy and a slow disk.
    pub(super) const PLACEMENT: Self = Self([
        1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1_000, 2_000, 3_000, 5_000,
        7_000, 10_000,
    ]);
    /// Of answers: from a backend on the same host to the longest time that a sender may be told to wait.
    pub(super) const ANSWER: Self = Self([
        500,
        1_000,
        2_000,
        5_000,
        10_000,
        20_000,
        50_000,
        100_000,
        200_000,
        500_000,
        1_000_000,
        2_000_000,
        5_000_000,
        10_000_000,
        20_000_000,
        30_000_000,
        60_000_000,
        120_000_000,
        300_000_000,
        600_000_000,
        1_800_000_000,
    ]);
}

/// How often which time was taken, on one stripe.
#[derive(Debug, Default)]
pub(super) struct Times {
    counts: [AtomicU64; BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Times {
    /// Counts a time; all of one histogram with the same bounds.
    pub(super) fn count(&self, bounds: &Bounds, taken: Duration) {
        let ns = ns_of(taken);
        let bucket = bounds.0.partition_point(|bound| u64::from(*bound) * 1_000 < ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Adds stripes up, in the form in which metrics are shown.
    pub(super) fn total<'a>(
        bounds: &Bounds,
        stripes: impl Iterator<Item = &'a Self>,
    ) -> proto::Histogram {
        let (mut counts, mut sum_ns) = ([0; BUCKETS + 1], 0);
        for stripe in stripes {
            for (total, count) in counts.iter_mut().zip(&stripe.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum_ns += stripe.sum_ns.load(Ordering::Relaxed);
        }
        let mut cumulative = 0;
        let buckets = bounds.0.iter().zip(counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(f64::from(*bound) / 1e6);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(Duration::from_nanos(sum_ns).as_secs_f64());
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_below_the_first_bound_that_is_not_smaller() {
        let (one, other) = (Times::default(), Times::default());
        one.count(&Bounds::PLACEMENT, Duration::from_micros(500));
        other.count(&Bounds::PLACEMENT, Duration::from_nanos(500_001));
        other.count(&Bounds::PLACEMENT, Duration::from_secs(1));
        let total = Times::total(&Bounds::PLACEMENT, [&one, &other].into_iter());
        let below = |bound: f64| {
            let is_it = |bucket: &&proto::Bucket| (bucket.upper_bound() - bound).abs() < 1e-9;
            total.get_bucket().iter().find(is_it).unwrap().cumulative_count()
        };
        assert_eq!((below(300e-6), below(500e-6), below(700e-6), below(10e-3)), (0, 1, 2, 2));
        assert_eq!(total.get_sample_count(), 3);
        assert!((total.get_sample_sum() - 1.001_000_001).abs() < 1e-9);
    }

    #[test]
    fn bounds_rise_and_answers_are_told_apart_up_to_minutes() {
        for Bounds(bounds) in [Bounds::PLACEMENT, Bounds::ANSWER] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
        let times = Times::default();
        times.count(&Bounds::ANSWER, Duration::from_secs(90));
        times.count(&Bounds::ANSWER, Duration::from_mins(4));
        let total = Times::total(&Bounds::ANSWER, [&times].into_iter());
        let counts: Vec<u64> =
            total.get_bucket().iter().rev().take(5).map(proto::Bucket::cumulative_count).collect();
        assert_eq!(counts, [2, 2, 2, 1, 0], "1800, 600, 300, 120 and 60 seconds");
    }
}
