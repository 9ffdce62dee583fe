//! Transforms in the running process: what comes out, and what the books and metrics say of it.

use std::time::Duration;

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;

use crate::harness::Books;
use crate::harness::HttpClient;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::eventually;
use crate::harness::free_address;

const SOON: Duration = Duration::from_secs(15);

/// A process with one transform, between HTTP and a file.
struct Scene {
    site: Site,
    process: Process,
    client: HttpClient,
}

impl Scene {
    async fn new(transform: &str) -> Self {
        let yaml = format!(
            r#"
sources:
  otlp: {{ type: otlp, http: {{ listen: "$HTTP" }} }}
transforms:
  it: {{ inputs: [otlp], {transform} }}
sinks:
  out: {{ type: file, inputs: [it], path: "$DIR/out.jsonl" }}
"#
        );
        let site = Site::new(free_address(), &yaml);
        let process = site.start().await;
        let client = HttpClient::new(site.http());
        Self { site, process, client }
    }

    /// Sends log records, which must be acknowledged.
    async fn send_logs(&self, records: Value) {
        let service = json!({ "key": "service.name", "value": { "stringValue": "shop" } });
        let resource = json!({ "attributes": [service] });
        let scope = json!({ "logRecords": records });
        let body = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [scope] }] });
        self.send("/v1/logs", &body).await;
    }

    async fn send(&self, path: &str, body: &Value) {
        let headers = [("content-type", "application/json")];
        let answer = self.client.post(path, &headers, body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The text of the file, once it has so many lines.
    async fn written(&self, lines: usize) -> String {
        let path = self.site.dir().join("out.jsonl");
        let text = || std::fs::read_to_string(&path).unwrap_or_default();
        eventually(SOON, "the file has its lines", || text().lines().count() >= lines).await;
        text()
    }

    async fn books_are(&self, signal: Signal, received: i64, filtered: i64) {
        let delivered = received - filtered;
        let expected = [("received", received), ("delivered", delivered), ("filtered", filtered)];
        self.process.books_become(signal, &Books::of(&expected), "all is sent").await;
    }

    /// The sum of a metric of the transform.
    async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let labels: Vec<_> = [("transform", "it")].iter().chain(labels).copied().collect();
        self.process.metrics().await.sum(name, &labels)
    }
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": value })
}

/// Scenario: log records with personal data in body, nested attributes and numbers are sent.
/// Guarantees: none of it is delivered, what stood around it is, and metrics count by pattern.
#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_not_delivered() {
    let redact = "type: redact, patterns: [email, card], keys: ['*password*'], mask: '[gone]'";
    let scene = Scene::new(redact).await;
    let nested = json!({ "kvlistValue": { "values": [
        attribute("list", &json!({ "arrayValue": { "values": [text("b@example.org"), text("kept one")] } })),
        attribute("User.Password", &text("hunter2")),
    ] } });
    let attributes = [
        attribute("card", &json!({ "intValue": "4111111111111111" })),
        attribute("nested", &nested),
    ];
    let records = json!([
        { "body": text("mail from a@example.org, kept two"), "attributes": attributes },
        { "body": text("kept three") },
    ]);
    scene.send_logs(records).await;
    let written = scene.written(1).await;
    for gone in ["example.org", "4111111111111111", "hunter2"] {
        assert!(!written.contains(gone), "{gone}: {written}");
    }
    for kept in ["mail from [gone], kept two", "kept one", "kept three", "User.Password", "shop"] {
        assert!(written.contains(kept), "{kept}: {written}");
    }
    scene.books_are(Signal::Logs, 2, 0).await;
    for (pattern, count) in [("email", 2), ("card", 1), ("keys", 1)] {
        let labels = [("pattern", pattern)];
        let redacted = scene.metric("gophership_transform_redacted_total", &labels).await;
        assert_eq!(redacted, count, "{pattern}");
    }
}

/// Scenario: 200 log records of 200 traces, and one span of each trace, pass a sampler of a quarter.
/// Guarantees: the same traces are left of both, and the books have the others as filtered.
#[tokio::test(flavor = "multi_thread")]
async fn logs_and_spans_of_the_same_traces_are_left() {
    let scene = Scene::new("type: sample, rate: 0.25").await;
    let id = |number: u64| {
        let hash = blake3::hash(&number.to_le_bytes()).to_hex();
        hash.get(..32).unwrap().to_owned()
    };
    let logs: Vec<Value> = (0..200).map(|number| json!({ "traceId": id(number) })).collect();
    scene.send_logs(Value::Array(logs)).await;
    let span = |number| json!({ "traceId": id(number), "spanId": "0102030405060708", "name": "s" });
    let spans: Vec<Value> = (0..200).map(span).collect();
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
    scene.send("/v1/traces", &body).await;
    let written = scene.written(2).await;
    let left = |line: &str| -> Vec<String> {
        line.split("\"traceId\":\"")
            .skip(1)
            .filter_map(|rest| rest.get(..32))
            .map(str::to_owned)
            .collect()
    };
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(left(lines[0]), left(lines[1]));
    let kept = left(lines[0]).len();
    assert!((20..80).contains(&kept), "{kept}");
    assert_eq!(written.matches("\"ot=th:c\"").count(), kept);
    let filtered = 200 - i64::try_from(kept).unwrap();
    scene.books_are(Signal::Logs, 200, filtered).await;
    scene.books_are(Signal::Traces, 200, filtered).await;
    let name = "gophership_transform_taken_out_records_total";
    assert_eq!(scene.metric(name, &[("class", "other")]).await, 2 * filtered);
}

/// Scenario: 50 log records of two users come at once, where one a second may, ten at once,
/// and one user has a limit of its own.
/// Guarantees: a burst of each passes, nobody waits, the books and the metric have the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_fast_is_taken_out() {
    let throttle = "type: throttle, key: user, records: 1, burst: 10s, \
                    limits: { big: { records: 2 } }";
    let scene = Scene::new(throttle).await;
    let user = |name: &str| json!({ "attributes": [attribute("user", &text(name))] });
    let records: Vec<Value> = (0..50).flat_map(|_| [user("small"), user("big")]).collect();
    scene.send_logs(Value::Array(records)).await;
    let written = scene.written(1).await;
    assert_eq!((written.matches("small").count(), written.matches("big").count()), (10, 20));
    scene.books_are(Signal::Logs, 100, 70).await;
    let name = "gophership_transform_taken_out_records_total";
    assert_eq!(scene.metric(name, &[("class", "other")]).await, 40);
    assert_eq!(scene.metric(name, &[("class", "big")]).await, 30);
}

/// Scenario: a log record is said five times, then the first request is sent again, as a sender does
/// that had no answer.
/// Guarantees: one is left, and of the request sent again the first record, for it may be new.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_taken_out_and_what_is_sent_again_is_not() {
    let scene = Scene::new("type: dedupe, window: 1h").await;
    let says =
        |time: u64| json!({ "timeUnixNano": time.to_string(), "body": text("disk is full") });
    let first = json!([says(1), says(2)]);
    scene.send_logs(first.clone()).await;
    scene.send_logs(json!([says(3), says(4), says(5)])).await;
    scene.send_logs(first).await;
    let written = scene.written(2).await;
    assert_eq!(written.matches("disk is full").count(), 2, "{written}");
    scene.books_are(Signal::Logs, 7, 5).await;
    let name = "gophership_transform_taken_out_records_total";
    assert_eq!(scene.metric(name, &[("class", "repeat")]).await, 5);
}

/// Scenario: `gophership test` runs the cases of an example, then one of them with other
/// expectations.
/// Guarantees: it says ok and exits 0; it shows what differs and exits 1.
#[test]
fn cases_of_a_configuration_run_from_the_command_line() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/fewer.yaml");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gophership"));
        let output = command.arg("test").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, out) = run(&[example]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("2 cases, 0 failed"), "{out}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.yaml");
    let text = std::fs::read_to_string(example).unwrap().replace("ot=th:e666", "ot=th:8");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let (code, out) = run(&["-c", path]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("- trace_state: \"ot=th:8\""), "{out}");
    assert!(out.contains("+ trace_state: \"ot=th:e666\""), "{out}");
    assert!(out.contains("ok      a record that says the same"), "{out}");
    let (code, out) = run(&["-c", path, "--only", "minute later"]);
    assert_eq!((code, out.contains("1 cases, 0 failed")), (Some(0), true), "{out}");
    let (code, out) = run(&[path, "--only", "nosuch"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("No test case matches `nosuch`. There are:\n  "), "{out}");
}
