//! The figures of what vaults keep for each sink.

use std::time::Duration;

use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::core::Collector;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// What a vault keeps for one sink.
#[derive(Clone)]
pub struct SinkBacklogMetrics {
    requests: IntGauge,
    records: IntGauge,
    bytes: IntGauge,
    seconds: Gauge,
    oldest_seconds: Gauge,
    began: Gauge,
    ended: Gauge,
}

impl SinkBacklogMetrics {
    /// Shows what waits, and for how long some of it has.
    pub fn set(&self, waits: &BacklogFigures) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.requests.set(gauge(waits.requests));
        self.records.set(gauge(waits.records));
        self.bytes.set(gauge(waits.bytes));
        self.seconds.set(waits.age.as_secs_f64());
        self.oldest_seconds.set(waits.oldest.as_secs_f64());
        self.began.set(seconds_of_ms(waits.began_unix_ms));
        self.ended.set(seconds_of_ms(waits.ended_unix_ms));
    }
}

/// What a vault keeps for one sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogFigures {
    /// Requests, at most.
    pub requests: u64,
    /// Records in them, estimated.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// For how long it has kept requests without a break.
    pub age: Duration,
    /// The age of the oldest of them, estimated.
    pub oldest: Duration,
    /// When it last began to keep requests for longer than a moment, in milliseconds since 1970; 0 for never in this
    /// process.
    pub began_unix_ms: u64,
    /// When it last had delivered all of them, in the same form.
    pub ended_unix_ms: u64,
}

fn seconds_of_ms(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

pub(super) struct BacklogFamilies {
    requests: IntGaugeVec,
    records: IntGaugeVec,
    bytes: IntGaugeVec,
    seconds: GaugeVec,
    oldest: GaugeVec,
    began: GaugeVec,
    ended: GaugeVec,
}

impl Builder {
    pub(super) fn backlogs(&self) -> BacklogFamilies {
        let gauge = |name: &str, help: &str| self.gauge(name, &["sink"], help);
        BacklogFamilies {
            requests: gauge(
                "sink_backlog_requests",
                "Requests that the vault keeps for a sink; the true number may be lower.",
            ),
            records: gauge(
                "sink_backlog_records",
                "Records in the requests that the vault keeps for a sink, estimated from the requests that the replay has read.",
            ),
            bytes: gauge(
                "sink_backlog_bytes",
                "Bytes on disk of the requests that the vault keeps for a sink.",
            ),
            seconds: self.real_gauge(
                "sink_backlog_seconds",
                &["sink"],
                "For how long the vault has kept requests for a sink without a break.",
            ),
            oldest: self.real_gauge(
                "sink_backlog_oldest_seconds",
                &["sink"],
                "The age of the oldest request that the vault keeps for a sink, estimated; 0 without one.",
            ),
            began: self.real_gauge(
                "sink_backlog_began_timestamp_seconds",
                &["sink"],
                "When the vault last began to keep requests for a sink for longer than a second, in seconds \
                 since 1970; 0 for never since the start.",
            ),
            ended: self.real_gauge(
                "sink_backlog_ended_timestamp_seconds",
                &["sink"],
                "When the vault last had delivered everything that it kept for a sink, in seconds since \
                 1970; 0 for never since the start.",
            ),
        }
    }
}

impl Metrics {
    /// The figures of what a vault keeps for a sink.
    #[must_use]
    pub fn sink_backlog(&self, id: &str) -> SinkBacklogMetrics {
        let families = &self.backlogs;
        SinkBacklogMetrics {
            requests: families.requests.with_label_values(&[id]),
            records: families.records.with_label_values(&[id]),
            bytes: families.bytes.with_label_values(&[id]),
            seconds: families.seconds.with_label_values(&[id]),
            oldest_seconds: families.oldest.with_label_values(&[id]),
            began: families.began.with_label_values(&[id]),
            ended: families.ended.with_label_values(&[id]),
        }
    }

    /// What vaults keep for each sink, by its name, as it was shown last.
    #[must_use]
    pub fn sink_backlogs(&self) -> Vec<(String, BacklogFigures)> {
        let families = &self.backlogs;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        let ids = families.requests.collect().into_iter().flat_map(|mut it| it.take_metric());
        let sinks = ids.filter_map(|metric| Some(metric.get_label().first()?.value().to_owned()));
        let seconds = |gauge: Gauge| Duration::try_from_secs_f64(gauge.get()).unwrap_or_default();
        let millis = |gauge: Gauge| u64::try_from(seconds(gauge).as_millis()).unwrap_or(u64::MAX);
        let shown = |sink: String| {
            let of = &[sink.as_str()];
            let figures = BacklogFigures {
                requests: count(families.requests.with_label_values(of).get()),
                records: count(families.records.with_label_values(of).get()),
                bytes: count(families.bytes.with_label_values(of).get()),
                age: seconds(families.seconds.with_label_values(of)),
                oldest: seconds(families.oldest.with_label_values(of)),
                began_unix_ms: millis(families.began.with_label_values(of)),
                ended_unix_ms: millis(families.ended.with_label_values(of)),
            };
            (sink, figures)
        };
        sinks.map(shown).collect()
    }

    /// Takes away the figures of what a vault keeps for a sink that is gone.
    pub fn forget_sink_backlog(&self, id: &str) {
        let families = &self.backlogs;
        // One that is not there need not be taken away.
        let _removed = families.requests.remove_label_values(&[id]);
        let _removed = families.records.remove_label_values(&[id]);
        let _removed = families.bytes.remove_label_values(&[id]);
        let _removed = families.seconds.remove_label_values(&[id]);
        let _removed = families.oldest.remove_label_values(&[id]);
        let _removed = families.began.remove_label_values(&[id]);
        let _removed = families.ended.remove_label_values(&[id]);
    }
}
