//! What every view of a process has to agree on.

use serde_json::Value;

use crate::harness::Metrics;

/// Figures as `gs-ctl status -o json` or the page has them are those of the metrics.
pub(super) fn assert_same_figures(figures: &Value, metrics: &Metrics) {
    for signal in ["logs", "traces", "metrics"] {
        for (bucket, records) in figures["ledger"][signal].as_object().unwrap() {
            let of_it = [("signal", signal), ("bucket", bucket.as_str())];
            let shown = metrics.sum("gophership_ledger_records", &of_it);
            assert_eq!(shown, records.as_i64().unwrap(), "{signal} {bucket}");
        }
    }
    let vault = &figures["vaults"][0];
    for (key, name) in [
        ("backlog_requests", "gophership_vault_backlog_requests"),
        ("used_bytes", "gophership_vault_used_bytes"),
        ("max_bytes", "gophership_vault_max_bytes"),
        ("replayed_requests", "gophership_vault_replayed_total"),
    ] {
        assert_eq!(metrics.sum(name, &[]), vault[key].as_i64().unwrap(), "{key}");
    }
    for share in figures["memory"].as_array().unwrap() {
        let of_it = [("share", share["share"].as_str().unwrap())];
        let limit = metrics.sum("gophership_memory_limit_bytes", &of_it);
        assert_eq!(limit, share["limit_bytes"].as_i64().unwrap(), "{share}");
    }
}
