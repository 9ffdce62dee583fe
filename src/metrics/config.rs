//! The figures of the program and of its configuration.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use prometheus::Gauge;
use prometheus::IntCounterVec;
use prometheus::IntGauge;

use crate::metrics::Builder;

/// What runs, and what became of its reloads.
pub struct ConfigMetrics {
    reloads: IntCounterVec,
    last_ok: IntGauge,
    last_at: Gauge,
}

impl ConfigMetrics {
    /// Counts a reload that ends now.
    pub fn reloaded(&self, is_ok: bool) {
        self.reloads.with_label_values(&[if is_ok { "ok" } else { "failed" }]).inc();
        self.started(is_ok);
    }

    /// Shows when a configuration was put in force, or was not, without counting it: the start is no
    /// reload.
    pub fn started(&self, is_ok: bool) {
        self.last_ok.set(is_ok.into());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_at.set(now.as_secs_f64());
    }
}

impl Builder {
    pub(super) fn config(&self) -> ConfigMetrics {
        let version = env!("CARGO_PKG_VERSION");
        self.gauge("build_info", &["version"], "1, for the version of GopherShip that runs.")
            .with_label_values(&[version])
            .set(1);
        ConfigMetrics {
            reloads: self.counter(
                "config_reloads_total",
                &["result"],
                "Configuration reloads by result.",
            ),
            last_ok: self
                .gauge(
                    "config_last_reload_successful",
                    &[],
                    "1 if the last reload succeeded, 0 if it failed and an older configuration is in force.",
                )
                .with_label_values::<&str>(&[]),
            last_at: self
                .real_gauge(
                    "config_last_reload_timestamp_seconds",
                    &[],
                    "When the configuration was reloaded last, in seconds since 1970; at first the start.",
                )
                .with_label_values::<&str>(&[]),
        }
    }
}
