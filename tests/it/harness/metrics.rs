//! Reads the Prometheus text, and the ledger in it.

use std::collections::BTreeMap;

use gophership::event::Bucket;

/// All metrics at one moment.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum of a metric over all series that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let has_labels = |series: &str| {
            labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        let of_line = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_it = series.split('{').next() == Some(name) && has_labels(series);
            is_it.then(|| value.parse::<i64>().unwrap())
        };
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(of_line).sum()
    }

    /// 0 green, 1 yellow, 2 red.
    pub(crate) fn zone(&self) -> i64 {
        self.sum("gophership_ingester_zone", &[])
    }

    /// The ledger of a signal.
    pub(crate) fn books(&self, signal: &str) -> Books {
        let of = |bucket: &'static str| {
            let labels = [("signal", signal), ("bucket", bucket)];
            (bucket, self.sum("gophership_ledger_records", &labels))
        };
        Books(
            Bucket::ALL
                .iter()
                .map(|bucket| of(bucket.name()))
                .filter(|(_, count)| *count != 0)
                .collect(),
        )
    }
}

/// The ledger of one signal: buckets that are not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Books(BTreeMap<&'static str, i64>);

impl Books {
    /// What a test expects.
    pub(crate) fn of(buckets: &[(&'static str, i64)]) -> Self {
        Self(buckets.iter().copied().filter(|(_, count)| *count != 0).collect())
    }

    pub(crate) fn count(&self, bucket: &str) -> i64 {
        self.0.get(bucket).copied().unwrap_or(0)
    }

    /// Origins less destinations.
    pub(crate) fn imbalance(&self) -> i64 {
        let origins = ["received", "recovered", "copies"];
        let part = |(bucket, count): (&&str, &i64)| {
            if origins.contains(bucket) { *count } else { -count }
        };
        self.0.iter().map(part).sum()
    }
}
