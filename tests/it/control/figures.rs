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
        ("segments", "gophership_vault_segments"),
        ("backlog_bytes", "gophership_vault_backlog_bytes"),
    ] {
        assert_eq!(metrics.sum(name, &[]), vault[key].as_i64().unwrap(), "{key}");
    }
    for share in figures["memory"].as_array().unwrap() {
        let of_it = [("share", share["share"].as_str().unwrap())];
        let limit = metrics.sum("gophership_memory_limit_bytes", &of_it);
        assert_eq!(limit, share["limit_bytes"].as_i64().unwrap(), "{share}");
    }
}

/// What `gs-ctl status -o json` says of the sinks with a network backend is what the metrics say.
pub(super) fn assert_same_deliveries(figures: &Value, metrics: &Metrics) {
    for delivery in figures["deliveries"].as_array().unwrap() {
        let sink = delivery["id"].as_str().unwrap();
        for endpoint in delivery["endpoints"].as_array().unwrap() {
            let of_it = [("sink", sink), ("endpoint", endpoint["name"].as_str().unwrap())];
            let is_out = metrics.sum("gophership_sink_endpoint_out", &of_it) == 1;
            assert_eq!(endpoint["circuit"] != "closed", is_out, "{delivery}");
        }
        let of_it = [("sink", sink)];
        for (key, name) in [
            ("limit_requests", "gophership_sink_concurrency_limit"),
            ("answered_last_minute", "gophership_sink_round_trip_seconds_count"),
        ] {
            assert_eq!(metrics.sum(name, &of_it), delivery[key].as_i64().unwrap(), "{delivery}");
        }
        // Each lies within the bounds that as many answers came within.
        for (key, share) in [("p50_seconds", 50), ("p99_seconds", 99)] {
            let count = metrics.sum("gophership_sink_round_trip_seconds_count", &of_it);
            let Some(shown) = delivery[key].as_f64() else {
                assert_eq!(count, 0, "{delivery}");
                continue;
            };
            let wanted = |bound: f64| {
                let le = bound.to_string();
                let of_bound = [("sink", sink), ("le", le.as_str())];
                metrics.sum("gophership_sink_round_trip_seconds_bucket", &of_bound)
            };
            let bounds = gophership::metrics::ROUND_TRIP_BOUNDS;
            let above = bounds.iter().find(|bound| count * share <= wanted(**bound) * 100);
            let above = *above.unwrap_or(&bounds[bounds.len() - 1]);
            let below = bounds.iter().rfind(|bound| **bound < above).copied().unwrap_or(0.0);
            assert!(below <= shown && shown <= above, "{below} {shown} {above}");
        }
    }
}
