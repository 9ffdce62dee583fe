//! What became of every record: in sum, by source and by sink.

use prometheus::IntGaugeVec;

use super::Builder;

/// The families of the ledger.
pub struct LedgerFamilies {
    /// Records by bucket and signal.
    pub total: IntGaugeVec,
    /// The same by source.
    pub sources: IntGaugeVec,
    /// What each sink took, and what became of it there.
    pub sinks: IntGaugeVec,
}

impl Builder {
    pub(super) fn ledger(&self) -> LedgerFamilies {
        LedgerFamilies {
            total: self.gauge(
                "ledger_records",
                &["signal", "bucket"],
                "Records by ledger bucket. The sum of origins equals the sum of destinations.",
            ),
            sources: self.gauge(
                "ledger_source_records",
                &["source", "signal", "bucket"],
                "Records by source and ledger bucket. The sum of origins of a source equals the \
                 sum of its destinations.",
            ),
            sinks: self.gauge(
                "ledger_sink_records",
                &["sink", "signal", "bucket"],
                "Records by sink. taken is the sum of delivered, rejected, returned and in_flight. \
                 dead_lettered counts rejected records from a vault, as they were stored.",
            ),
        }
    }
}
