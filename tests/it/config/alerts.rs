//! Alert rules, dashboard and runbooks name metrics and labels that the program shows, and each alert has a test
//! and a runbook.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::pages::shown_metrics;
use crate::golden;

const PREFIXES: [&str; 2] = ["gophership_", "process_"];
/// Labels that Prometheus adds, and that of the buckets of histograms.
const FOREIGN_LABELS: [&str; 3] = ["instance", "job", "le"];
/// The series of a histogram.
const SERIES: [&str; 3] = ["_bucket", "_count", "_sum"];
/// What each runbook says.
const SECTIONS: [&str; 4] =
    ["\n**What is lost:** ", "\n## Look at first\n", "\n## What to do\n", "\n## When to worry\n"];

/// An alert rule.
struct Rule {
    alert: String,
    expression: String,
    severity: String,
    runbook: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

fn rules() -> Vec<Rule> {
    let document = yaml("deploy/prometheus/rules.yaml");
    let groups = document["groups"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().trim().to_owned();
    let rule = |rule: &Value| Rule {
        alert: text(&rule["alert"]),
        expression: text(&rule["expr"]),
        severity: text(&rule["labels"]["severity"]),
        runbook: text(&rule["annotations"]["runbook_url"]),
    };
    let rules: Vec<Rule> =
        groups.flat_map(|group| group["rules"].as_array().unwrap()).map(rule).collect();
    assert!(20 < rules.len(), "{} rules", rules.len());
    rules
}

const fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The words of an expression outside of its texts, each with what follows.
fn words(expression: &str) -> Vec<(String, String)> {
    // What stands in quotation marks is no word.
    let plain: String = expression
        .split('"')
        .enumerate()
        .map(|(idx, part)| if idx % 2 == 0 { part } else { "\"\"" })
        .collect();
    let mut found = Vec::new();
    let mut rest = plain.as_str();
    while let Some(start) = rest.find(is_of_name) {
        let tail = rest.split_at(start).1;
        let (word, after) = tail.split_at(tail.find(|c| !is_of_name(c)).unwrap_or(tail.len()));
        found.push((word.to_owned(), after.to_owned()));
        rest = after;
    }
    found
}

/// What is inside of the brackets that a text begins with, as a list.
fn listed(text: &str, brackets: [char; 2]) -> Vec<String> {
    let [open, close] = brackets;
    let Some(inside) = text.trim_start().strip_prefix(open) else { return Vec::new() };
    let inside = inside.split(close).next().unwrap();
    let names = inside.split(',').map(|part| part.trim().split(|c| !is_of_name(c)).next().unwrap());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The labels of a metric, if there is one of this name.
fn labels_of(metrics: &BTreeMap<String, [String; 3]>, name: &str) -> Option<Vec<String>> {
    let of_family = SERIES.iter().find_map(|end| name.strip_suffix(end));
    let [kind, labels, _] = metrics
        .get(name)
        .or_else(|| metrics.get(of_family?).filter(|[kind, ..]| kind == "histogram"))?;
    // A histogram is never asked for by the name of its family.
    assert!(kind != "histogram" || of_family.is_some(), "{name} is a histogram");
    Some(labels.split(", ").map(|label| label.trim_matches('`').to_owned()).collect())
}

/// What an expression says that the program does not show.
fn faults(metrics: &BTreeMap<String, [String; 3]>, expression: &str) -> Vec<String> {
    let (mut faults, mut known) = (Vec::new(), BTreeSet::from(FOREIGN_LABELS.map(str::to_owned)));
    let words = words(expression);
    for (name, rest) in &words {
        if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some(labels) = labels_of(metrics, name) else {
            faults.push(format!("there is no metric {name}"));
            continue;
        };
        let is_there =
            |label: &String| labels.contains(label) || FOREIGN_LABELS.contains(&label.as_str());
        let asked = listed(rest, ['{', '}']).into_iter();
        let missing = asked.filter(|label| rest.starts_with('{') && !is_there(label));
        faults.extend(missing.map(|label| format!("{name} has no label {label}")));
        known.extend(labels);
    }
    for (word, rest) in &words {
        if ["by", "without", "on", "ignoring"].contains(&word.as_str()) {
            let unknown = listed(rest, ['(', ')']).into_iter().filter(|it| !known.contains(it));
            faults.extend(unknown.map(|label| format!("no metric here has a label {label}")));
        }
    }
    faults
}

/// Every text under one of these keys.
fn texts<'v>(value: &'v Value, keys: &[&str], found: &mut Vec<&'v str>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
        _ => {}
    }
}

#[test]
fn a_wrong_name_or_label_is_found() {
    let metrics = shown_metrics();
    let faults = |expression| faults(&metrics, expression);
    let right =
        r#"sum by (sink, le) (rate(gophership_sink_delivery_seconds_bucket{sink=~"a|b"}[5m]))"#;
    assert_eq!(faults(right), Vec::<String>::new());
    assert_eq!(faults("gophership_sink_nothing == 1").len(), 1);
    assert_eq!(faults(r#"gophership_vault_full{sink="a"}"#).len(), 1);
    assert_eq!(faults("max by (sink) (gophership_vault_full)").len(), 1);
    assert_eq!(faults("gophership_vault_full_sum").len(), 1, "it is no histogram");
}

/// Scenario: the expressions of all rules and of all panels.
/// Guarantees: each metric is shown by the program, with each label.
#[test]
fn rules_and_dashboard_ask_for_what_is_there() {
    let metrics = shown_metrics();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/gophership.json")).unwrap();
    let mut panels = Vec::new();
    texts(&dashboard, &["expr", "definition"], &mut panels);
    assert!(40 < panels.len(), "{} expressions", panels.len());
    let of_rules = rules().into_iter().map(|rule| (rule.alert, rule.expression));
    let of_panels = panels.into_iter().map(|text| ("the dashboard".to_owned(), text.to_owned()));
    let mut found = Vec::new();
    for (place, expression) in of_rules.chain(of_panels) {
        found.extend(faults(&metrics, &expression).iter().map(|it| format!("{place}: {it}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Scenario: the rules beside their tests and the runbooks.
/// Guarantees: each alert fires in a test, has a known severity, and a runbook that says everything it must; there
/// are no others.
#[test]
fn each_alert_has_a_test_and_a_runbook() {
    let rules = rules();
    let tests = read("deploy/prometheus/rules.test.yaml");
    let mut alerts = BTreeSet::new();
    for Rule { alert, severity, runbook, .. } in &rules {
        assert!(["critical", "warning"].contains(&severity.as_str()), "{alert}: {severity}");
        let fires = format!("alertname=\"{alert}\", alertstate=\"firing\", job=\"gophership\"");
        assert!(tests.contains(&fires), "{alert} fires in no test");
        assert_eq!(*runbook, format!("runbooks/{alert}.html"));
        let page = read(&format!("website/runbooks/{alert}.md"));
        assert!(page.starts_with(&format!("# {alert}\n\n")), "{alert}");
        for section in SECTIONS {
            assert!(page.contains(section), "{alert} has no {}", section.trim());
        }
        alerts.insert(format!("{alert}.md"));
    }
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("website/runbooks"));
    let pages = pages.unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = pages.filter(|name| name != "index.md").collect();
    assert_eq!(pages, alerts);
}

/// Scenario: the metrics that runbooks name, in their text and in their commands.
/// Guarantees: the program shows them. What a command looks for may be the beginning of a name.
#[test]
fn runbooks_name_metrics_that_are_there() {
    let metrics = shown_metrics();
    for Rule { alert, .. } in rules() {
        let page = read(&format!("website/runbooks/{alert}.md"));
        let mut is_command = false;
        for line in page.lines() {
            is_command ^= line.trim_start().starts_with("```");
            for (name, _) in words(line) {
                let is_metric =
                    name != "gophership_" && PREFIXES.iter().any(|it| name.starts_with(it));
                let is_there = metrics.contains_key(&name)
                    || is_command && metrics.keys().any(|metric| metric.starts_with(&name));
                assert!(!is_metric || is_there, "{alert}: {name}");
            }
        }
    }
}

/// Scenario: the rules as a table.
/// Guarantees: the page of all alerts has it; `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_page_of_all_alerts_has_each_rule() {
    let row = |Rule { alert, expression, severity, .. }: Rule| {
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let expression = expression.replace('|', "\\|");
        format!("| [{alert}]({alert}.md) | {severity} | `{expression}` |\n")
    };
    let rows: String = rules().into_iter().map(row).collect();
    let text = format!(
        "# Runbooks\n\n\
         This page lists every condition that is worth an alert, with its expression. Each has a page that says what \
         it means, what is lost, what to look at first, what to do and when to worry.\n\n\
         `deploy/prometheus/rules.yaml` has the rules for Prometheus, `deploy/prometheus/check` tests them, and \
         `deploy/grafana/gophership.json` is a dashboard for Grafana.\n\
         A `critical` condition loses data, will soon lose data, or does not end by itself; a `warning` can wait for \
         the morning.\n\
         The annotation `runbook_url` of each rule is relative to this website: put the address of your copy in \
         front of it.\n\n\
         | alert | severity | expression |\n|---|---|---|\n{rows}"
    );
    golden::check("website/runbooks/index.md", &text);
}
