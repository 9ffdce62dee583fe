//! The website says what the program does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gophership::event::Bucket;
use gophership::event::Signal;
use gophership::event::SinkBucket;
use gophership::metrics::Metrics;
use gophership::metrics::ReplayState;

use super::examples::examples;
use crate::golden;

const METRICS_SOURCES: [&str; 15] = [
    include_str!("../../../src/metrics/mod.rs"),
    include_str!("../../../src/metrics/certificate.rs"),
    include_str!("../../../src/metrics/config.rs"),
    include_str!("../../../src/metrics/delivery.rs"),
    include_str!("../../../src/metrics/ledger.rs"),
    include_str!("../../../src/metrics/listener.rs"),
    include_str!("../../../src/metrics/log.rs"),
    include_str!("../../../src/metrics/memory.rs"),
    include_str!("../../../src/metrics/s3.rs"),
    include_str!("../../../src/metrics/s3_replay.rs"),
    include_str!("../../../src/metrics/source.rs"),
    include_str!("../../../src/metrics/sink.rs"),
    include_str!("../../../src/metrics/somatic.rs"),
    include_str!("../../../src/metrics/transform.rs"),
    include_str!("../../../src/metrics/vault.rs"),
];
const GOPHERSHIP_MAIN: &str = include_str!("../../../src/bin/gophership/main.rs");
const GS_CTL_MAIN: &str = include_str!("../../../crates/gs-ctl/src/main.rs");
/// Between these lines a page holds what the program says.
const BEGIN: &str = "<!-- generated: metrics -->\n";
const END: &str = "<!-- end -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("website").join(name)).unwrap()
}

/// Returns the pages, each with its path below `website/`.
pub(super) fn markdown() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join("website").join(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}{name}");
            let full = root().join("website").join(&path);
            if full.is_dir() {
                if !name.starts_with('.') && name != "node_modules" {
                    folders.push(format!("{path}/"));
                }
            } else if full.extension().is_some_and(|extension| extension == "md") {
                let text = page(&path);
                pages.push((path, text));
            }
        }
    }
    pages.sort();
    pages
}

/// Returns the names in the source of the metrics: the only texts there with an underscore.
fn registered() -> Vec<&'static str> {
    let names_of = |source: &'static str| {
        let source = source.split_once("impl Builder").unwrap().1;
        let source = source.split("mod tests").next().unwrap();
        source.split('"').skip(1).step_by(2)
    };
    let is_name = |text: &&str| {
        text.contains('_') && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
    };
    let names: Vec<&str> = METRICS_SOURCES.into_iter().flat_map(names_of).filter(is_name).collect();
    assert!(10 < names.len(), "src/metrics is written in another way now");
    names
}

/// Shows the metrics of an `s3` sink and an `s3_replay` source with all their labels.
fn touch_s3(metrics: &Metrics) {
    let s3 = metrics.s3("archive");
    s3.request("put", "done");
    s3.failure("server");
    s3.skip("gone");
    s3.alarm("different", 1);
    s3.lag_seconds(1.0);
    metrics.s3_replay("archive").set_segments(ReplayState::Done, 1);
}

/// Shows the metrics of other sinks with all their labels.
fn touch_sinks(metrics: &Metrics) {
    metrics.sink("backend").deliver(1, 1, [1]);
    metrics.sink_backlog("backend").set(&gophership::metrics::BacklogFigures::default());
    metrics.sink_file("file").reopened.inc();
    metrics.delivery("backend").limit.set(1);
    metrics.delivery("backend").in_flight.set(1);
    metrics.endpoint("backend", "http://host:4317").answered.inc();
}

/// Every metric by its name: its type, its labels, its help text.
pub(super) fn shown_metrics() -> BTreeMap<String, [String; 3]> {
    let metrics = Metrics::new();
    let _certificate = metrics.certificate("otlp", "grpc.tls.cert", 1);
    let (source, vault) = (metrics.source("otlp"), metrics.vault("vault"));
    source.accept();
    vault.replayed.inc();
    metrics.memory("ingest").used.set(1);
    metrics.memory("ingest").limit.set(1);
    touch_sinks(&metrics);
    touch_s3(&metrics);
    metrics.redacted("redact", "email").inc();
    metrics.is_shed("enrich").set(1);
    metrics.shed_records("enrich").inc();
    metrics.taken_out("sample", "other").inc();
    metrics.joined("batch", "size").inc();
    metrics.joined_requests("batch").inc();
    metrics.divided_requests("batch").inc();
    let (logs, received) = (Signal::Logs.name(), Bucket::Received.name());
    metrics.ledger.total.with_label_values(&[logs, received]).set(1);
    metrics.ledger.sources.with_label_values(&["otlp", logs, received]).set(1);
    metrics.ledger.sinks.with_label_values(&["backend", logs, SinkBucket::Taken.name()]).set(1);
    metrics.routed("route", "errors").inc();
    for gauge in [&metrics.edge_batches, &metrics.edge_bytes] {
        gauge.with_label_values(&["backend"]).set(1);
    }
    metrics.somatic.pressure.with_label_values(&["edge", "backend"]).set(1.0);
    metrics.somatic.transitions.with_label_values(&["green", "red", "edge"]).inc();
    metrics.somatic.reaction.with_label_values(&["red"]).observe(1.0);
    metrics.somatic.stalled.with_label_values(&["otlp"]).set(1);
    metrics.somatic.stalls.with_label_values(&["otlp"]).inc();
    metrics.listener("otlp/grpc").close("ended");
    metrics.vault_left.with_label_values(&["/data/former"]).set(1);
    metrics.vault_left_letters.with_label_values(&["/data/former"]).set(1);
    vault.kept_for_removed.with_label_values(&["vault", "former"]).set(1);
    vault.redriven.with_label_values(&["vault", "delivered"]).inc();
    metrics.restarts.with_label_values(&["backend"]).inc();
    metrics.failed.with_label_values(&["backend"]).set(1);
    metrics.config.reloaded(true);
    let text = metrics.render().unwrap();

    let mut rows: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) =
            line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            help.clone_into(&mut rows.entry(name.to_owned()).or_default()[2]);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            kind.clone_into(&mut rows.entry(name.to_owned()).or_default()[0]);
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split_once('}').unwrap().0.split(',');
            let labels: Vec<String> =
                labels.map(|label| format!("`{}`", label.split_once('=').unwrap().0)).collect();
            // A histogram is shown as several series, with a label more in one of them.
            let suffixes = ["_bucket", "_sum", "_count"];
            let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
            let family = family.filter(|family| rows.contains_key(*family)).unwrap_or(name);
            rows.entry(family.to_owned()).or_default()[1] = labels.join(", ");
        }
    }
    for name in registered() {
        assert!(rows.contains_key(format!("gophership_{name}").as_str()), "{name} is not shown");
    }
    rows
}

/// One row per metric, with everything in it that can be seen from outside.
fn metrics_table() -> String {
    let rows = shown_metrics();
    let rows = rows
        .iter()
        .map(|(name, [kind, labels, help])| format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    format!("| metric | type | labels | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}

/// Scenario: every metric is touched and rendered.
/// Guarantees: the page about metrics lists them all as they are; `UPDATE_GOLDEN=1` writes the list.
#[test]
fn the_page_about_metrics_lists_every_metric() {
    let text = page("operations/metrics.md");
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    golden::check(
        "website/operations/metrics.md",
        &format!("{before}{BEGIN}{}{END}{after}", metrics_table()),
    );
}

/// Returns the values of the `exit` module in a source text.
fn exit_codes(source: &str) -> Vec<&str> {
    let module = source.split_once("mod exit {").unwrap().1.split_once("\n}").unwrap().0;
    module.lines().filter_map(|line| line.split_once("u8 = ")?.1.strip_suffix(';')).collect()
}

/// Scenario: every word `gophership_...` on every page.
/// Guarantees: each is a metric of the program, or the beginning of several.
#[test]
fn every_metric_on_the_website_exists() {
    let table = metrics_table();
    let names: Vec<&str> = table.lines().filter_map(|row| row.split('`').nth(1)).collect();
    let is_known = |word: &str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let family = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix));
        names.iter().any(|name| {
            *name == word || Some(*name) == family || word.ends_with('_') && name.starts_with(word)
        })
    };
    let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let mut unknown = Vec::new();
    for (page, text) in markdown() {
        for word in text.split(|c| !is_part(c)) {
            // A crate, or the file of a package, such as `gophership_0.1.0_amd64.deb`.
            let is_other = |rest: &str| rest.starts_with("otlp") || rest.starts_with('0');
            if word.strip_prefix("gophership_").is_some_and(|rest| !is_other(rest))
                && !is_known(word)
            {
                unknown.push(format!("website/{page}: there is no metric {word}"));
            }
        }
    }
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}

#[test]
fn the_page_about_exit_codes_lists_every_exit_code() {
    let text = page("operations/exit-codes.md");
    for code in exit_codes(GOPHERSHIP_MAIN).into_iter().chain(exit_codes(GS_CTL_MAIN)) {
        assert!(text.contains(&format!("| {code} |")), "exit code {code} is not explained");
    }
}

/// Scenario: the examples, with the sentences that they begin with.
/// Guarantees: the page of examples lists them all; `UPDATE_GOLDEN=1` writes the list.
#[test]
fn the_page_of_examples_lists_every_example_with_its_sentence() {
    const BEGIN: &str = "<!-- generated: examples -->\n";
    let text = page("examples.md");
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let lines = examples().into_iter().map(|(name, text)| {
        let sentence = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        format!("- [{name}](../config/examples/{name}): {sentence}\n")
    });
    let list = lines.collect::<String>();
    golden::check("website/examples.md", &format!("{before}{BEGIN}{list}{END}{after}"));
}

#[test]
fn links_lead_somewhere_and_pages_are_plain_ascii() {
    let mut texts = markdown();
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        texts.push((format!("../{name}"), fs::read_to_string(root().join(name)).unwrap()));
    }
    for (name, text) in texts {
        assert!(text.is_ascii(), "{name}");
        let dir = root().join("website").join(&name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let target = dir.parent().unwrap().join(target);
            assert!(target.exists(), "{name} links to {}", target.display());
        }
    }
}
