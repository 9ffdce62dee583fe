//! Every figure that GopherShip shows: one registry, all names in one place.
//!
//! Names are `gophership_<part>_<what>_<unit>[_total]`; labels have a bounded set of values.

mod delivery;
mod ledger;
mod memory;
mod placement;
mod sink;
mod source;
mod transform;
mod vault;

use std::sync::Arc;

use prometheus::Encoder;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

use delivery::DeliveryFamilies;
use memory::MemoryFamilies;
use sink::SinkFamilies;
use source::SourceFamilies;
use transform::TransformFamilies;
use vault::VaultFamilies;

pub use delivery::DeliveryMetrics;
pub use delivery::EndpointMetrics;
pub use delivery::OnItsWay;
pub use ledger::LedgerFamilies;
pub use memory::MemoryMetrics;
pub use placement::PlacedIn;
pub use sink::SinkMetrics;
pub use source::PivotCause;
pub use source::RefusalCause;
pub use source::SourceMetrics;
pub use vault::VaultMetrics;

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
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
    /// 1 for each component that stands still although it has work.
    pub stalled: IntGaugeVec,
    /// Times that a component stood still.
    pub stalls: IntCounterVec,
    /// What became of every record.
    pub ledger: LedgerFamilies,
    /// Batches in the edge in front of a component.
    pub edge_batches: IntGaugeVec,
    /// Bytes in the edge in front of a component.
    pub edge_bytes: IntGaugeVec,
    /// Panics and failures after which a component was started again.
    pub restarts: IntCounterVec,
    /// Reloads by result.
    pub reloads: IntCounterVec,
    /// Bytes that the buffer pool keeps for later.
    pub memory_idle: IntGauge,
    deliveries: DeliveryFamilies,
    memory: MemoryFamilies,
    sources: SourceFamilies,
    sinks: SinkFamilies,
    transforms: TransformFamilies,
    vaults: VaultFamilies,
}

/// Makes metrics under our prefix and registers them.
struct Builder(Registry);

impl Builder {
    fn counter(&self, name: &str, labels: &[&str], help: &str) -> IntCounterVec {
        let metric = IntCounterVec::new(Opts::new(name, help).namespace("gophership"), labels)
            .expect("the names and labels in this file are valid");
        self.0.register(Box::new(metric.clone())).expect("each name in this file is used once");
        metric
    }

    fn histogram(&self, name: &str, labels: &[&str], bounds: &[f64], help: &str) -> HistogramVec {
        let options = HistogramOpts::new(name, help).namespace("gophership");
        let metric = HistogramVec::new(options.buckets(bounds.to_vec()), labels)
            .expect("the names, labels and bounds in this file are valid");
        self.0.register(Box::new(metric.clone())).expect("each name in this file is used once");
        metric
    }

    fn gauge(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        let metric = IntGaugeVec::new(Opts::new(name, help).namespace("gophership"), labels)
            .expect("the names and labels in this file are valid");
        self.0.register(Box::new(metric.clone())).expect("each name in this file is used once");
        metric
    }
}

impl Metrics {
    /// Makes the registry with every metric in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let b = Builder(Registry::new());
        let zone = b.gauge("ingester_zone", &[], "Pressure zone: 0 green, 1 yellow, 2 red.");
        let sensed = b.gauge(
            "somatic_sensed_zone",
            &[],
            "The zone that the sensors ask for, held or observed or not: 0 green, 1 yellow, 2 red.",
        );
        Arc::new(Self {
            zone: zone.with_label_values::<&str>(&[]),
            sensed_zone: sensed.with_label_values::<&str>(&[]),
            transitions: b.counter(
                "somatic_transitions_total",
                &["from", "to", "cause"],
                "Changes of the zone in force, by what caused them.",
            ),
            reaction: b.histogram(
                "somatic_reaction_seconds",
                &["to"],
                &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01],
                "From the reading that changes the zone to the zone in force.",
            ),
            pressure: b.gauge(
                "somatic_pressure_permille",
                &["sense", "place"],
                "What was sensed last, in thousandths of its limit.",
            ),
            stalled: b.gauge(
                "somatic_stalled",
                &["component"],
                "1 while nothing moves in a component although it has work.",
            ),
            stalls: b.counter(
                "somatic_stalls_total",
                &["component"],
                "Times that nothing moved in a component although it had work.",
            ),
            ledger: b.ledger(),
            edge_batches: b.gauge(
                "edge_batches",
                &["component"],
                "Batches waiting in front of a component.",
            ),
            edge_bytes: b.gauge(
                "edge_bytes",
                &["component"],
                "Bytes waiting in front of a component.",
            ),
            restarts: b.counter(
                "component_restarts_total",
                &["component"],
                "Times a component failed or panicked and was started again.",
            ),
            reloads: b.counter(
                "config_reloads_total",
                &["result"],
                "Configuration reloads by result.",
            ),
            memory_idle: b.memory_idle(),
            deliveries: b.deliveries(),
            memory: b.memory(),
            sources: b.sources(),
            sinks: b.sinks(),
            transforms: b.transforms(),
            vaults: b.vaults(),
            registry: b.0,
        })
    }

    /// Renders everything in the Prometheus text format.
    ///
    /// # Errors
    ///
    /// When a metric family is malformed, which a test of the registry excludes.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_our_prefix_and_a_help_text() {
        let metrics = Metrics::new();
        metrics.source("otlp").refuse(RefusalCause::Busy);
        metrics.sink("backend").requests.inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("gophership_source_refused_total{cause=\"busy\",source=\"otlp\"} 1"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("gophership_"), "{line}");
        }
        assert!(text.contains("# HELP gophership_ingester_zone Pressure zone"));
    }
}
