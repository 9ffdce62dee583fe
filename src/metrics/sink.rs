//! The figures of a sink.

use std::time::Duration;

use gophership_units::unix_ns;
use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::Histogram;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::core::Collector;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The bounds of the time until a request is delivered, in seconds: up to a day in the vault.
const DELIVERY_BOUNDS: [f64; 21] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0,
    300.0, 600.0, 1_800.0, 7_200.0, 86_400.0,
];

/// The counters of one sink.
#[derive(Clone)]
pub struct SinkMetrics {
    requests: IntCounter,
    records: IntCounter,
    bytes: IntCounter,
    delivery: Histogram,
    last_delivery: Gauge,
    /// Failed attempts that the sink retries.
    pub retries: IntCounter,
    /// Requests that the backend refused for good.
    pub rejected: IntCounter,
    /// Records that the backend said it rejected of requests that it took.
    pub partially_rejected: IntCounter,
    /// Whether it accepts any certificate of its backend.
    pub unverified: IntGauge,
}

impl SinkMetrics {
    /// Counts a request that was delivered: its records without those that the backend rejected, its bytes before
    /// compression, and when each of the requests in it was received, in nanoseconds since 1970.
    pub fn deliver(&self, records: u64, bytes: u64, received: impl IntoIterator<Item = u64>) {
        self.requests.inc();
        self.records.inc_by(records);
        self.bytes.inc_by(bytes);
        let now = unix_ns();
        for received in received {
            self.delivery.observe(seconds(now.saturating_sub(received)));
        }
        self.last_delivery.set(seconds(now));
    }
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

/// The counters of a sink that writes files.
#[derive(Clone)]
pub struct FileMetrics {
    /// Files opened again because they were moved or removed.
    pub reopened: IntCounter,
    /// Bytes of lines that were in files when these were removed.
    pub removed_bytes: IntCounter,
}

/// What a vault keeps for one sink.
#[derive(Clone)]
pub struct SinkBacklogMetrics {
    requests: IntGauge,
    records: IntGauge,
    bytes: IntGauge,
    seconds: Gauge,
}

impl SinkBacklogMetrics {
    /// Shows how many requests, records and bytes wait, and for how long some have.
    pub fn set(&self, requests: u64, records: u64, bytes: u64, age: Duration) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.requests.set(gauge(requests));
        self.records.set(gauge(records));
        self.bytes.set(gauge(bytes));
        self.seconds.set(age.as_secs_f64());
    }
}

/// What a vault keeps for one sink, as it was shown last.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkBacklog {
    /// The sink.
    pub sink: String,
    /// Requests, at most.
    pub requests: u64,
    /// Records in them, estimated.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// For how long it has kept requests without a break.
    pub age: Duration,
}

pub(super) struct SinkFamilies {
    backlog_requests: IntGaugeVec,
    backlog_records: IntGaugeVec,
    backlog_bytes: IntGaugeVec,
    backlog_seconds: GaugeVec,
    reopened: IntCounterVec,
    removed_bytes: IntCounterVec,
    requests: IntCounterVec,
    records: IntCounterVec,
    bytes: IntCounterVec,
    delivery: HistogramVec,
    last_delivery: GaugeVec,
    retries: IntCounterVec,
    rejected: IntCounterVec,
    partially_rejected: IntCounterVec,
    unverified: IntGaugeVec,
}

impl Builder {
    pub(super) fn sinks(&self) -> SinkFamilies {
        let counter = |name: &str, help: &str| self.counter(name, &["sink"], help);
        let gauge = |name: &str, help: &str| self.gauge(name, &["sink"], help);
        SinkFamilies {
            backlog_requests: gauge(
                "sink_backlog_requests",
                "Requests that the vault keeps for a sink; the true number may be lower.",
            ),
            backlog_records: gauge(
                "sink_backlog_records",
                "Records in the requests that the vault keeps for a sink, estimated from the \
                 requests that the replay has read.",
            ),
            backlog_bytes: gauge(
                "sink_backlog_bytes",
                "Bytes on disk of the requests that the vault keeps for a sink.",
            ),
            backlog_seconds: self.real_gauge(
                "sink_backlog_seconds",
                &["sink"],
                "For how long the vault has kept requests for a sink without a break.",
            ),
            reopened: counter(
                "sink_files_reopened_total",
                "Files that a sink created again because they were moved or removed.",
            ),
            removed_bytes: counter(
                "sink_removed_bytes_total",
                "Bytes in files that were removed while a sink wrote to them.",
            ),
            requests: counter("sink_requests_total", "Requests delivered."),
            records: counter("sink_records_total", "Records delivered."),
            bytes: counter("sink_sent_bytes_total", "Protobuf bytes delivered."),
            delivery: self.histogram(
                "sink_delivery_seconds",
                &["sink"],
                &DELIVERY_BOUNDS,
                "Time from receiving a request until the sink has delivered it, with its time in a \
                 vault.",
            ),
            last_delivery: self.real_gauge(
                "sink_last_delivery_timestamp_seconds",
                &["sink"],
                "When the sink last delivered a request, in seconds since 1970; at first when it \
                 was built. `time()` minus this is the time without a delivery.",
            ),
            retries: counter("sink_retries_total", "Failed attempts that the sink retries."),
            rejected: counter("sink_rejected_total", "Requests that the backend rejected."),
            partially_rejected: counter(
                "sink_partially_rejected_records_total",
                "Records rejected by the backend in requests that it accepted.",
            ),
            unverified: gauge(
                "sink_tls_unverified",
                "1 while a sink accepts any certificate of its backend (insecure_skip_verify).",
            ),
        }
    }
}

impl Metrics {
    /// The counters of a sink that writes files.
    #[must_use]
    pub fn sink_file(&self, id: &str) -> FileMetrics {
        FileMetrics {
            reopened: self.sinks.reopened.with_label_values(&[id]),
            removed_bytes: self.sinks.removed_bytes.with_label_values(&[id]),
        }
    }

    /// The figures of what a vault keeps for a sink.
    #[must_use]
    pub fn sink_backlog(&self, id: &str) -> SinkBacklogMetrics {
        let families = &self.sinks;
        SinkBacklogMetrics {
            requests: families.backlog_requests.with_label_values(&[id]),
            records: families.backlog_records.with_label_values(&[id]),
            bytes: families.backlog_bytes.with_label_values(&[id]),
            seconds: families.backlog_seconds.with_label_values(&[id]),
        }
    }

    /// What vaults keep for each sink, as it was shown last.
    #[must_use]
    pub fn sink_backlogs(&self) -> Vec<SinkBacklog> {
        let families = &self.sinks;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        let ids =
            families.backlog_requests.collect().into_iter().flat_map(|mut it| it.take_metric());
        let sinks = ids.filter_map(|metric| Some(metric.get_label().first()?.value().to_owned()));
        let shown = |sink: String| {
            let of = &[sink.as_str()];
            SinkBacklog {
                requests: count(families.backlog_requests.with_label_values(of).get()),
                records: count(families.backlog_records.with_label_values(of).get()),
                bytes: count(families.backlog_bytes.with_label_values(of).get()),
                age: Duration::from_secs_f64(families.backlog_seconds.with_label_values(of).get()),
                sink,
            }
        };
        sinks.map(shown).collect()
    }

    /// Takes away the figures of what a vault keeps for a sink that is gone.
    pub fn forget_sink_backlog(&self, id: &str) {
        let families = &self.sinks;
        // One that is not there need not be taken away.
        let _removed = families.backlog_requests.remove_label_values(&[id]);
        let _removed = families.backlog_records.remove_label_values(&[id]);
        let _removed = families.backlog_bytes.remove_label_values(&[id]);
        let _removed = families.backlog_seconds.remove_label_values(&[id]);
    }

    /// The counters of a sink.
    #[must_use]
    pub fn sink(&self, id: &str) -> SinkMetrics {
        let families = &self.sinks;
        let last_delivery = families.last_delivery.with_label_values(&[id]);
        if last_delivery.get() == 0.0 {
            last_delivery.set(seconds(unix_ns()));
        }
        SinkMetrics {
            delivery: families.delivery.with_label_values(&[id]),
            last_delivery,
            requests: families.requests.with_label_values(&[id]),
            records: families.records.with_label_values(&[id]),
            bytes: families.bytes.with_label_values(&[id]),
            retries: families.retries.with_label_values(&[id]),
            rejected: families.rejected.with_label_values(&[id]),
            partially_rejected: families.partially_rejected.with_label_values(&[id]),
            unverified: families.unverified.with_label_values(&[id]),
        }
    }
}
