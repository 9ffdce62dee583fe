//! The figures of the page as JSON. What `gs-ctl status -o json` shows too has the same name there.

use gophership_control::proto;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::view::View;
use super::view::zone_name;

/// Renders a view. What a backend or the system said is left out: whoever asks has proved nothing.
pub(super) fn render(view: &View) -> String {
    let status = &view.status;
    let outage =
        |outage: &proto::Outage| json!({ "place": outage.place, "seconds": outage.seconds });
    let pressure = |pressure: &proto::Pressure| {
        let percent = f64::from(pressure.permille) / 10.0;
        json!({ "kind": pressure.kind, "place": pressure.place, "percent": percent })
    };
    let share = |share: &proto::MemoryShare| {
        let (used, limit) = (share.used_bytes, share.limit_bytes);
        json!({ "share": share.name, "used_bytes": used, "limit_bytes": limit })
    };
    let stall = |stall: &proto::Stall| {
        let proto::Stall { component, waits, waiting, seconds } = stall;
        json!({ "component": component, "waits": waits, "waiting": waiting, "seconds": seconds })
    };
    let document = json!({
        "version": status.version,
        "ready": view.is_ready(),
        "uptime_seconds": status.uptime_seconds,
        "zone": zone_name(status.zone),
        "zone_reason": status.zone_reason,
        "zone_seconds": status.zone_seconds,
        "zone_history": view.zones.iter().map(|span| {
            json!({ "zone": span.zone.name(), "seconds": span.seconds })
        }).collect::<Value>(),
        "sensed": zone_name(status.sensed),
        "observing": status.observing,
        "held": zone_name(status.held),
        "held_seconds_left": status.held_seconds_left,
        "pressures": status.pressures.iter().map(pressure).collect::<Value>(),
        "background_percent": f64::from(status.background_millionths) / 10_000.0,
        "stuck": status.stuck,
        "stalls": status.stalls.iter().map(stall).collect::<Value>(),
        "outages": status.outages.iter().map(outage).collect::<Value>(),
        "replay_paused": status.replay_paused,
        "generation": status.generation,
        "memory": status.memory.iter().map(share).collect::<Value>(),
        "rates": rates(view),
        "components": components(view),
        "links": links(view),
        "vaults": vaults(view),
        "ledger": ledger(status),
    });
    format!("{document}\n")
}

fn rates(view: &View) -> Value {
    let rates = &view.rates;
    json!({
        "over_seconds": rates.seconds,
        "received_records_per_second": rates.received,
        "delivered_records_per_second": rates.delivered,
        "rejected_records_per_second": rates.rejected,
    })
}

fn components(view: &View) -> Value {
    let one = |component: &proto::Component| {
        json!({
            "id": component.id,
            "section": component.section,
            "type": component.r#type,
            "records_per_second": view.rate(component),
            "edge": {
                "batches": component.edge_batches,
                "bytes": component.edge_bytes,
                "occupancy_percent": f64::from(component.edge_permille) / 10.0,
            },
        })
    };
    view.status.components.iter().map(one).collect()
}

fn links(view: &View) -> Value {
    let links = view.links.iter().map(|link| {
        json!({ "from": link.from, "output": link.output, "to": link.to, "kind": link.kind.name() })
    });
    links.collect()
}

fn vaults(view: &View) -> Value {
    let one = |vault: &proto::Vault| {
        let rates = view.rates.vaults.get(&vault.id).copied().unwrap_or_default();
        json!({
            "id": vault.id,
            "used_bytes": vault.used_bytes,
            "backlog_requests": vault.backlog_requests,
            "failed": vault.failed,
            "full": vault.full,
            "max_bytes": vault.max_bytes,
            "replayed_requests": vault.replayed_requests,
            "dead_lettered_requests": vault.dead_lettered_requests,
            "lost_requests": vault.lost_requests,
            "replayed_requests_per_second": rates.replayed,
            "drain_seconds": rates.drain_seconds,
        })
    };
    view.status.vaults.iter().map(one).collect()
}

fn ledger(status: &proto::StatusResponse) -> Value {
    let mut signals = Map::new();
    for row in &status.ledger {
        let buckets = signals.entry(row.signal.clone()).or_insert_with(|| json!({}));
        buckets[row.bucket.as_str()] = json!(row.records);
    }
    Value::Object(signals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::page::view::tests::view;

    #[test]
    fn the_json_has_the_figures_and_not_what_backends_said() {
        let mut view = view();
        view.status.outages.push(proto::Outage {
            place: "backend".to_owned(),
            seconds: 5,
            reason: "hunter2".to_owned(),
        });
        let text = render(&view);
        assert!(!text.contains("hunter2"));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["zone"], "yellow");
        assert_eq!(value["zone_reason"], "the edge of a&b is 70% full");
        assert_eq!(value["zone_history"][0], json!({ "zone": "green", "seconds": 30 }));
        assert_eq!(value["ledger"]["logs"]["received"], 1_234_567);
        assert_eq!(value["vaults"][0]["backlog_requests"], 42);
        assert_eq!(value["vaults"][0]["drain_seconds"], Value::Null);
        assert_eq!(value["components"][3]["edge"]["batches"], 7);
        assert_eq!(value["links"][3]["kind"], "pivot");
    }
}
