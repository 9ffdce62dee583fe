//! How long requests take to their place, as a histogram that costs two counts for each.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::ns_of;
use prometheus::proto;

/// Where a request was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PlacedIn {
    /// In every edge of its route.
    Edges,
    /// In a vault's staging memory.
    Vault,
}

impl PlacedIn {
    pub(super) const ALL: [Self; 2] = [Self::Edges, Self::Vault];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Edges => "edges",
            Self::Vault => "vault",
        }
    }
}

/// Upper bounds in microseconds: what is of interest lies between a copy and a slow disk.
const BOUNDS_MICROS: [u32; 21] = [
    1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1_000, 2_000, 3_000, 5_000, 7_000,
    10_000,
];

/// How often which time was taken, on one stripe.
#[derive(Debug, Default)]
pub(super) struct Times {
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_ns: AtomicU64,
}

impl Times {
    pub(super) fn count(&self, taken: Duration) {
        let ns = ns_of(taken);
        let bucket = BOUNDS_MICROS.partition_point(|bound| u64::from(*bound) * 1_000 < ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Adds stripes up, in the form in which metrics are shown.
    pub(super) fn total<'a>(stripes: impl Iterator<Item = &'a Self>) -> proto::Histogram {
        let (mut counts, mut sum_ns) = ([0; BOUNDS_MICROS.len() + 1], 0);
        for stripe in stripes {
            for (total, count) in counts.iter_mut().zip(&stripe.counts) {
                *total += count.load(Ordering::Relaxed);
            }
            sum_ns += stripe.sum_ns.load(Ordering::Relaxed);
        }
        let mut cumulative = 0;
        let buckets = BOUNDS_MICROS.iter().zip(counts).map(|(bound, count)| {
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
        one.count(Duration::from_micros(500));
        other.count(Duration::from_nanos(500_001));
        other.count(Duration::from_secs(1));
        let total = Times::total([&one, &other].into_iter());
        let below = |bound: f64| {
            let is_it = |bucket: &&proto::Bucket| (bucket.upper_bound() - bound).abs() < 1e-9;
            total.get_bucket().iter().find(is_it).unwrap().cumulative_count()
        };
        assert_eq!((below(300e-6), below(500e-6), below(700e-6), below(10e-3)), (0, 1, 2, 2));
        assert_eq!(total.get_sample_count(), 3);
        assert!((total.get_sample_sum() - 1.001_000_001).abs() < 1e-9);
    }
}
