//! The figures of the memory.

use prometheus::IntGauge;
use prometheus::IntGaugeVec;

use crate::metrics::Builder;
use crate::metrics::Metrics;

/// The gauges of one share of the memory budget.
#[derive(Clone)]
pub struct MemoryMetrics {
    /// Bytes that are used.
    pub used: IntGauge,
    /// Bytes that may be used.
    pub limit: IntGauge,
}

pub(super) struct MemoryFamilies {
    used: IntGaugeVec,
    limit: IntGaugeVec,
}

impl Builder {
    pub(super) fn memory(&self) -> MemoryFamilies {
        let used = "Used bytes of the memory budget, by share.";
        let limit = "The limit of the memory budget in bytes, by share.";
        MemoryFamilies {
            used: self.gauge("memory_used_bytes", &["share"], used),
            limit: self.gauge("memory_limit_bytes", &["share"], limit),
        }
    }

    pub(super) fn memory_idle(&self) -> IntGauge {
        let help = "Bytes of free buffers that the buffer pool keeps.";
        self.gauge("memory_idle_bytes", &[], help).with_label_values::<&str>(&[])
    }

    pub(super) fn runtime_tasks(&self) -> IntGauge {
        let help = "Tasks of the asynchronous runtime.";
        self.gauge("runtime_tasks", &[], help).with_label_values::<&str>(&[])
    }
}

impl Metrics {
    /// The gauges of a share.
    #[must_use]
    pub fn memory(&self, share: &str) -> MemoryMetrics {
        let MemoryFamilies { used, limit } = &self.memory;
        MemoryMetrics {
            used: used.with_label_values(&[share]),
            limit: limit.with_label_values(&[share]),
        }
    }
}
