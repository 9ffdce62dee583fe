//! The zone, what is sensed, and what stands still.

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
    /// The highest pressure by sense and place, in thousandths.
    pub pressure: IntGaugeVec,
    /// The share of the time that background work has, in millionths.
    pub background: IntGauge,
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
                "The zone that the sensors ask for, held or observed or not: 0 green, 1 yellow, 2 red.",
            ),
            transitions: self.counter(
                "somatic_transitions_total",
                &["from", "to", "cause"],
                "Changes of the zone in force, by what caused them.",
            ),
            reaction: self.histogram(
                "somatic_reaction_seconds",
                &["to"],
                &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01],
                "From the reading that changes the zone to the zone in force.",
            ),
            pressure: self.gauge(
                "somatic_pressure_permille",
                &["kind", "place"],
                "What was sensed last, in thousandths of its limit.",
            ),
            background: one(
                "somatic_background_millionths",
                "The share of the time that each worker in the background (replay, reading back, \
                 vault verify and export) may work, in millionths; 0 while they pause.",
            ),
            stalled: self.gauge(
                "somatic_stalled",
                &["component"],
                "1 while nothing moves in a component although it has work.",
            ),
            stalls: self.counter(
                "somatic_stalls_total",
                &["component"],
                "Times that nothing moved in a component although it had work.",
            ),
        }
    }
}
