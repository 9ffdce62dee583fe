//! Every figure that GopherShip shows: one registry, all names in one place.
//!
//! Names are `gophership_<part>_<what>_<unit>[_total]`; labels have a bounded set of values. The figures of the
//! process have the names that every Prometheus client gives them.

mod backlog;
mod certificate;
mod config;
mod delivery;
mod ledger;
mod listener;
mod log;
mod memory;
mod placement;
mod process;
mod s3;
mod s3_replay;
mod sink;
mod somatic;
mod source;
mod times;
mod transform;
mod vault;

use std::sync::Arc;

use prometheus::Encoder;
use prometheus::GaugeVec;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

use backlog::BacklogFamilies;
use certificate::CertificateFamily;
use delivery::DeliveryFamilies;
use listener::ListenerFamilies;
use memory::MemoryFamilies;
use s3::S3Families;
use s3_replay::S3ReplayFamilies;
use sink::SinkFamilies;
use source::SourceFamilies;
use transform::TransformFamilies;
use vault::VaultFamilies;

pub use backlog::BacklogFigures;
pub use backlog::SinkBacklogMetrics;
pub use certificate::ShownCertificate;
pub use config::ConfigMetrics;
pub use delivery::DeliveryMetrics;
pub use delivery::EndpointMetrics;
pub use delivery::OnItsWay;
pub use delivery::ROUND_TRIP_BOUNDS;
pub use ledger::LedgerFamilies;
pub use listener::ListenerMetrics;
pub use log::LogMetrics;
pub use memory::MemoryMetrics;
pub use placement::PlacedIn;
pub use s3::S3Metrics;
pub use s3_replay::ReplayState;
pub use s3_replay::S3ReplayMetrics;
pub use sink::FileMetrics;
pub use sink::SinkMetrics;
pub use somatic::SomaticMetrics;
pub use source::PivotCause;
pub use source::RefusalCause;
pub use source::SourceMetrics;
pub use vault::VaultMetrics;

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    /// The zone, what is sensed, and what stands still.
    pub somatic: SomaticMetrics,
    /// What became of every record.
    pub ledger: LedgerFamilies,
    /// Batches in the edge in front of a component.
    pub edge_batches: IntGaugeVec,
    /// Bytes in the edge in front of a component.
    pub edge_bytes: IntGaugeVec,
    /// Panics and failures after which a component was started again.
    pub restarts: IntCounterVec,
    /// 1 for a component that failed and waits to be started again.
    pub failed: IntGaugeVec,
    /// What runs, and what became of its reloads.
    pub config: ConfigMetrics,
    /// Requests in directories that are no vaults of the configuration.
    pub vault_left: IntGaugeVec,
    /// Dead letters in such a directory.
    pub vault_left_letters: IntGaugeVec,
    /// Bytes of free buffers that the buffer pool keeps.
    pub memory_idle: IntGauge,
    /// Tasks of the runtime.
    pub runtime_tasks: IntGauge,
    /// What became of log lines.
    pub log: LogMetrics,
    certificates: CertificateFamily,
    deliveries: DeliveryFamilies,
    listeners: ListenerFamilies,
    memory: MemoryFamilies,
    s3: S3Families,
    s3_replays: S3ReplayFamilies,
    sources: SourceFamilies,
    sinks: SinkFamilies,
    backlogs: BacklogFamilies,
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

    /// A gauge in a base unit: seconds, or a ratio from 0 to 1.
    fn real_gauge(&self, name: &str, labels: &[&str], help: &str) -> GaugeVec {
        let metric = GaugeVec::new(Opts::new(name, help).namespace("gophership"), labels)
            .expect("the names and labels in this file are valid");
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
        b.process();
        Arc::new(Self {
            somatic: b.somatic(),
            ledger: b.ledger(),
            edge_batches: b.gauge(
                "edge_batches",
                &["component"],
                "Batches in the queue of a component.",
            ),
            edge_bytes: b.gauge("edge_bytes", &["component"], "Bytes in the queue of a component."),
            restarts: b.counter(
                "component_restarts_total",
                &["component"],
                "Restarts of a component after a failure or panic.",
            ),
            failed: b.gauge(
                "component_failed",
                &["component"],
                "1 while a component has failed or cannot start, and GopherShip retries.",
            ),
            config: b.config(),
            vault_left: b.gauge(
                "vault_left_requests",
                &["dir"],
                "Undelivered requests in the directory of a vault or spool that the configuration does \
                 not contain.",
            ),
            vault_left_letters: b.gauge(
                "vault_left_dead_letters",
                &["dir"],
                "Dead letters in the directory of a vault that the configuration does not contain.",
            ),
            memory_idle: b.memory_idle(),
            runtime_tasks: b.runtime_tasks(),
            log: b.log(),
            certificates: b.certificates(),
            deliveries: b.deliveries(),
            listeners: b.listeners(),
            memory: b.memory(),
            s3: b.s3(),
            s3_replays: b.s3_replays(),
            sources: b.sources(),
            sinks: b.sinks(),
            backlogs: b.backlogs(),
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
        metrics.sink("backend").deliver(1, 1, [1]);
        let text = metrics.render().unwrap();
        assert!(text.contains("gophership_source_refused_total{cause=\"busy\",source=\"otlp\"} 1"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("gophership_") || line.starts_with("process_"), "{line}");
        }
        assert!(text.contains("# HELP gophership_ingester_zone Pressure zone"));
    }
}
