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
                "Records by ledger bucket; origins equal destinations.",
            ),
            sources: self.gauge(
                "ledger_source_records",
                &["source", "signal", "bucket"],
                "Records by source and ledger bucket; origins equal destinations for each source.",
            ),
            sinks: self.gauge(
                "ledger_sink_records",
                &["sink", "signal", "line"],
                "Records by sink: taken equals delivered, rejected, returned and in_flight; \
                 dead_lettered are the rejected ones of a vault, as they were stored.",
            ),
        }
    }
}
