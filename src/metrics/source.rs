//! The figures of a source.

use prometheus::IntCounter;
use prometheus::IntCounterVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// Why a request went to the vault instead of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PivotCause {
    /// Everything goes there now: the zone is Red, or the source is journaled.
    Diverted,
    /// An edge was full.
    EdgeFull,
    /// It was not delivered within the source's patience.
    Patience,
    /// A component failed to deliver it.
    Failed,
}

impl PivotCause {
    const ALL: [Self; 4] = [Self::Diverted, Self::EdgeFull, Self::Patience, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Diverted => "diverted",
            Self::EdgeFull => "edge_full",
            Self::Patience => "patience",
            Self::Failed => "failed",
        }
    }
}

/// Counts requests that went to the vault, by cause; the handles are looked up once.
#[derive(Clone)]
pub struct Pivots([IntCounter; 4]);

impl Pivots {
    /// Counts one request.
    pub fn count(&self, cause: PivotCause) {
        self.0[cause as usize].inc();
    }
}

/// Why a request was refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RefusalCause {
    /// Not OTLP, or not decodable.
    Invalid,
    /// Over a size limit.
    TooLarge,
    /// Wrong content type, encoding, method or path.
    Unsupported,
    /// Nobody had room.
    Busy,
    /// A backend refused it for good.
    Rejected,
}

impl RefusalCause {
    const ALL: [Self; 5] =
        [Self::Invalid, Self::TooLarge, Self::Unsupported, Self::Busy, Self::Rejected];

    const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
        }
    }
}

/// The counters of one source.
#[derive(Clone)]
pub struct SourceMetrics {
    /// Requests that were acknowledged.
    pub accepted: IntCounter,
    /// Bytes of protobuf taken in.
    pub bytes: IntCounter,
    /// Requests that went to the vault.
    pub pivots: Pivots,
    refused: [IntCounter; 5],
}

impl SourceMetrics {
    /// Counts a refused request.
    pub fn refuse(&self, cause: RefusalCause) {
        self.refused[cause as usize].inc();
    }
}

pub(super) struct SourceFamilies {
    accepted: IntCounterVec,
    bytes: IntCounterVec,
    refused: IntCounterVec,
    pivots: IntCounterVec,
}

impl Builder {
    pub(super) fn sources(&self) -> SourceFamilies {
        let cause = &["source", "cause"];
        SourceFamilies {
            accepted: self.counter("source_requests_total", &["source"], "Requests acknowledged."),
            bytes: self.counter(
                "source_received_bytes_total",
                &["source"],
                "Protobuf bytes received.",
            ),
            refused: self.counter("source_refused_total", cause, "Requests refused, by cause."),
            pivots: self.counter(
                "somatic_pivots_total",
                cause,
                "Requests that went to the vault instead of the pipeline, by cause.",
            ),
        }
    }
}

impl Metrics {
    /// The counters of a source.
    #[must_use]
    pub fn source(&self, id: &str) -> SourceMetrics {
        let SourceFamilies { accepted, bytes, refused, pivots } = &self.sources;
        SourceMetrics {
            accepted: accepted.with_label_values(&[id]),
            bytes: bytes.with_label_values(&[id]),
            pivots: Pivots(
                PivotCause::ALL.map(|cause| pivots.with_label_values(&[id, cause.name()])),
            ),
            refused: RefusalCause::ALL.map(|cause| refused.with_label_values(&[id, cause.name()])),
        }
    }
}
