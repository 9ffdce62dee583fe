//! Figures of the connections of each listener.

use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;

use super::Builder;
use super::Metrics;

/// The families; their label `listener` is the source and what it speaks, `metrics` or `control`.
pub(super) struct ListenerFamilies {
    connections: IntGaugeVec,
    connections_max: IntGaugeVec,
    waiting: IntGaugeVec,
    waits: IntCounterVec,
    closed: IntCounterVec,
}

/// Counts the connections of one listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    listener: String,
    /// Open connections.
    pub connections: prometheus::IntGauge,
    /// How many there may be.
    pub connections_max: prometheus::IntGauge,
    /// Connections that are accepted and wait for a slot.
    pub waiting: prometheus::IntGauge,
    /// Connections that had to wait for a slot.
    pub waits: prometheus::IntCounter,
    closed: IntCounterVec,
}

impl ListenerMetrics {
    /// Counts a connection that ended, and why.
    pub fn close(&self, cause: &'static str) {
        self.closed.with_label_values(&[self.listener.as_str(), cause]).inc();
    }
}

impl Builder {
    pub(super) fn listeners(&self) -> ListenerFamilies {
        let of = &["listener"];
        ListenerFamilies {
            connections: self.gauge("listener_connections", of, "Open connections."),
            connections_max: self.gauge(
                "listener_connections_max",
                of,
                "The limit of open connections.",
            ),
            waiting: self.gauge(
                "listener_connections_waiting",
                of,
                "Accepted connections that wait for a slot.",
            ),
            waits: self.counter(
                "listener_connection_waits_total",
                of,
                "Connections that had to wait for a slot.",
            ),
            closed: self.counter(
                "listener_connections_closed_total",
                &["listener", "cause"],
                "Closed connections, by cause.",
            ),
        }
    }
}

impl Metrics {
    /// The figures of a listener.
    #[must_use]
    pub fn listener(&self, listener: &str) -> ListenerMetrics {
        let families = &self.listeners;
        ListenerMetrics {
            listener: listener.to_owned(),
            connections: families.connections.with_label_values(&[listener]),
            connections_max: families.connections_max.with_label_values(&[listener]),
            waiting: families.waiting.with_label_values(&[listener]),
            waits: families.waits.with_label_values(&[listener]),
            closed: families.closed.clone(),
        }
    }
}
