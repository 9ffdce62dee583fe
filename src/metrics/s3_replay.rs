//! The progress of a replay from a bucket.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// How far a segment of a replay is, as this host knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayState {
    /// No host is known to be done with it, and this host does not have it.
    Waiting,
    /// This host replays it.
    Claimed,
    /// This host has delivered it.
    Done,
    /// Another host has, or this one did in an earlier process.
    ByOthers,
    /// Its object is damaged or gone.
    Unusable,
}

impl ReplayState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Claimed, Self::Done, Self::ByOthers, Self::Unusable];

    /// Returns the name, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::ByOthers => "by_others",
            Self::Unusable => "unusable",
        }
    }
}

/// The counters and gauges of one `s3_replay` source.
#[derive(Clone)]
pub struct S3ReplayMetrics {
    id: String,
    /// Segments by source and state.
    segments: IntGaugeVec,
    /// Requests that every sink has.
    pub delivered: IntCounter,
    /// Requests that a sink will never take, or that are no OTLP.
    pub rejected: IntCounter,
    /// Those of them that a dead-letter store has.
    pub dead_lettered: IntCounter,
}

impl S3ReplayMetrics {
    /// Sets how many segments are in a state.
    pub fn set_segments(&self, state: ReplayState, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.segments.with_label_values(&[self.id.as_str(), state.name()]).set(count);
    }

    /// Returns how many segments are in a state.
    #[must_use]
    pub fn segments(&self, state: ReplayState) -> u64 {
        let count = self.segments.with_label_values(&[self.id.as_str(), state.name()]).get();
        u64::try_from(count).unwrap_or(0)
    }

    /// Forgets the segments of a source that was stopped.
    pub fn forget_segments(&self) {
        for state in ReplayState::ALL {
            // One that was never set is not there.
            let _removed = self.segments.remove_label_values(&[self.id.as_str(), state.name()]);
        }
    }
}

pub(super) struct S3ReplayFamilies {
    segments: IntGaugeVec,
    delivered: IntCounterVec,
    rejected: IntCounterVec,
    dead_lettered: IntCounterVec,
}

impl Builder {
    pub(super) fn s3_replays(&self) -> S3ReplayFamilies {
        let counter = |name: &str, help: &str| self.counter(name, &["source"], help);
        S3ReplayFamilies {
            segments: self.gauge(
                "s3_replay_segments",
                &["source", "state"],
                "Segments that an `s3_replay` source has found, by state: this host has not begun \
                 them, replays them, has delivered them, found them done by other hosts, or \
                 cannot use them.",
            ),
            delivered: counter(
                "s3_replay_requests_total",
                "Requests of archived segments that every sink has accepted.",
            ),
            rejected: counter(
                "s3_replay_rejected_total",
                "Requests of archived segments that a sink has refused for good.",
            ),
            dead_lettered: counter(
                "s3_replay_dead_lettered_total",
                "Requests of archived segments that a sink never accepts, and that are in the \
                 dead-letter store of a vault. The others are in the bucket only.",
            ),
        }
    }
}

impl Metrics {
    /// The figures of an `s3_replay` source.
    #[must_use]
    pub fn s3_replay(&self, id: &str) -> S3ReplayMetrics {
        let families = &self.s3_replays;
        S3ReplayMetrics {
            id: id.to_owned(),
            segments: families.segments.clone(),
            delivered: families.delivered.with_label_values(&[id]),
            rejected: families.rejected.with_label_values(&[id]),
            dead_lettered: families.dead_lettered.with_label_values(&[id]),
        }
    }
}
