//! The figures of transforms.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

pub(super) struct TransformFamilies {
    redacted: IntCounterVec,
    taken_out: IntCounterVec,
    joined: IntCounterVec,
    joined_requests: IntCounterVec,
    divided_requests: IntCounterVec,
    routed: IntCounterVec,
    is_shed: IntGaugeVec,
    shed_records: IntCounterVec,
}

impl Builder {
    pub(super) fn transforms(&self) -> TransformFamilies {
        TransformFamilies {
            redacted: self.counter(
                "transform_redacted_total",
                &["transform", "pattern"],
                "Redacted values and parts of texts, by pattern.",
            ),
            taken_out: self.counter(
                "transform_taken_out_records_total",
                &["transform", "class"],
                "Records that a transform dropped, by the value of its key if the configuration \
                 lists it.",
            ),
            joined: self.counter(
                "transform_joined_total",
                &["transform", "cause"],
                "Merged requests that a transform produced, by why it stopped waiting: size, \
                 timeout, room or end.",
            ),
            joined_requests: self.counter(
                "transform_joined_requests_total",
                &["transform"],
                "Requests that a transform merged into others.",
            ),
            divided_requests: self.counter(
                "transform_divided_requests_total",
                &["transform"],
                "Requests that a transform split because of their size or their resources.",
            ),
            routed: self.counter(
                "transform_routed_records_total",
                &["transform", "output"],
                "Records that matched an output of a transform, whether or not a component reads \
                 it.",
            ),
            is_shed: self.gauge(
                "transform_shed",
                &["transform"],
                "1 while a transform is skipped because of the zone.",
            ),
            shed_records: self.counter(
                "transform_shed_records_total",
                &["transform"],
                "Records that were not processed because their transform was skipped.",
            ),
        }
    }
}

impl Metrics {
    /// The records that a transform has taken out of a class; classes come from the configuration.
    #[must_use]
    pub fn taken_out(&self, id: &str, class: &str) -> IntCounter {
        self.transforms.taken_out.with_label_values(&[id, class])
    }

    /// The requests that a transform made by joining, for a cause.
    #[must_use]
    pub fn joined(&self, id: &str, cause: &str) -> IntCounter {
        self.transforms.joined.with_label_values(&[id, cause])
    }

    /// The requests that are in those which a transform made by joining.
    #[must_use]
    pub fn joined_requests(&self, id: &str) -> IntCounter {
        self.transforms.joined_requests.with_label_values(&[id])
    }

    /// The requests that a transform has divided.
    #[must_use]
    pub fn divided_requests(&self, id: &str) -> IntCounter {
        self.transforms.divided_requests.with_label_values(&[id])
    }

    /// The records that came to an output of a transform; outputs come from the configuration.
    #[must_use]
    pub fn routed(&self, id: &str, output: &str) -> IntCounter {
        self.transforms.routed.with_label_values(&[id, output])
    }

    /// Whether a transform is left out.
    #[must_use]
    pub fn is_shed(&self, id: &str) -> IntGauge {
        self.transforms.is_shed.with_label_values(&[id])
    }

    /// The records that passed a transform by while it was left out.
    #[must_use]
    pub fn shed_records(&self, id: &str) -> IntCounter {
        self.transforms.shed_records.with_label_values(&[id])
    }

    /// What a pattern of a transform has redacted; patterns come from the configuration.
    #[must_use]
    pub fn redacted(&self, id: &str, pattern: &str) -> IntCounter {
        self.transforms.redacted.with_label_values(&[id, pattern])
    }
}
