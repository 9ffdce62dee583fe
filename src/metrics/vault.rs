//! The figures of a vault.

use std::time::Duration;

use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The counters and gauges of one vault.
#[derive(Clone)]
pub struct VaultMetrics {
    /// Bytes on disk.
    pub used_bytes: IntGauge,
    /// Bytes waiting for the writer.
    pub staged_bytes: IntGauge,
    /// Requests not yet replayed.
    pub backlog: IntGauge,
    /// Bytes on disk of those.
    pub backlog_bytes: IntGauge,
    /// The size of the stored requests before compression, divided by their size on disk.
    pub compression_ratio: Gauge,
    /// Segments with requests.
    pub segments: IntGauge,
    /// The age of the oldest request that is not yet replayed.
    pub oldest_seconds: Gauge,
    /// Requests replayed and delivered.
    pub replayed: IntCounter,
    /// Requests moved to the dead-letter store.
    pub dead_lettered: IntCounter,
    /// Stored records found corrupt.
    pub corrupt: IntCounter,
    /// Acknowledged requests that are gone.
    pub lost: IntCounter,
    /// Requests dropped because the vault was full and was told to, or by an operator.
    pub dropped: IntCounter,
    /// Segments set aside.
    pub quarantined: IntGauge,
    /// Segments that failed, or read back other than written.
    pub suspect: IntGauge,
    /// Sealed segments not yet read back.
    pub unread: IntGauge,
    /// Duration of the last commit.
    pub commit_seconds: Gauge,
    /// The limit of the bytes on disk.
    pub max_bytes: IntGauge,
    /// Whether the vault has no room for another segment.
    pub full: IntGauge,
    /// Whether the vault cannot write.
    pub failed: IntGauge,
    /// Holds in force.
    pub holds: IntGauge,
    /// Bytes that only holds keep.
    pub held_bytes: IntGauge,
    /// Requests kept for sinks that are no longer in the configuration, by vault and sink.
    pub kept_for_removed: IntGaugeVec,
    /// Dead letters that were sent again, by vault and outcome.
    pub redriven: IntCounterVec,
}

pub(super) struct VaultFamilies {
    used_bytes: IntGaugeVec,
    staged_bytes: IntGaugeVec,
    backlog: IntGaugeVec,
    backlog_bytes: IntGaugeVec,
    compression_ratio: GaugeVec,
    segments: IntGaugeVec,
    oldest_seconds: GaugeVec,
    corrupt: IntCounterVec,
    lost: IntCounterVec,
    dropped: IntCounterVec,
    quarantined: IntGaugeVec,
    suspect: IntGaugeVec,
    unread: IntGaugeVec,
    commit_seconds: GaugeVec,
    max_bytes: IntGaugeVec,
    full: IntGaugeVec,
    failed: IntGaugeVec,
    holds: IntGaugeVec,
    held_bytes: IntGaugeVec,
    kept_for_removed: IntGaugeVec,
    replayed: IntCounterVec,
    dead_lettered: IntCounterVec,
    redriven: IntCounterVec,
}

impl Builder {
    pub(super) fn vaults(&self) -> VaultFamilies {
        let gauge = |name: &str, help: &str| self.gauge(name, &["vault"], help);
        let real = |name: &str, help: &str| self.real_gauge(name, &["vault"], help);
        let counter = |name: &str, help: &str| self.counter(name, &["vault"], help);
        VaultFamilies {
            used_bytes: gauge("vault_used_bytes", "Used bytes of disk."),
            staged_bytes: gauge("vault_staged_bytes", "Bytes that wait for the vault's writer."),
            backlog: gauge("vault_backlog_requests", "Requests that are not yet replayed."),
            backlog_bytes: gauge(
                "vault_backlog_bytes",
                "Bytes on disk of the requests that are not yet replayed, estimated.",
            ),
            compression_ratio: real("vault_compression_ratio", "Request bytes per stored byte."),
            segments: gauge("vault_segments", "Segments with requests."),
            oldest_seconds: real(
                "vault_oldest_seconds",
                "Age of the oldest request that is not yet replayed, estimated; 0 without one.",
            ),
            corrupt: counter(
                "vault_corrupt_requests_total",
                "Stored requests found corrupt since start.",
            ),
            lost: counter(
                "vault_lost_requests_total",
                "Acknowledged requests that are missing from the vault.",
            ),
            dropped: counter(
                "vault_dropped_requests_total",
                "Undelivered requests that the vault deleted, because it was full (when_full: \
                 drop_oldest) or because an operator pruned it.",
            ),
            quarantined: gauge("vault_quarantined_segments", "Damaged segments in quarantine."),
            suspect: gauge(
                "vault_suspect_segments",
                "Segments in which, since the start, a write failed or the disk returned other \
                 bytes than the vault wrote.",
            ),
            unread: gauge(
                "vault_unread_segments",
                "Sealed segments that the vault has not yet read back and verified.",
            ),
            commit_seconds: real(
                "vault_commit_latency_seconds",
                "Duration of the last commit, from the first request until it is durable.",
            ),
            max_bytes: gauge("vault_max_bytes", "The limit of used bytes of disk."),
            full: gauge("vault_full", "1 while the disk or max_size of the vault is used up."),
            failed: gauge("vault_failed", "1 while the vault cannot write."),
            holds: gauge("vault_holds", "Holds that keep segments from being deleted."),
            held_bytes: gauge(
                "vault_held_bytes",
                "Bytes of delivered segments that the vault keeps only because of a hold.",
            ),
            kept_for_removed: self.kept_for_removed(),
            replayed: counter("vault_replayed_total", "Requests replayed and delivered."),
            dead_lettered: counter(
                "vault_dead_lettered_total",
                "Requests moved to the dead-letter store.",
            ),
            redriven: self.redriven(),
        }
    }

    fn kept_for_removed(&self) -> IntGaugeVec {
        self.gauge(
            "vault_kept_for_removed_sinks_requests",
            &["vault", "sink"],
            "Undelivered requests that the vault keeps for a sink that is no longer in the \
             configuration.",
        )
    }

    fn redriven(&self) -> IntCounterVec {
        self.counter(
            "vault_redriven_total",
            &["vault", "outcome"],
            "Dead letters that `gs-ctl dead-letters redrive` sent again: delivered, refused \
             again, or failed, because a sink did not take them in time.",
        )
    }
}

impl VaultMetrics {
    /// The age of the oldest request that is not yet replayed.
    #[must_use]
    pub fn oldest_age(&self) -> Duration {
        Duration::try_from_secs_f64(self.oldest_seconds.get()).unwrap_or_default()
    }
}

impl Metrics {
    /// Forgets what a vault that is closed had.
    pub fn forget_vault(&self, id: &str) {
        let families = &self.vaults;
        let gauges = [
            &families.used_bytes,
            &families.staged_bytes,
            &families.backlog,
            &families.backlog_bytes,
            &families.segments,
            &families.quarantined,
            &families.suspect,
            &families.unread,
            &families.max_bytes,
            &families.full,
            &families.failed,
            &families.holds,
            &families.held_bytes,
        ];
        for gauge in gauges {
            // One that was never set is not there.
            let _removed = gauge.remove_label_values(&[id]);
        }
        let _removed = families.commit_seconds.remove_label_values(&[id]);
        let _removed = families.compression_ratio.remove_label_values(&[id]);
        let _removed = families.oldest_seconds.remove_label_values(&[id]);
        // What is counted since the vault was opened begins anew when it is opened again.
        for counter in [&families.corrupt, &families.lost, &families.dropped] {
            let _removed = counter.remove_label_values(&[id]);
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
            backlog_bytes: families.backlog_bytes.with_label_values(&[id]),
            compression_ratio: families.compression_ratio.with_label_values(&[id]),
            segments: families.segments.with_label_values(&[id]),
            oldest_seconds: families.oldest_seconds.with_label_values(&[id]),
            corrupt: families.corrupt.with_label_values(&[id]),
            lost: families.lost.with_label_values(&[id]),
            dropped: families.dropped.with_label_values(&[id]),
            quarantined: families.quarantined.with_label_values(&[id]),
            suspect: families.suspect.with_label_values(&[id]),
            unread: families.unread.with_label_values(&[id]),
            commit_seconds: families.commit_seconds.with_label_values(&[id]),
            max_bytes: families.max_bytes.with_label_values(&[id]),
            full: families.full.with_label_values(&[id]),
            failed: families.failed.with_label_values(&[id]),
            holds: families.holds.with_label_values(&[id]),
            held_bytes: families.held_bytes.with_label_values(&[id]),
            kept_for_removed: families.kept_for_removed.clone(),
            replayed: families.replayed.with_label_values(&[id]),
            dead_lettered: families.dead_lettered.with_label_values(&[id]),
            redriven: families.redriven.clone(),
        }
    }
}
