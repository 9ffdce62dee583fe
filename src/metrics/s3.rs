//! The figures of a sink that writes to a bucket.

use std::time::Duration;

use prometheus::GaugeVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::core::Collector;
use prometheus::proto::LabelPair;
use prometheus::proto::Metric;
use prometheus::proto::MetricFamily;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The counters and gauges of one `s3` sink.
#[derive(Clone)]
pub struct S3Metrics {
    id: String,
    /// Requests by sink, operation and outcome.
    requests: IntCounterVec,
    /// Failures by sink and reason.
    failures: IntCounterVec,
    /// Segments given up by sink and reason.
    skipped: IntCounterVec,
    /// What an operator must look at, by sink and reason.
    alarms: IntGaugeVec,
    /// Age of the oldest segment that is not in the bucket.
    lag_seconds: GaugeVec,
    /// Bytes sent, repeated ones too.
    pub sent_bytes: IntCounter,
    /// Objects that are confirmed.
    pub objects: IntCounter,
    /// Bytes of these before compression.
    pub raw_bytes: IntCounter,
    /// Bytes of these.
    pub object_bytes: IntCounter,
    /// Segments that are complete in the bucket.
    pub segments: IntCounter,
    /// Segments that are not.
    pub lag_segments: IntGauge,
    /// Their bytes on disk.
    pub lag_bytes: IntGauge,
    /// Whether the bucket is out.
    pub is_out: IntGauge,
    /// Bytes of the objects that are being uploaded.
    pub uploading_bytes: IntGauge,
    /// Those of them that were sent.
    pub uploading_sent_bytes: IntGauge,
    /// Uploads in parts that were given up.
    pub swept: IntCounter,
}

impl S3Metrics {
    /// Counts a request.
    pub fn request(&self, operation: &str, outcome: &str) {
        self.requests.with_label_values(&[self.id.as_str(), operation, outcome]).inc();
    }

    /// Counts a failure.
    pub fn failure(&self, reason: &str) {
        self.failures.with_label_values(&[self.id.as_str(), reason]).inc();
    }

    /// Counts a segment that is given up.
    pub fn skip(&self, reason: &str) {
        self.skipped.with_label_values(&[self.id.as_str(), reason]).inc();
    }

    /// Sets how many things there are that an operator must look at.
    pub fn alarm(&self, reason: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.alarms.with_label_values(&[self.id.as_str(), reason]).set(count);
    }

    /// Returns what an operator must look at now: reasons, and how many things for each.
    #[must_use]
    pub fn alarms(&self) -> Vec<(String, u64)> {
        let families = self.alarms.collect();
        let count = |reason: &str| {
            let count = self.alarms.with_label_values(&[self.id.as_str(), reason]).get();
            u64::try_from(count).unwrap_or(0)
        };
        let metrics = families.iter().flat_map(MetricFamily::get_metric);
        metrics
            .filter(|metric| label(metric, "sink") == Some(self.id.as_str()))
            .filter_map(|metric| label(metric, "reason"))
            .map(|reason| (reason.to_owned(), count(reason)))
            .filter(|(_, count)| 0 < *count)
            .collect()
    }

    /// Sets the age of the oldest segment that is not in the bucket.
    pub fn lag_seconds(&self, seconds: f64) {
        self.lag_seconds.with_label_values(&[self.id.as_str()]).set(seconds);
    }

    /// Returns the age of the oldest segment that is not in the bucket.
    #[must_use]
    pub fn oldest_age(&self) -> Duration {
        let seconds = self.lag_seconds.with_label_values(&[self.id.as_str()]).get();
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

pub(super) struct S3Families {
    requests: IntCounterVec,
    failures: IntCounterVec,
    skipped: IntCounterVec,
    alarms: IntGaugeVec,
    lag_seconds: GaugeVec,
    sent_bytes: IntCounterVec,
    objects: IntCounterVec,
    raw_bytes: IntCounterVec,
    object_bytes: IntCounterVec,
    segments: IntCounterVec,
    lag_segments: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    is_out: IntGaugeVec,
    uploading_bytes: IntGaugeVec,
    uploading_sent_bytes: IntGaugeVec,
    swept: IntCounterVec,
}

impl Builder {
    pub(super) fn s3(&self) -> S3Families {
        let gauge = |name: &str, help: &str| self.gauge(name, &["sink"], help);
        let counter = |name: &str, help: &str| self.counter(name, &["sink"], help);
        let by = |name: &str, labels: &[&str], help: &str| self.counter(name, labels, help);
        S3Families {
            requests: by(
                "s3_requests_total",
                &["sink", "operation", "outcome"],
                "Requests to the bucket.",
            ),
            failures: by(
                "s3_failures_total",
                &["sink", "reason"],
                "Failed requests, and objects that were missing or damaged after the upload. The \
                 sink retries.",
            ),
            skipped: by(
                "s3_skipped_segments_total",
                &["sink", "reason"],
                "Segments that the sink did not upload because the vault has set them aside, or \
                 they are damaged or gone.",
            ),
            alarms: self.gauge(
                "s3_alarms",
                &["sink", "reason"],
                "What an operator must look at: 1 while the bucket refuses the credentials, or \
                 the number of segments whose key holds something else.",
            ),
            lag_seconds: self.real_gauge(
                "s3_lag_seconds",
                &["sink"],
                "Age of the oldest sealed segment that is not in the bucket.",
            ),
            sent_bytes: counter("s3_sent_bytes_total", "Bytes sent to the bucket."),
            objects: counter("s3_objects_total", "Objects that the bucket has confirmed."),
            raw_bytes: counter(
                "s3_raw_bytes_total",
                "Bytes of confirmed objects before compression.",
            ),
            object_bytes: counter("s3_object_bytes_total", "Bytes of confirmed objects."),
            segments: counter(
                "s3_segments_total",
                "Segments that are complete in the bucket, with all objects and the manifest.",
            ),
            lag_segments: gauge("s3_lag_segments", "Sealed segments that are not in the bucket."),
            lag_bytes: gauge(
                "s3_lag_bytes",
                "Bytes on the local disk of the sealed segments that are not in the bucket.",
            ),
            is_out: gauge("s3_out", "1 while requests to the bucket fail."),
            uploading_bytes: gauge(
                "s3_uploading_bytes",
                "Bytes of the objects that the sink is uploading now.",
            ),
            uploading_sent_bytes: gauge(
                "s3_uploading_sent_bytes",
                "Bytes of these objects that the sink has sent.",
            ),
            swept: counter(
                "s3_swept_uploads_total",
                "Abandoned multipart uploads that the sink has deleted.",
            ),
        }
    }
}

impl Metrics {
    /// The figures of an `s3` sink.
    #[must_use]
    pub fn s3(&self, id: &str) -> S3Metrics {
        let families = &self.s3;
        S3Metrics {
            id: id.to_owned(),
            requests: families.requests.clone(),
            failures: families.failures.clone(),
            skipped: families.skipped.clone(),
            alarms: families.alarms.clone(),
            lag_seconds: families.lag_seconds.clone(),
            sent_bytes: families.sent_bytes.with_label_values(&[id]),
            objects: families.objects.with_label_values(&[id]),
            raw_bytes: families.raw_bytes.with_label_values(&[id]),
            object_bytes: families.object_bytes.with_label_values(&[id]),
            segments: families.segments.with_label_values(&[id]),
            lag_segments: families.lag_segments.with_label_values(&[id]),
            lag_bytes: families.lag_bytes.with_label_values(&[id]),
            is_out: families.is_out.with_label_values(&[id]),
            uploading_bytes: families.uploading_bytes.with_label_values(&[id]),
            uploading_sent_bytes: families.uploading_sent_bytes.with_label_values(&[id]),
            swept: families.swept.with_label_values(&[id]),
        }
    }

    /// Forgets how far a sink was that has ended.
    pub fn forget_s3(&self, id: &str) {
        let families = &self.s3;
        for gauge in [
            &families.lag_segments,
            &families.lag_bytes,
            &families.is_out,
            &families.uploading_bytes,
            &families.uploading_sent_bytes,
        ] {
            // One that was never set is not there.
            let _removed = gauge.remove_label_values(&[id]);
        }
        let _removed = families.lag_seconds.remove_label_values(&[id]);
    }
}

/// The value of a label of a metric.
fn label<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    metric.get_label().iter().find(|label| label.name() == name).map(LabelPair::value)
}
