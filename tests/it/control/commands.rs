//! The commands of `gs-ctl` on a running process.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use gophership_otlp::Signal;
use serde_json::Value;

use super::authority::Authority;
use super::every_figure::assert_every_figure;
use super::figures::assert_same_deliveries;
use super::figures::assert_same_figures;
use super::port::Port;
use super::port::SOON;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::harness::gs_ctl;

const REPLAYED: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    headers: { x-tenant: hunter2 }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

pub(super) fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

/// The answer to a command that succeeds.
pub(super) fn json(process: &Process, arguments: &[&str]) -> Value {
    let output = process.control(&[arguments, &["-o", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Scenario: the real `gs-ctl` over the port: as a viewer, as an operator, with a stranger's certificate,
/// with a CA that is not the server's, and with files that are not there.
/// Guarantees: each has its answer or its exit code, with words that say what is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gs_ctl_over_the_port_has_an_exit_code_for_each_refusal() {
    let port = Port::start("").await;
    Authority::new("another CA").client(port.site.dir(), "stranger", |_| {});
    for (name, arguments, code, words) in [
        ("bob", &["health"][..], 0, "ready"),
        ("alice", &["override", "--zone", "red", "--reason", "game day"], 0, "zone red"),
        ("bob", &["override", "--zone", "green"], 77, "the role viewer may not change anything"),
        ("stranger", &["status"], 77, "refused the client certificate"),
        ("nobody", &["status"], 78, "nobody.pem"),
    ] {
        let output = port.gs_ctl(name, arguments);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", said(&output));
        assert!(said(&output).contains(words), "{name}: {}", said(&output));
    }
    Authority::new("another CA").write(port.site.dir().join("ca.pem"));
    let output = port.gs_ctl("bob", &["status"]);
    assert_eq!(output.status.code(), Some(77), "{}", said(&output));
    assert!(said(&output).contains("does --ca name the CA of the server?"), "{}", said(&output));
}

/// Scenario: a configuration with another setting and another sink is compared, put in force, and followed
/// by a broken one; a reload is ordered without waiting.
/// Guarantees: the difference is told before anything changes; each component has its outcome; a broken
/// file has the exit code for it and changes nothing; status and audit log say the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_foretold_carried_out_and_told_for_each_component() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    assert_eq!(json(&process, &["status"])["last_reload"], Value::Null);
    let more = "  spare: { type: blackhole, inputs: [otlp] }\nshutdown: { grace: 7s }\n";
    site.configure(&format!("{REPLAYED}{more}"));
    let outcome = |answer: &Value, id: &str| {
        let all = answer["components"].as_array().unwrap();
        let mut of_it = all.iter().filter(|component| component["id"] == id);
        of_it.next().map_or(Value::Null, |component| component["outcome"].clone())
    };
    let diff = json(&process, &["config", "diff"]);
    assert_eq!(
        (outcome(&diff, "spare"), outcome(&diff, "vault")),
        ("added".into(), "unchanged".into())
    );
    assert_eq!(diff["settings"], serde_json::json!(["shutdown"]));
    assert_eq!(diff, json(&process, &["reload", "--dry-run"]));
    assert_eq!(json(&process, &["status"])["generation"], 1);

    let reload = json(&process, &["reload", "--wait", "--reason", "more room"]);
    assert_eq!((&reload["generation"], &reload["error"]), (&2.into(), &"".into()));
    assert_eq!(outcome(&reload, "spare"), "started");
    assert_eq!(json(&process, &["status"])["last_reload"]["ok"], true);

    site.configure("sources: {}\nsinc: {}\n");
    for arguments in [&["reload", "--wait"][..], &["config", "diff"]] {
        let output = process.control(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("sinc"), "{arguments:?}: {}", said(&output));
    }
    let status = json(&process, &["status"]);
    assert_eq!((&status["generation"], &status["last_reload"]["ok"]), (&2.into(), &false.into()));
    site.configure(REPLAYED);
    assert_eq!(json(&process, &["reload"])["done"], false);
    let is_done = || json(&process, &["status"])["generation"] == 3;
    eventually(SOON, "the ordered reload is over", is_done).await;
    let reloads = audit_lines(site.dir(), "change");
    let outcomes: Vec<_> = reloads.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.len(), 3, "{outcomes:?}");
    assert_eq!((outcomes[0], outcomes[2]), ("configuration generation 2", "ordered"));
    assert!(outcomes[1].starts_with("failed: "), "{outcomes:?}");
    assert_eq!(reloads[0]["reason"], "more room");
}

/// Scenario: the configuration with a secret is shown.
/// Guarantees: options and defaults are there, the secret is not, in any format.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown_without_secrets() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    let shown = json(&process, &["config", "show"]);
    assert_eq!(shown["sinks"]["backend"]["headers"]["x-tenant"], "***");
    assert_eq!(shown["sinks"]["vault"]["type"], "raw_vault");
    assert_eq!(shown["shutdown"]["grace"], "30s");
    for format in ["table", "json", "yaml"] {
        let output = process.control(&["config", "show", "-o", format]);
        assert!(output.status.success() && !said(&output).contains("hunter2"), "{format}");
    }
}

/// Scenario: `gs-ctl watch` while the zone is held and released.
/// Guarantees: it begins with the zone in force and has a line for each change, with its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_has_a_line_for_each_change_of_the_zone() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    process.hold("green");
    let mut child = Command::new(gs_ctl())
        .arg("--socket")
        .arg(site.socket())
        .args(["watch", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["zone"], "green");
    for zone in ["red", "green", "yellow"] {
        process.hold(zone);
        let event = next();
        assert_eq!((&event["zone"], &event["held"]), (&zone.into(), &zone.into()));
        assert_eq!(event["reason"], "operator override");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Scenario: the log level is changed twice, once to something that is no filter.
/// Guarantees: lines at debug come and go with it; what is no filter changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_level_follows_the_command() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    let before = json(&process, &["log-level"])["filter"].clone();
    assert!(!process.log().contains("DEBUG"));
    assert_eq!(json(&process, &["log-level", "debug"])["before"], before);
    let is_told = || {
        json(&process, &["health"]);
        process.log().contains("DEBUG")
    };
    eventually(SOON, "lines at debug are in the log", is_told).await;
    let output = process.control(&["log-level", "=x=y"]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert_eq!(json(&process, &["log-level"])["filter"], "debug");
}

/// Scenario: a vault fills while replays are paused; then they go on.
/// Guarantees: nothing is replayed while they are paused, `vault ls`, `replay status` and the metrics say
/// how much waits, and everything arrives afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replays_wait_while_they_are_paused_and_go_on_afterwards() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    assert_eq!(json(&process, &["replay", "pause", "--reason", "maintenance"])["paused"], true);
    process.hold("red");
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let parcels: Vec<_> = (0..20).map(|_| traffic.request(Signal::Logs, 2)).collect();
    for parcel in &parcels {
        client.send(parcel).await.unwrap();
    }
    process.hold("green");
    let backlog =
        |metrics: &Metrics, left| metrics.sum("gophership_vault_backlog_requests", &[]) == left;
    process.measured(SOON, "all wait", |metrics| backlog(metrics, 20)).await;
    // A request that takes the pipeline is delivered; if replays went on, they would be by then.
    let live = traffic.request(Signal::Logs, 1);
    client.send(&live).await.unwrap();
    assert_eq!((backend.has(&live.fingerprint), backend.attempts()), (1, 1));
    let status = json(&process, &["replay", "status"]);
    assert_eq!(status["paused"], true);
    assert_eq!(status["vaults"][0]["backlog_requests"], 20);
    let listed = json(&process, &["vault", "ls"]);
    assert_eq!(listed["vaults"][0]["requests"], 20);
    assert!(listed["vaults"][0]["oldest"].as_str().unwrap().ends_with('Z'), "{listed}");

    assert_eq!(json(&process, &["replay", "resume"])["paused"], false);
    let has = |parcel| backend.has(parcel) == 1;
    let all = || parcels.iter().all(|parcel| has(&parcel.fingerprint));
    eventually(SOON, "all is replayed", all).await;
    process.measured(SOON, "nothing waits", |metrics| backlog(metrics, 0)).await;
}

/// Scenario: the zone turns red.
/// Guarantees: the flight recorder has a record of what came before, which `gs-ctl` lists and shows; a
/// name that is none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flight_recorder_is_listed_and_shown() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    assert_eq!(json(&process, &["flight", "ls"])["flights"], serde_json::json!([]));
    process.hold("red");
    let listed = || json(&process, &["flight", "ls"])["flights"][0]["name"].clone();
    eventually(SOON, "there is a record", || listed().is_string()).await;
    let name = listed();
    let shown = json(&process, &["flight", "show", name.as_str().unwrap()]);
    assert!(shown.as_array().is_some_and(|readings| !readings.is_empty()), "{shown}");
    assert!(json(&process, &["flight", "show"]).is_array());
    let output = process.control(&["flight", "show", "../ledger"]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
}

/// Scenario: a process at rest that has delivered some requests and keeps others.
/// Guarantees: every number in `gs-ctl status` is what the metrics say, or is known to follow from them; the rates, the zone history, the tasks and the age of the oldest request are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_status_shows_is_what_the_metrics_say() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), REPLAYED);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    json(&process, &["replay", "pause"]);
    for zone in ["green", "red"] {
        process.hold(zone);
        for _ in 0..5 {
            client.send(&traffic.request(Signal::Traces, 3)).await.unwrap();
        }
    }
    let waits = |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 5;
    process.measured(SOON, "five wait", waits).await;
    let is_sampled = || {
        let status = json(&process, &["status"]);
        status["deliveries"][0]["answered_last_minute"] == 5
            && status["rates"]["over_seconds"] != 0.0
            && status["vaults"][0]["oldest_seconds"] != 0
    };
    eventually(SOON, "the history has it", is_sampled).await;
    let (status, metrics) = (json(&process, &["status"]), process.metrics().await);
    assert_eq!((status["zone"].as_str(), metrics.zone()), (Some("red"), 2));
    assert_same_figures(&status, &metrics);
    assert_same_deliveries(&status, &metrics);
    assert_every_figure(&status, &metrics);
    assert_eq!(status["ledger_imbalance"], 0);
    assert!(status["tasks"].as_u64().is_some_and(|tasks| 3 < tasks), "{status}");
    assert!(0 < metrics.sum("gophership_runtime_tasks", &[]));
    let zones = status["zone_history"].as_array().unwrap();
    assert_eq!(zones.last().unwrap()["zone"], "red", "{status}");
    assert_eq!(status["vaults"][0]["drain_seconds"], Value::Null, "replays are paused");

    process.hold("green");
    json(&process, &["replay", "resume"]);
    let is_empty = || json(&process, &["status"])["vaults"][0]["drain_seconds"] == 0;
    eventually(SOON, "the vault is empty", is_empty).await;
    assert_eq!(json(&process, &["status"])["vaults"][0]["oldest_seconds"], 0);
}

/// Scenario: the backend is out.
/// Guarantees: the status shows an open circuit, as the metrics do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_circuit_is_shown() {
    let nobody = crate::harness::free_address();
    let site = Site::new(nobody, REPLAYED);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let is_open =
        || json(&process, &["status"])["deliveries"][0]["endpoints"][0]["circuit"] == "open";
    for _ in 0..20 {
        client.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    }
    eventually(SOON, "the circuit is open", is_open).await;
    assert_same_deliveries(&json(&process, &["status"]), &process.metrics().await);
}
