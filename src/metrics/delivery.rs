//! The figures of the delivery engine: of a sink, and of each of its endpoints.

use prometheus::Histogram;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::core::Metric;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The bounds of the round trips, in seconds.
pub const ROUND_TRIP_BOUNDS: [f64; 20] = [
    0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.3, 0.5,
    1.0, 2.0, 5.0, 10.0, 30.0,
];

/// What one sink has on its way.
#[derive(Clone)]
pub struct DeliveryMetrics {
    /// The limit of concurrent requests to all endpoints of a sink.
    pub limit: IntGauge,
    /// Requests on their way.
    pub in_flight: IntGauge,
    /// How long the backend takes to answer.
    pub round_trip: Histogram,
}

/// One endpoint of a sink.
#[derive(Clone)]
pub struct EndpointMetrics {
    /// Attempts that were answered, with OK or for good.
    pub answered: IntCounter,
    /// Attempts that failed.
    pub failures: IntCounter,
    /// 1 while it is out.
    pub out: IntGauge,
    /// 1 while it is out because it refuses everything.
    pub denied: IntGauge,
}

pub(super) struct DeliveryFamilies {
    limit: IntGaugeVec,
    in_flight: IntGaugeVec,
    round_trip: HistogramVec,
    answered: IntCounterVec,
    failures: IntCounterVec,
    out: IntGaugeVec,
    denied: IntGaugeVec,
}

impl Builder {
    pub(super) fn deliveries(&self) -> DeliveryFamilies {
        let of_endpoint = ["sink", "endpoint"];
        DeliveryFamilies {
            limit: self.gauge(
                "sink_concurrency_limit",
                &["sink"],
                "The limit of concurrent requests to all endpoints of a sink.",
            ),
            in_flight: self.gauge(
                "sink_in_flight_requests",
                &["sink"],
                "Requests in flight to a backend.",
            ),
            round_trip: self.histogram(
                "sink_round_trip_seconds",
                &["sink"],
                &ROUND_TRIP_BOUNDS,
                "Time from sending a request until the backend accepts or finally rejects it.",
            ),
            answered: self.counter(
                "sink_endpoint_answered_total",
                &of_endpoint,
                "Attempts that an endpoint accepted or finally rejected.",
            ),
            failures: self.counter(
                "sink_endpoint_failures_total",
                &of_endpoint,
                "Failed attempts at an endpoint that the sink retries, there or at another \
                 endpoint.",
            ),
            out: self.gauge(
                "sink_endpoint_out",
                &of_endpoint,
                "1 while an endpoint is out and the sink only probes it.",
            ),
            denied: self.gauge(
                "sink_endpoint_denied",
                &of_endpoint,
                "1 while an endpoint is out because it refuses all requests, for example after a \
                 token expired.",
            ),
        }
    }
}

impl Metrics {
    /// What a sink has on its way.
    #[must_use]
    pub fn delivery(&self, sink: &str) -> DeliveryMetrics {
        DeliveryMetrics {
            limit: self.deliveries.limit.with_label_values(&[sink]),
            in_flight: self.deliveries.in_flight.with_label_values(&[sink]),
            round_trip: self.deliveries.round_trip.with_label_values(&[sink]),
        }
    }

    /// The figures of an endpoint of a sink.
    #[must_use]
    pub fn endpoint(&self, sink: &str, endpoint: &str) -> EndpointMetrics {
        let labels = [sink, endpoint];
        EndpointMetrics {
            answered: self.deliveries.answered.with_label_values(&labels),
            failures: self.deliveries.failures.with_label_values(&labels),
            out: self.deliveries.out.with_label_values(&labels),
            denied: self.deliveries.denied.with_label_values(&labels),
        }
    }
}

impl DeliveryMetrics {
    /// How many answers came within each of [`ROUND_TRIP_BOUNDS`] and not before, and how many later.
    #[must_use]
    pub fn round_trips(&self) -> Vec<u64> {
        let metric = self.round_trip.metric();
        let histogram = metric.get_histogram();
        let mut before = 0;
        let mut counts: Vec<u64> = Vec::with_capacity(ROUND_TRIP_BOUNDS.len() + 1);
        for bucket in histogram.get_bucket() {
            counts.push(bucket.cumulative_count().saturating_sub(before));
            before = bucket.cumulative_count();
        }
        counts.push(histogram.get_sample_count().saturating_sub(before));
        counts
    }

    /// Counts a request as on its way until the guard is dropped.
    #[must_use]
    pub fn on_its_way(&self) -> OnItsWay<'_> {
        self.in_flight.inc();
        OnItsWay(&self.in_flight)
    }
}

/// A request on its way.
pub struct OnItsWay<'a>(&'a IntGauge);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
