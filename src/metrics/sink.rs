//! The figures of a sink.

use prometheus::IntCounter;
use prometheus::IntCounterVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The counters of one sink.
#[derive(Clone)]
pub struct SinkMetrics {
    /// Requests delivered.
    pub requests: IntCounter,
    /// Records delivered.
    pub records: IntCounter,
    /// Bytes delivered, before compression.
    pub bytes: IntCounter,
    /// Failed attempts that the sink retries.
    pub retries: IntCounter,
    /// Requests that the backend refused for good.
    pub rejected: IntCounter,
    /// Records that the backend said it rejected of requests that it took.
    pub partially_rejected: IntCounter,
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
    retries: IntCounterVec,
    rejected: IntCounterVec,
    partially_rejected: IntCounterVec,
}

impl Builder {
    pub(super) fn sinks(&self) -> SinkFamilies {
        let counter = |name: &str, help: &str| self.counter(name, &["sink"], help);
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
            retries: counter("sink_retries_total", "Failed attempts that the sink retries."),
            rejected: counter("sink_rejected_total", "Requests that the backend rejected."),
            partially_rejected: counter(
                "sink_partially_rejected_records_total",
                "Records rejected by the backend in requests that it accepted.",
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
        SinkMetrics {
            requests: families.requests.with_label_values(&[id]),
            records: families.records.with_label_values(&[id]),
            bytes: families.bytes.with_label_values(&[id]),
            retries: families.retries.with_label_values(&[id]),
            rejected: families.rejected.with_label_values(&[id]),
            partially_rejected: families.partially_rejected.with_label_values(&[id]),
        }
    }
}
