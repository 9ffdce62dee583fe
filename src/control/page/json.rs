//! The figures of the page as JSON. What `gs-ctl status -o json` shows too has the same name there.

use gophership_control::json;
use gophership_control::proto;
use serde_json::Value;
use serde_json::json;

use super::view::View;

/// Renders a view. What a backend or the system said is left out: whoever asks has proved nothing.
pub(super) fn render(view: &View) -> String {
    let status = &view.status;
    let outage =
        |outage: &proto::Outage| json!({ "place": outage.place, "seconds": outage.seconds });
    let document = json!({
        "version": status.version,
        "ready": json::is_ready(status),
        "uptime_seconds": status.uptime_seconds,
        "zone": json::zone_name(status.zone),
        "zone_reason": status.zone_reason,
        "zone_seconds": status.zone_seconds,
        "zone_history": json::list(&status.zone_history, json::zone_span),
        "sensed": json::zone_name(status.sensed),
        "observing": status.observing,
        "held": json::zone_name(status.held),
        "held_seconds_left": status.held_seconds_left,
        "pressures": json::list(&status.pressures, json::pressure),
        "background_percent": f64::from(status.background_millionths) / 10_000.0,
        "stuck": status.stuck,
        "stalls": json::list(&status.stalls, json::stall),
        "outages": json::list(&status.outages, outage),
        "sink_backlogs": json::list(&status.sink_backlogs, json::sink_backlog),
        "replay_paused": status.replay_paused,
        "generation": status.generation,
        "memory": json::list(&status.memory, json::memory_share),
        "rates": json::rates(status),
        "components": json::list(&status.components, json::component),
        "links": links(view),
        "vaults": json::list(&status.vaults, json::vault),
        "ledger": json::ledger(status),
    });
    format!("{document}\n")
}

fn links(view: &View) -> Value {
    let links = view.links.iter().map(|link| {
        json!({ "from": link.from, "output": link.output, "to": link.to, "kind": link.kind.name() })
    });
    links.collect()
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
