//! The zone, what is sensed, and what stands still.

use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::HistogramVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;

use super::Builder;

/// What the controller knows and does.
pub struct SomaticMetrics {
    /// 0 green, 1 yellow, 2 red.
    pub zone: IntGauge,
    /// What the sensors ask for, in the same numbers.
    pub sensed_zone: IntGauge,
    /// Changes of zone by from, to and cause.
    pub transitions: IntCounterVec,
    /// From a look that changes the zone to the zone in force.
    pub reaction: HistogramVec,
    /// The highest pressure by kind and place, as a ratio of its limit.
    pub pressure: GaugeVec,
    /// The share of the time that background work has, from 0 to 1.
    pub background: Gauge,
    /// 1 for each component that stands still although it has work.
    pub stalled: IntGaugeVec,
    /// Times that a component stood still.
    pub stalls: IntCounterVec,
}

impl Builder {
    pub(super) fn somatic(&self) -> SomaticMetrics {
        let one = |name, help| self.gauge(name, &[], help).with_label_values::<&str>(&[]);
        SomaticMetrics {
            zone: one("ingester_zone", "Pressure zone: 0 green, 1 yellow, 2 red."),
            sensed_zone: one(
                "somatic_sensed_zone",
                "The zone that the sensors ask for, regardless of an override or mode observe: 0 \
                 green, 1 yellow, 2 red.",
            ),
            transitions: self.counter(
                "somatic_transitions_total",
                &["from", "to", "cause"],
                "Changes of the zone, by cause.",
            ),
            reaction: self.histogram(
                "somatic_reaction_seconds",
                &["to"],
                &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01],
                "Time from the sensor reading that changes the zone until the zone is in force.",
            ),
            pressure: self.real_gauge(
                "somatic_pressure_ratio",
                &["kind", "place"],
                "The last sensor reading, as a ratio of its limit: 1 is the limit.",
            ),
            background: self
                .real_gauge(
                    "somatic_background_ratio",
                    &[],
                    "The share of time that each background worker (replay, reading back, vault \
                     verify and export) may work: 1 is all of it, 0 while background work is paused.",
                )
                .with_label_values::<&str>(&[]),
            stalled: self.gauge(
                "somatic_stalled",
                &["component"],
                "1 while a component has work and makes no progress.",
            ),
            stalls: self.counter(
                "somatic_stalls_total",
                &["component"],
                "Times that a component had work and made no progress.",
            ),
        }
    }
}
