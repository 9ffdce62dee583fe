//! Every figure that GopherShip shows: one registry, all names in one place.
//!
//! Names are `gophership_<part>_<what>_<unit>[_total]`; labels have a bounded set of values.

use std::sync::Arc;

use prometheus::Encoder;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

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

/// The counters of one sink.
#[derive(Clone)]
pub struct SinkMetrics {
    /// Requests delivered.
    pub requests: IntCounter,
    /// Records delivered.
    pub records: IntCounter,
    /// Bytes delivered, before compression.
    pub bytes: IntCounter,
    /// Attempts that failed and are repeated.
    pub retries: IntCounter,
    /// Requests that the backend refused for good.
    pub rejected: IntCounter,
    /// Records that the backend said it rejected of requests that it took.
    pub partially_rejected: IntCounter,
}

/// The counters and gauges of one vault.
#[derive(Clone)]
pub struct VaultMetrics {
    /// Bytes on disk.
    pub used_bytes: IntGauge,
    /// Bytes waiting for the writer.
    pub staged_bytes: IntGauge,
    /// Requests not yet replayed.
    pub backlog: IntGauge,
    /// Requests replayed and delivered.
    pub replayed: IntCounter,
    /// Requests moved to the dead-letter store.
    pub dead_lettered: IntCounter,
    /// Stored records found corrupt.
    pub corrupt: IntGauge,
    /// Acknowledged requests that recovery missed.
    pub lost: IntGauge,
    /// Requests dropped because the vault was full and was told to.
    pub dropped: IntGauge,
    /// Segments set aside.
    pub quarantined: IntGauge,
    /// Duration of the last commit.
    pub commit_micros: IntGauge,
    /// The limit of the bytes on disk.
    pub max_bytes: IntGauge,
    /// Whether the vault has no room for another segment.
    pub full: IntGauge,
    /// Whether the vault cannot write.
    pub failed: IntGauge,
}

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    /// 0 green, 1 yellow, 2 red.
    pub zone: IntGauge,
    /// Changes of zone.
    pub transitions: IntCounter,
    /// Records by bucket and signal.
    pub ledger: IntGaugeVec,
    /// Batches in the edge in front of a component.
    pub edge_batches: IntGaugeVec,
    /// Bytes in the edge in front of a component.
    pub edge_bytes: IntGaugeVec,
    /// Panics and failures after which a component was started again.
    pub restarts: IntCounterVec,
    /// Reloads by result.
    pub reloads: IntCounterVec,
    sources: SourceFamilies,
    sinks: SinkFamilies,
    vaults: VaultFamilies,
}

struct SourceFamilies {
    accepted: IntCounterVec,
    bytes: IntCounterVec,
    refused: IntCounterVec,
    pivots: IntCounterVec,
}

struct SinkFamilies {
    requests: IntCounterVec,
    records: IntCounterVec,
    bytes: IntCounterVec,
    retries: IntCounterVec,
    rejected: IntCounterVec,
    partially_rejected: IntCounterVec,
}

struct VaultFamilies {
    used_bytes: IntGaugeVec,
    staged_bytes: IntGaugeVec,
    backlog: IntGaugeVec,
    corrupt: IntGaugeVec,
    lost: IntGaugeVec,
    dropped: IntGaugeVec,
    quarantined: IntGaugeVec,
    commit_micros: IntGaugeVec,
    max_bytes: IntGaugeVec,
    full: IntGaugeVec,
    failed: IntGaugeVec,
    replayed: IntCounterVec,
    dead_lettered: IntCounterVec,
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

    fn gauge(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        let metric = IntGaugeVec::new(Opts::new(name, help).namespace("gophership"), labels)
            .expect("the names and labels in this file are valid");
        self.0.register(Box::new(metric.clone())).expect("each name in this file is used once");
        metric
    }

    fn sources(&self) -> SourceFamilies {
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

    fn sinks(&self) -> SinkFamilies {
        let counter = |name: &str, help: &str| self.counter(name, &["sink"], help);
        SinkFamilies {
            requests: counter("sink_requests_total", "Requests delivered."),
            records: counter("sink_records_total", "Records delivered."),
            bytes: counter("sink_sent_bytes_total", "Protobuf bytes delivered."),
            retries: counter("sink_retries_total", "Attempts that failed and are repeated."),
            rejected: counter("sink_rejected_total", "Requests refused by the backend for good."),
            partially_rejected: counter(
                "sink_partially_rejected_records_total",
                "Records rejected by the backend in requests that it accepted.",
            ),
        }
    }

    fn vaults(&self) -> VaultFamilies {
        let gauge = |name: &str, help: &str| self.gauge(name, &["vault"], help);
        let counter = |name: &str, help: &str| self.counter(name, &["vault"], help);
        VaultFamilies {
            used_bytes: gauge("vault_used_bytes", "Bytes of disk in use."),
            staged_bytes: gauge("vault_staged_bytes", "Bytes waiting for the vault's writer."),
            backlog: gauge("vault_backlog_requests", "Requests that are not yet replayed."),
            corrupt: gauge("vault_corrupt_records", "Stored requests found corrupt since start."),
            lost: gauge("vault_lost_records", "Acknowledged requests missing when it was opened."),
            dropped: gauge(
                "vault_dropped_records",
                "Requests deleted undelivered because the vault was full and is told to drop.",
            ),
            quarantined: gauge("vault_quarantined_segments", "Damaged segments set aside."),
            commit_micros: gauge(
                "vault_commit_latency_microseconds",
                "Duration of the last commit, from gathering to durable.",
            ),
            max_bytes: gauge("vault_max_bytes", "The limit of the bytes of disk in use."),
            full: gauge("vault_full", "1 while the vault has no room on its disk or in max_size."),
            failed: gauge("vault_failed", "1 while the vault cannot write."),
            replayed: counter("vault_replayed_total", "Requests replayed and delivered."),
            dead_lettered: counter(
                "vault_dead_lettered_total",
                "Requests moved to the dead-letter store.",
            ),
        }
    }
}

impl Metrics {
    /// Makes the registry with every metric in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let b = Builder(Registry::new());
        let zone = b.gauge("ingester_zone", &[], "Pressure zone: 0 green, 1 yellow, 2 red.");
        let transitions = b.counter("somatic_transitions_total", &[], "Changes of the zone.");
        Arc::new(Self {
            zone: zone.with_label_values::<&str>(&[]),
            transitions: transitions.with_label_values::<&str>(&[]),
            ledger: b.gauge(
                "ledger_records",
                &["signal", "bucket"],
                "Records by ledger bucket; origins equal destinations.",
            ),
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
            sources: b.sources(),
            sinks: b.sinks(),
            vaults: b.vaults(),
            registry: b.0,
        })
    }

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

    /// The counters of a sink.
    #[must_use]
    pub fn sink(&self, id: &str) -> SinkMetrics {
        let families = &self.sinks;
        SinkMetrics {
            requests: families.requests.with_label_values(&[id]),
            records: families.records.with_label_values(&[id]),
            bytes: families.bytes.with_label_values(&[id]),
            retries: families.retries.with_label_values(&[id]),
            rejected: families.rejected.with_label_values(&[id]),
            partially_rejected: families.partially_rejected.with_label_values(&[id]),
        }
    }

    /// The metrics of a vault.
    #[must_use]
    pub fn vault(&self, id: &str) -> VaultMetrics {
        let families = &self.vaults;
        VaultMetrics {
            used_bytes: families.used_bytes.with_label_values(&[id]),
            staged_bytes: families.staged_bytes.with_label_values(&[id]),
            backlog: families.backlog.with_label_values(&[id]),
            corrupt: families.corrupt.with_label_values(&[id]),
            lost: families.lost.with_label_values(&[id]),
            dropped: families.dropped.with_label_values(&[id]),
            quarantined: families.quarantined.with_label_values(&[id]),
            commit_micros: families.commit_micros.with_label_values(&[id]),
            max_bytes: families.max_bytes.with_label_values(&[id]),
            full: families.full.with_label_values(&[id]),
            failed: families.failed.with_label_values(&[id]),
            replayed: families.replayed.with_label_values(&[id]),
            dead_lettered: families.dead_lettered.with_label_values(&[id]),
        }
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
