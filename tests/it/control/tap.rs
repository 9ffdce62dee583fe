//! `gs-ctl tap` and `tail`: what passes a component, as it is there, without holding it up.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use gophership_otlp::Signal;
use serde_json::Value;

use super::port::Port;
use super::port::SOON;
use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::harness::gs_ctl;

const PIPELINE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
transforms:
  even: { type: filter, inputs: [otlp], drop: [{ attribute: test.parity, equals: odd }] }
sinks:
  backend: { type: otlp, inputs: [even], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, replay: off }
"#;

/// A running `gs-ctl tap` or `tail`.
struct Tapping {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Tapping {
    /// Starts it, and waits until it is in force.
    async fn start(site: &Site, arguments: &[&str]) -> Self {
        let before = taps(site);
        let mut child = Command::new(gs_ctl())
            .arg("--socket")
            .arg(site.socket())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        eventually(SOON, "the tap is in force", || before < taps(site)).await;
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("there is a line").unwrap()
    }

    /// Waits for its end; returns the lines that are left, and what it said.
    fn end(self) -> (Vec<String>, Output) {
        let lines = self.lines.map(Result::unwrap).collect();
        (lines, self.child.wait_with_output().unwrap())
    }
}

/// How many taps have begun.
fn taps(site: &Site) -> usize {
    let changes = audit_lines(site.dir(), "change");
    changes.iter().filter(|line| line["action"] == "Tap" && line["outcome"] == "began").count()
}

/// The numbers of the log records in a line of OTLP JSON.
fn numbers(line: &str) -> Vec<u64> {
    let request: Value = serde_json::from_str(line).unwrap();
    let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    let number = |record: &Value| {
        let attributes = record["attributes"].as_array().unwrap();
        let found = attributes.iter().find(|entry| entry["key"] == "test.number").unwrap();
        found["value"]["intValue"].as_str().unwrap().parse().unwrap()
    };
    records.iter().map(number).collect()
}

/// Scenario: a source, a transform that drops every other record, the sink behind it, and in Red the vault are
/// tapped while the same kind of request is sent; one tap has a filter and a limit.
/// Guarantees: each tap shows what flows there: all records at the source, those that are left behind the transform
/// and at the sink, all in the vault; a filter and a limit hold; everything is delivered as without taps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_shows_what_flows_at_its_component() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let json = |component| ["tap", component, "--format", "json"];
    let mut source = Tapping::start(&site, &json("otlp")).await;
    let mut transform = Tapping::start(&site, &json("even")).await;
    let mut sink = Tapping::start(&site, &["tap", "backend", "-o", "json"]).await;
    let mut vault = Tapping::start(&site, &json("vault")).await;
    let arguments = ["tap", "otlp", "--filter", "severity>=error", "--limit", "2"];
    let mut filtered = Tapping::start(&site, &arguments).await;
    let mut tail = Tapping::start(&site, &["tail"]).await;

    client.send(&traffic.request(Signal::Logs, 9)).await.unwrap();
    assert_eq!(numbers(&source.line()), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&transform.line()), [0, 2, 4, 6, 8]);
    assert_eq!(numbers(&sink.line()), [0, 2, 4, 6, 8]);
    let shown = "2026-01-01T00:00:00.000Z ERROR behaviour-tests log record number 0 test.number=0";
    let first = filtered.line();
    assert!(first.starts_with(shown), "{first}");
    let (rest, output) = filtered.end();
    assert!(rest.len() == 1 && rest[0].contains("number 4"), "{rest:?}");
    assert!(output.status.success());
    let first = tail.line();
    assert!(first.starts_with(&format!("otlp {shown}")), "{first}");
    for _ in 1..9 {
        tail.line();
    }

    process.hold("red");
    client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    assert_eq!(numbers(&vault.line()), [9, 10, 11]);
    assert_eq!(numbers(&source.line()), [9, 10, 11]);
    client.send(&traffic.request(Signal::Metrics, 1)).await.unwrap();
    while !tail.line().contains(" metric behaviour-tests ") {}

    let ends = [source, transform, sink, vault, tail].map(|mut tapping| {
        tapping.child.kill().unwrap();
        tapping.end().0
    });
    assert_eq!(ends[1], Vec::<String>::new(), "nothing passed the transform in red");
    let books = process.metrics().await.books("logs");
    assert_eq!(books.count("delivered") + books.count("filtered") + books.count("vaulted"), 12);
    let used =
        |metrics: &Metrics| metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]);
    process.measured(SOON, "the memory is given back", |metrics| used(metrics) == 0).await;
}

/// Scenario: components and filters that do not exist, more taps than there may be, a viewer, and a reload that
/// removes the component.
/// Guarantees: each has its words and exit code; a tap whose component is gone ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_that_cannot_be_says_why() {
    let port = Port::start("").await;
    for (name, arguments, code, words) in [
        ("alice", &["tap", "otpl"][..], 74, "there is no component `otpl`; did you mean `otlp`?"),
        ("alice", &["tap", "zzz"], 74, "the components are otlp, backend, vault"),
        ("alice", &["tap", "otlp", "--filter", "severity=warn"], 64, "at character 9"),
        ("alice", &["tail", "--filter", "body~x or name=y"], 64, "at character 8"),
        ("bob", &["tail"], 77, "the role viewer may not change anything or tap requests"),
        ("alice", &["tail", "--duration", "1ms"], 0, ""),
    ] {
        let output = port.gs_ctl(name, arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let site = &port.site;
    let mut taps = Vec::new();
    for _ in 0..8 {
        taps.push(Tapping::start(site, &["tap", "backend"]).await);
    }
    let output = port.process.control(&["tail"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there are 8 taps already"), "{said}");
    site.configure(&super::port::yaml(port.address, "", "[]").replace("  backend:", "  other:"));
    assert!(port.process.control(&["reload", "--wait"]).status.success());
    for tapping in taps {
        let (_, output) = tapping.end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{said}");
        assert!(said.contains("a reload removed the component"), "{said}");
    }
}

/// Scenario: a stopped `gs-ctl tail` reads nothing while more passes than a tap may keep.
/// Guarantees: every request is answered and delivered as if nobody looked; the memory of the tap is bounded; what
/// was not kept is told when the client goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tap_cannot_keep_is_counted_and_nobody_waits_for_it() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), PIPELINE);
    let process = site.start().await;
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    let tapping = Tapping::start(&site, &["tail", "--format", "json", "--limit", "400"]).await;
    let pid = rustix::process::Pid::from_raw(tapping.child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // What HTTP/2 keeps for it is full after a few, the tap after some 20 more.
    for _ in 0..60 {
        client.send(&traffic.padded(Signal::Logs, 4, 100 << 10)).await.unwrap();
    }
    let metrics = process.metrics().await;
    let held = metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]);
    assert!((1..=9 << 20).contains(&held), "{held}");
    assert_eq!(metrics.books("logs").count("received"), 240);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let end = tokio::task::spawn_blocking(move || tapping.end());
    while !end.is_finished() {
        client.send(&traffic.request(Signal::Logs, 4)).await.unwrap();
    }
    let (lines, output) = end.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("requests passed too fast for the tap and were left out"), "{said}");
    assert_eq!(lines.iter().map(|line| numbers(line).len()).sum::<usize>(), 400);
}
