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

pub(super) struct SinkFamilies {
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
