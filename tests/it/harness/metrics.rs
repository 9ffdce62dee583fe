//! Reads the Prometheus text, and the ledger in it.

use std::collections::BTreeMap;

use gophership::event::Bucket;

/// All metrics at one moment.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum of a metric of whole numbers over all series that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        self.values(name, labels).map(|value| value.parse::<i64>().unwrap()).sum()
    }

    /// The sum of a metric in seconds, or of ratios.
    pub(crate) fn real_sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values(name, labels).map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Whether there is a series of a metric that has these labels.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.values(name, labels).next().is_some()
    }

    fn values<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a str> {
        let has_labels = move |series: &str| {
            labels.iter().all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        let of_line = move |line: &'a str| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name) && has_labels(series)).then_some(value)
        };
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(of_line)
    }

    /// The sum of the pressures with these labels; 1 is the limit of one.
    pub(crate) fn pressure(&self, labels: &[(&str, &str)]) -> f64 {
        self.real_sum("gophership_somatic_pressure_ratio", labels)
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
