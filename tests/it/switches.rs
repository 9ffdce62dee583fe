//! Switches of the command line, and the variables of the environment that stand for them.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::harness::Backend;
use crate::harness::Site;

const SOON: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(2);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// Scenario: a process with JSON as its log format, by the variable, from its start to its end.
/// Guarantees: every line is one JSON object with time, level and message; what a line is about are fields.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_json_has_an_object_on_each_line() {
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), YAML);
    site.env = vec![("GOPHERSHIP_LOG_FORMAT", "json".to_owned())];
    let mut process = site.start().await;
    process.hold("red");
    let log = process.stop(SOON).await;
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() > 3, "{log}");
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    let changed = lines.iter().find(|line| line["message"] == "Zone changed.").expect(&log);
    assert_eq!((&changed["from"], &changed["to"]), (&"green".into(), &"red".into()), "{changed}");
    assert_eq!(changed["reason"], "operator override", "{changed}");
}

/// Scenario: `--log-format json`, and the variable says text.
/// Guarantees: the switch goes first: the first line is JSON.
#[test]
fn the_switch_for_the_format_of_the_log_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gophership"));
    command
        .args(["--log-format", "json"])
        .env("GOPHERSHIP_LOG_FORMAT", "text")
        .env_remove("GOPHERSHIP_CONFIG")
        .current_dir(dir.path())
        .args(["--config", "gophership.yaml"])
        .stderr(Stdio::piped())
        .stdin(Stdio::null());
    let yaml = "data_dir: data\nsources: { demo: { type: demo, rate: 1 } }\nsinks: { hole: { type: blackhole, inputs: [demo] } }\n";
    std::fs::write(dir.path().join("gophership.yaml"), yaml).unwrap();
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line: Value = serde_json::from_str(&line).expect(&line);
    assert!(line["message"].is_string(), "{line}");
}

/// Scenario: the variables for the filter of the log, the file and the worker threads, with and without a switch.
/// Guarantees: a variable is as good as its switch; a switch goes before its variable; a value that cannot be
/// is refused before anything starts, with the name of the switch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_stands_for_its_switch_and_the_switch_goes_first() {
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), YAML);
    site.env = vec![("GOPHERSHIP_LOG", "error".to_owned())];
    let log = site.start().await.stop(SOON).await;
    assert_eq!(log, "", "nothing but errors is logged");

    let graph = |arguments: &[&str], value: &str| {
        Command::new(env!("CARGO_BIN_EXE_gophership"))
            .arg("graph")
            .args(arguments)
            .env("GOPHERSHIP_CONFIG", value)
            .output()
            .unwrap()
    };
    let config = site.config().display().to_string();
    let output = graph(&[], &config);
    assert!(output.status.success(), "{output:?}");
    let output = graph(&[], "/nowhere/at-all.yaml");
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at-all.yaml"), "{output:?}");
    let output = graph(&["--config", &config], "/nowhere/at-all.yaml");
    assert!(output.status.success(), "the switch goes first: {output:?}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_gophership"))
        .arg("--config")
        .arg(site.config())
        .env("GOPHERSHIP_THREADS", "none")
        .output()
        .unwrap();
    assert!(!wrong.status.success(), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--threads"), "{wrong:?}");
}

/// Scenario: `gs-ctl override --zone red --ttl 2s`.
/// Guarantees: the zone is red at once, until the time is over and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_ends_by_itself_after_its_time() {
    let backend = Backend::start().await;
    let yaml = format!("{YAML}somatic: {{ dwell: 100ms }}\n");
    let site = Site::new(backend.address(), &yaml);
    let process = site.start().await;
    let begun = Instant::now();
    let output = process.control(&["override", "--zone", "red", "--ttl", "2s"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(process.metrics().await.zone(), 2);
    process.measured(SOON, "the zone is green", |metrics| metrics.zone() == 0).await;
    let took = begun.elapsed();
    assert!(TTL <= took && took < 4 * TTL, "{took:?}");
}
