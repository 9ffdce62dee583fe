//! Every number of `gs-ctl status -o json` is in the metrics too, or follows from what is: a number that is new has to
//! say which.

use serde_json::Value;

use crate::harness::Metrics;

/// What follows from counters and times, and has no metric of its own. `[]` is any item of a list, `*` any key.
const DERIVED: [&str; 23] = [
    "components[].edge.occupancy_percent",
    "components[].records_per_second",
    "deliveries[].p50_seconds",
    "deliveries[].p99_seconds",
    "draining.seconds",
    "held_seconds_left",
    "last_reload.ok",
    "last_reload.seconds_ago",
    "ledger_imbalance",
    "observing",
    "outages[].seconds",
    "rates.*",
    "sink_backlogs[].drain_seconds",
    "ready",
    "replay_paused",
    "stalls[].seconds",
    "stalls[].waiting",
    "stuck",
    "uptime_seconds",
    "vaults[].drain_seconds",
    "vaults[].replayed_requests_per_second",
    "zone_history[].seconds",
    "zone_seconds",
];

/// How a figure is compared with its metric.
#[derive(Clone, Copy)]
enum Like {
    /// The same whole number; true is 1.
    Number,
    /// Nearly the same real number.
    Real { within: f64 },
    /// A sensor has read something else by then; there is a series with these labels.
    Reading,
}

const REAL: Like = Like::Real { within: 3.0 };

/// A figure, its metric, the labels of that, and how they are compared.
type Same = (&'static str, &'static str, &'static [(&'static str, &'static str)], Like);

/// Figures, the metrics that say the same, and the labels that take the value of a field beside the figure.
const SAME: [Same; 42] = [
    ("background_percent", "somatic_background_ratio", &[], Like::Reading),
    ("components[].edge.batches", "edge_batches", &[("component", "id")], Like::Number),
    ("components[].edge.bytes", "edge_bytes", &[("component", "id")], Like::Number),
    ("deliveries[].answered_last_minute", "sink_round_trip_seconds_count", SINK, Like::Number),
    ("deliveries[].in_flight_requests", "sink_in_flight_requests", SINK, Like::Number),
    ("deliveries[].limit_requests", "sink_concurrency_limit", SINK, Like::Number),
    ("left_vaults[].dead_letters", "vault_left_dead_letters", &[("dir", "dir")], Like::Number),
    ("left_vaults[].requests", "vault_left_requests", &[("dir", "dir")], Like::Number),
    ("memory[].limit_bytes", "memory_limit_bytes", &[("share", "share")], Like::Number),
    ("memory[].used_bytes", "memory_used_bytes", &[("share", "share")], Like::Number),
    (
        "pressures[].percent",
        "somatic_pressure_ratio",
        &[("kind", "kind"), ("place", "place")],
        Like::Reading,
    ),
    (
        "s3_replays[].claimed_segments",
        "s3_replay_segments",
        &[("source", "id"), ("state", "=claimed")],
        Like::Number,
    ),
    (
        "s3_replays[].delivered_requests",
        "s3_replay_requests_total",
        &[("source", "id")],
        Like::Number,
    ),
    (
        "s3_replays[].done_segments",
        "s3_replay_segments",
        &[("source", "id"), ("state", "=done")],
        Like::Number,
    ),
    (
        "s3_replays[].rejected_requests",
        "s3_replay_rejected_total",
        &[("source", "id")],
        Like::Number,
    ),
    ("s3_replays[].segments", "s3_replay_segments", &[("source", "id")], Like::Number),
    (
        "s3_replays[].segments_by_others",
        "s3_replay_segments",
        &[("source", "id"), ("state", "=by_others")],
        Like::Number,
    ),
    (
        "s3_replays[].unusable_segments",
        "s3_replay_segments",
        &[("source", "id"), ("state", "=unusable")],
        Like::Number,
    ),
    ("s3_sinks[].archived_segments", "s3_segments_total", SINK, Like::Number),
    ("s3_sinks[].oldest_seconds", "s3_lag_seconds", SINK, REAL),
    ("s3_sinks[].out", "s3_out", SINK, Like::Number),
    ("s3_sinks[].waiting_bytes", "s3_lag_bytes", SINK, Like::Number),
    ("s3_sinks[].waiting_segments", "s3_lag_segments", SINK, Like::Number),
    ("sink_backlogs[].bytes", "sink_backlog_bytes", OF_SINK, Like::Number),
    ("sink_backlogs[].oldest_seconds", "sink_backlog_oldest_seconds", OF_SINK, REAL),
    ("sink_backlogs[].records", "sink_backlog_records", OF_SINK, Like::Number),
    ("sink_backlogs[].requests", "sink_backlog_requests", OF_SINK, Like::Number),
    ("sink_backlogs[].seconds", "sink_backlog_seconds", OF_SINK, REAL),
    ("tasks", "runtime_tasks", &[], Like::Real { within: 8.0 }),
    ("vaults[].backlog_bytes", "vault_backlog_bytes", VAULT, Like::Number),
    ("vaults[].backlog_requests", "vault_backlog_requests", VAULT, Like::Number),
    ("vaults[].compression_ratio", "vault_compression_ratio", VAULT, Like::Real { within: 0.01 }),
    ("vaults[].dead_lettered_requests", "vault_dead_lettered_total", VAULT, Like::Number),
    ("vaults[].dropped_requests", "vault_dropped_requests_total", VAULT, Like::Number),
    ("vaults[].failed", "vault_failed", VAULT, Like::Number),
    ("vaults[].full", "vault_full", VAULT, Like::Number),
    ("vaults[].lost_requests", "vault_lost_requests_total", VAULT, Like::Number),
    ("vaults[].max_bytes", "vault_max_bytes", VAULT, Like::Number),
    ("vaults[].oldest_seconds", "vault_oldest_seconds", VAULT, REAL),
    ("vaults[].replayed_requests", "vault_replayed_total", VAULT, Like::Number),
    ("vaults[].segments", "vault_segments", VAULT, Like::Number),
    ("vaults[].used_bytes", "vault_used_bytes", VAULT, Like::Number),
];
const SINK: &[(&str, &str)] = &[("sink", "id")];
const OF_SINK: &[(&str, &str)] = &[("sink", "sink")];
const VAULT: &[(&str, &str)] = &[("vault", "id")];

/// A number of the answer: where it is, and the object of the list that it is in.
struct Figure<'a> {
    path: String,
    value: &'a Value,
    item: &'a Value,
}

fn figures<'a>(value: &'a Value, path: &str, item: &'a Value, found: &mut Vec<Figure<'a>>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                figures(field, &path, item, found);
            }
        }
        Value::Array(items) => {
            for one in items {
                figures(one, &format!("{path}[]"), one, found);
            }
        }
        Value::Number(_) | Value::Bool(_) => {
            found.push(Figure { path: path.to_owned(), value, item });
        }
        Value::Null | Value::String(_) => {}
    }
}

/// Every number of the status is what the metrics say; both were asked while nothing moved.
pub(super) fn assert_every_figure(status: &Value, metrics: &Metrics) {
    let mut found = Vec::new();
    figures(status, "", status, &mut found);
    let (mut compared, mut unknown) = (0, Vec::new());
    for figure in &found {
        let is_derived = |path: &&str| match path.strip_suffix('*') {
            Some(before) => figure.path.starts_with(before),
            None => *path == figure.path,
        };
        if DERIVED.iter().any(is_derived) {
            continue;
        }
        if !assert_booked(figure, metrics)
            && !assert_same(figure, metrics)
            && !assert_other(figure, metrics)
        {
            unknown.push(figure.path.as_str());
        }
        compared += 1;
    }
    assert!(unknown.is_empty(), "no metric is known for {unknown:?}: add it to SAME or DERIVED");
    assert!(30 < compared, "{compared}");
    let zone = |name: &Value| ["green", "yellow", "red"].iter().position(|zone| name == zone);
    let sensed = metrics.sum("gophership_somatic_sensed_zone", &[]);
    assert_eq!(zone(&status["sensed"]).unwrap(), usize::try_from(sensed).unwrap());
    assert_eq!(zone(&status["zone"]).unwrap(), usize::try_from(metrics.zone()).unwrap());
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| f64::from(u8::from(value == true)))
}

/// Compares a line of the ledger; false if it is none.
fn assert_booked(figure: &Figure<'_>, metrics: &Metrics) -> bool {
    let parts: Vec<&str> = figure.path.split('.').collect();
    let shown = match parts[..] {
        ["ledger", signal, bucket] => {
            let labels = [("signal", signal), ("bucket", bucket)];
            metrics.sum("gophership_ledger_records", &labels)
        }
        ["sources", source, signal, bucket] => {
            let labels = [("source", source), ("signal", signal), ("bucket", bucket)];
            metrics.sum("gophership_ledger_source_records", &labels)
        }
        ["sinks", sink, signal, bucket] => {
            let labels = [("sink", sink), ("signal", signal), ("bucket", bucket)];
            metrics.sum("gophership_ledger_sink_records", &labels)
        }
        _ => return false,
    };
    assert_eq!(Some(shown), figure.value.as_i64(), "{}", figure.path);
    true
}

/// Compares what has a metric of its own; false if it has none.
fn assert_same(figure: &Figure<'_>, metrics: &Metrics) -> bool {
    let Some((_, name, labels, like)) = SAME.iter().find(|(path, ..)| *path == figure.path) else {
        return false;
    };
    let label = |(label, field): &(&'static str, &'static str)| {
        let value = field.strip_prefix('=').or_else(|| figure.item[*field].as_str());
        (*label, value.unwrap_or_else(|| panic!("{field} of {}", figure.path)).to_owned())
    };
    let labels: Vec<(&str, String)> = labels.iter().map(label).collect();
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
    let (name, shown) = (format!("gophership_{name}"), number(figure.value));
    // There is no queue in front of a source, nor of a vault without inputs.
    let has_none = figure.path.starts_with("components[].edge.") && shown == 0.0;
    assert!(
        has_none || metrics.has(&name, &labels),
        "{}: there is no {name}{labels:?}",
        figure.path
    );
    let of_metric = metrics.real_sum(&name, &labels);
    let within = match like {
        Like::Number => 0.0,
        Like::Real { within } => *within,
        Like::Reading => f64::INFINITY,
    };
    let differ = (of_metric - shown).abs();
    assert!(differ <= within, "{}: {shown}, {name}{labels:?}: {of_metric}", figure.path);
    true
}

/// Compares what is counted in another way; false if it is something else.
fn assert_other(figure: &Figure<'_>, metrics: &Metrics) -> bool {
    let shown = figure.value.as_i64();
    match figure.path.as_str() {
        // The first configuration is generation 1.
        "generation" => {
            let labels = [("result", "ok")];
            let reloads = metrics.sum("gophership_config_reloads_total", &labels);
            assert_eq!(shown, Some(reloads + 1), "{}", figure.path);
        }
        path => {
            let Some(reason) = path.strip_prefix("s3_sinks[].alarms.") else { return false };
            let sink = figure.item["id"].as_str().unwrap();
            let labels = [("sink", sink), ("reason", reason)];
            assert_eq!(shown, Some(metrics.sum("gophership_s3_alarms", &labels)), "{path}");
        }
    }
    true
}
