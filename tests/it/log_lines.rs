//! The log as a program reads it: every line is JSON with numbers where quantities are, and nothing that an operator
//! must know is left out because something else happens often.

use std::time::Duration;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;
use serde_json::Value;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Site;
use crate::harness::Traffic;

const SOON: Duration = Duration::from_secs(20);
const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: 2s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;
/// As [`YAML`], without the vault.
const WITHOUT_VAULT: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, answer_within: 9s }
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", retry: { min: 10ms, max: 20ms } }
"#;
/// What debug output looks like.
const DEBUG_OUTPUT: [&str; 5] = ["Some(", "Ok(", "Err(", " { ", "None"];

/// Checks every value of a line.
fn check(line: &str, name: &str, value: &Value) {
    match value {
        Value::String(text) => {
            let is_debug = DEBUG_OUTPUT.iter().any(|it| text.contains(it));
            assert!(!is_debug, "{name} is debug output in {line}");
            let begins = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = text.split_at(begins.len()).1;
            let is_duration = ["ns", "us", "ms", "s", "m", "h"].contains(&unit)
                && !begins.is_empty()
                && begins.chars().all(|c| c.is_ascii_digit() || c == '.');
            assert!(!is_duration, "{name} is a duration as text in {line}");
        }
        Value::Object(fields) => fields.iter().for_each(|(name, value)| check(line, name, value)),
        _ => {}
    }
    if name.ends_with("_seconds") || name.ends_with("_bytes") {
        assert!(value.is_number(), "{name} is no number in {line}");
    }
}

/// The first line with this message.
fn line<'l>(lines: &'l [Value], message: &str) -> &'l Value {
    let found = lines
        .iter()
        .find(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message)));
    found.unwrap_or_else(|| panic!("no line says {message:?} in {lines:#?}"))
}

/// Scenario: a process that logs JSON: start, outage, hold of a zone, reload, return, stop.
/// Guarantees: every line is an object; durations and sizes are numbers; nothing is Rust's debug output; the first
/// lines say which version runs with which configuration, the last ones have the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_json_that_programs_can_count_with() {
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), YAML);
    site.env = vec![("GOPHERSHIP_LOG_FORMAT", "json".to_owned())];
    let mut process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    client.send(&traffic.request(Signal::Logs, 5)).await.unwrap();
    backend.set(Mode::Unavailable);
    for _ in 0..6 {
        client.send(&traffic.request(Signal::Logs, 5)).await.unwrap();
    }
    process.logged(SOON, &["The vault keeps requests"]).await;
    let hold = ["override", "--zone", "red", "--ttl", "90s", "--reason", "game day"];
    assert!(process.control(&hold).status.success());
    process.hold("auto");
    site.configure(&YAML.replace("patience: 2s", "patience: 1s"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Reloaded the configuration."]).await;
    backend.set(Mode::Accept);
    let is_over = |metrics: &Metrics| metrics.sum("gophership_sink_records_total", &[]) == 35;
    process.measured(SOON, "everything is delivered", is_over).await;
    process.logged(SOON, &["The vault has delivered everything"]).await;
    let log = process.stop(SOON).await;

    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for (text, value) in log.lines().zip(&lines) {
        check(text, "", value);
    }
    let ready = line(&lines, "GopherShip is ready.");
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ready["config"], site.config().to_str().unwrap());
    assert_eq!(
        (&ready["generation"], ready["config_hash"].as_str().map(str::len)),
        (&1.into(), Some(16))
    );
    let reloaded = line(&lines, "Reloaded the configuration.");
    assert_eq!(reloaded["generation"], 2);
    assert_ne!(reloaded["config_hash"], ready["config_hash"]);
    let hold = line(&lines, "Operator holds the zone.");
    assert_eq!((&hold["zone"], &hold["ttl_seconds"]), (&"red".into(), &90.0.into()));
    assert!(1.0 <= line(&lines, "The vault has delivered")["lasted_seconds"].as_f64().unwrap());
    let ledger = line(&lines, "Ledger in records.");
    assert_eq!((&ledger["received"], &ledger["delivered"]), (&35.into(), &35.into()), "{ledger}");
    assert_eq!(ledger["imbalance"], 0);
}

/// Scenario: a backend fails a request, and then rejects twenty for good.
/// Guarantees: the log says at once that requests are rejected, and later how many others were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_told_although_retries_were_told_a_moment_ago() {
    const REJECTED: &str = "Backend rejected a request.";
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), WITHOUT_VAULT);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    backend.set(Mode::Unavailable);
    let sending = tokio::spawn({
        let (client, request) = (client.clone(), traffic.request(Signal::Logs, 1));
        async move { client.send(&request).await }
    });
    process.logged(SOON, &["A request failed; the sink sends it again."]).await;
    backend.set(Mode::Reject);
    sending.await.unwrap().unwrap_err();
    for _ in 0..20 {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap_err();
    }
    process.logged(Duration::from_secs(2), &[REJECTED, "sink=backend"]).await;
    assert_eq!(process.count_in_log(REJECTED), 1);
    // Twenty-one were rejected; the line that tells of the others is about the last one.
    process.logged(SOON, &[REJECTED, "left_out=19"]).await;
}
