//! `gophership drill` with configurations as people run them: with filters, routes and samples it demands exactly the
//! records that the transforms let through, at the sinks that they lead to.

use std::path::Path;

use serde_json::Value;

use crate::drill::SHORT;
use crate::drill::document;
use crate::drill::drill;
use crate::drill::requirement;

/// A filter, a route behind it, and a sample behind one of its outputs.
const TRANSFORMS: &str = "
transforms:
  without_debug:
    { type: filter, inputs: [$INPUTS], drop: [{ severity_below: info }] }
  by_severity:
    type: route
    inputs: [without_debug]
    routes: [{ name: errors, when: { severity_at_least: error } }]
  some: { type: sample, inputs: [by_severity.unmatched], rate: 0.25 }
sinks:
  alerts: { type: otlp, inputs: [by_severity.errors], endpoint: 'http://localhost:4317' }
  archive: { type: otlp, inputs: [some], endpoint: 'http://localhost:4317' }
";

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Drills a configuration, and returns what was found; `code` is how the drill ends.
#[track_caller]
fn drilled(yaml: &str, arguments: &[&str], code: i32) -> Value {
    let dir = tempfile::tempdir().unwrap();
    document(&drill(&dir, Some(yaml), &[&SHORT[..], arguments].concat()), code)
}

/// Checks that all that is to arrive has arrived, that something was removed, and that the sums agree.
#[track_caller]
fn check_all_arrived(found: &Value) {
    let records = &found["records"];
    assert_eq!(found["passed"], true, "{found:#}");
    for none in ["lost", "missing", "misrouted", "altered", "not_judged", "dropped_by_queue"] {
        assert_eq!(records[none], 0, "{none}: {found:#}");
    }
    assert_eq!(records["acknowledged"], records["offered"], "{found:#}");
    let (delivered, removed) =
        (number(&records["delivered"]), number(&records["removed_by_transforms"]));
    assert!(0 < delivered && 0 < removed, "{found:#}");
    // Without a backlog there was no outage.
    assert!(0 < number(&found["backlog_records"]), "{found:#}");
    assert_eq!(requirement(found, "records at the wrong sink")["holds"], true);
}

fn notes(found: &Value) -> String {
    found["drill"]["notes"].to_string()
}

/// Scenario: a filter, a route and a sample before two sinks, whose backends are out for 3 seconds; the server is
/// killed meanwhile.
/// Guarantees: the drill passes; it demands at each sink some of the 512 kinds of records and no other, and counts
/// what the transforms removed.
#[test]
fn what_filter_route_and_sample_let_through_must_arrive() {
    let yaml = "
sources:
  otlp: { type: otlp, pivot: vault }
  replay: { type: vault_replay, vault: vault }"
        .to_owned()
        + &TRANSFORMS.replace("$INPUTS", "otlp, replay")
        + "  vault: { type: raw_vault }\n";
    let found = drilled(&yaml, &["--kill"], 0);
    check_all_arrived(&found);
    for sink in ["alerts", "archive"] {
        let is_told = notes(&found).contains(&format!("sink `{sink}` is to get "));
        assert!(is_told, "{}", notes(&found));
    }
}

/// Scenario: the same transforms, an OK means that a request is in memory, no vault takes over, and the server is
/// killed.
/// Guarantees: the drill fails, and misses only records that the transforms would have let through.
#[test]
fn a_loss_behind_filter_route_and_sample_is_seen() {
    let yaml = "sources: { otlp: { type: otlp, ack: received } }".to_owned()
        + &TRANSFORMS.replace("$INPUTS", "otlp");
    let found = drilled(&yaml, &["--kill", "--give-up-after", "5s"], 1);
    let records = &found["records"];
    let (missing, removed) =
        (number(&records["missing"]), number(&records["removed_by_transforms"]));
    assert!(0 < missing && missing <= number(&records["lost"]), "{found:#}");
    assert!(missing + removed <= number(&records["acknowledged"]), "{found:#}");
    assert_eq!(requirement(&found, "records lost end to end")["holds"], false);
    assert_eq!(requirement(&found, "records at the wrong sink")["holds"], true);
}

/// Scenario: a throttle before one of two sinks.
/// Guarantees: a note names it, and both sinks are judged: the drill lets the throttle take everything.
#[test]
fn a_throttle_is_named_and_everything_else_is_judged() {
    let yaml = "
sources:
  otlp: { type: otlp, pivot: vault }
  replay: { type: vault_replay, vault: vault }
transforms:
  slowly: { type: throttle, inputs: [otlp, replay], key: service.name, on: resource, records: 10, limits: { x: { records: 1 } } }
  no_debug: { type: filter, inputs: [slowly], drop: [{ severity_below: info }] }
sinks:
  all: { type: otlp, inputs: [otlp, replay], endpoint: 'http://localhost:4317' }
  few: { type: otlp, inputs: [no_debug], endpoint: 'http://localhost:4317' }
  vault: { type: raw_vault }
";
    let found = drilled(yaml, &[], 0);
    assert_eq!(found["records"]["not_judged"], 0, "{found:#}");
    assert_eq!(found["records"]["missing"], 0, "{found:#}");
    assert!(notes(&found).contains("`slowly`"), "{}", notes(&found));
}

/// Scenario: the examples with a route, and with dedupe, sample and throttle, as they are.
/// Guarantees: both are drilled, and pass.
#[test]
fn the_examples_that_route_and_sample_survive_an_outage() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    for name in ["route.yaml", "fewer.yaml"] {
        let text = std::fs::read_to_string(examples.join(name)).unwrap();
        let found = drilled(&text, &[], 0);
        assert_eq!(found["passed"], true, "{name}: {found:#}");
        assert_eq!(found["records"]["missing"], 0, "{name}: {found:#}");
        assert!(0 < number(&found["records"]["delivered"]), "{name}: {found:#}");
    }
}
