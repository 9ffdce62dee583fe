//! Dead letters: `gs-ctl dead-letters` lists, shows, sends again and drops what a backend refused for good.

use std::process::Output;
use std::time::Duration;

use gophership_otlp::Signal;
use serde_json::Value;
use serde_json::json;

use crate::audit::Audit;
use crate::audit::taken;
use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::audit_lines;
use crate::harness::eventually;
use crate::harness::json::wire_of;

const SOON: Duration = Duration::from_secs(20);
const RECORDS: u64 = 4;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// A process whose backend has refused some requests for good.
struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
    client: GrpcClient,
    traffic: Traffic,
}

impl Scene {
    async fn start() -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), YAML);
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        Self { backend, site, process, client, traffic }
    }

    /// Has requests refused for good that the vault replays, and returns them.
    async fn refuse(&self, signal: Signal, requests: u64) -> Vec<NumberedRequest> {
        self.process.hold("red");
        let mut refused = Vec::new();
        for _ in 0..requests {
            let request = self.traffic.request(signal, RECORDS);
            self.client.send(&request).await.unwrap();
            refused.push(request);
        }
        self.backend.set(Mode::Reject);
        self.process.hold("auto");
        let before = i64::try_from(refused.len()).unwrap();
        let is_refused = |metrics: &crate::harness::Metrics| {
            metrics.books(signal.name()).count("dead_lettered") >= before * count(RECORDS)
        };
        self.process.measured(SOON, "all are dead letters", is_refused).await;
        refused
    }

    /// The answer to a command that ends with `code`.
    fn ask(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.process.control(&[&["dead-letters"], arguments].concat())
    }

    /// The letters that a selection means.
    fn letters(&self, selection: &[&str]) -> Vec<Value> {
        let listed = self.ask(0, &[&["ls", "--each"], selection].concat());
        listed["letters"].as_array().unwrap().clone()
    }

    async fn books(&self, signal: Signal, buckets: &[(&'static str, i64)], act: &str) {
        self.process.books_become(signal, &Books::of(buckets), act).await;
    }

    async fn redriven(&self, outcome: &str) -> i64 {
        let labels = [("vault", "vault"), ("outcome", outcome)];
        self.process.metrics().await.sum("gophership_vault_redriven_total", &labels)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

/// Scenario: letters of two signals are listed in sums and one by one, selected by everything that they can be
/// selected by, a few at a time, and shown as JSON and as bytes.
/// Guarantees: every list has exactly the letters that are meant; what is shown is what the sender sent, bit
/// for bit; tables fit 80 columns; who looks at the content is in the audit log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_and_shown() {
    let scene = Scene::start().await;
    assert_eq!(scene.letters(&[]).len(), 0);
    let logs = scene.refuse(Signal::Logs, 3).await;
    let spans = scene.refuse(Signal::Traces, 2).await;
    let listed = scene.ask(0, &["ls"]);
    let groups = listed["groups"].as_array().unwrap();
    let sum = |name: &str| groups.iter().map(|group| group[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("letters"), sum("records")), (5, 5 * RECORDS), "{listed:#}");
    assert_eq!((&groups[0]["vault"], &groups[0]["sink"]), (&"vault".into(), &"backend".into()));
    let bytes: usize = logs.iter().chain(&spans).map(|request| request.wire.len()).sum();
    assert_eq!(sum("bytes"), bytes as u64);

    for (selection, letters) in [
        (&["--signal", "logs"][..], 3),
        (&["--signal", "traces", "--source", "otlp"], 2),
        (&["--sink", "backend", "--vault", "vault"], 5),
        (&["--sink", "other"], 0),
        (&["--source", "other"], 0),
        (&["--because", "INVALID"], 5),
        (&["--reason", "invalid"], 5),
        (&["--because", "no such reason"], 0),
        (&["--since", "1h"], 5),
        (&["--until", "1h"], 0),
        (&["--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"], 0),
        (&["--limit", "2"], 2),
        (&["--limit", "0"], 5),
    ] {
        assert_eq!(scene.letters(selection).len(), letters, "{selection:?}");
    }
    for (limit, has_more) in [("2", true), ("4", true), ("5", false), ("0", false)] {
        let listed = scene.ask(0, &["ls", "--each", "--limit", limit]);
        assert_eq!(listed["has_more"], has_more, "{limit}");
    }
    assert_eq!(scene.run(&["ls", "--signal", "smoke"]).status.code(), Some(74));
    assert_eq!(scene.run(&["ls", "--since", "yesterday"]).status.code(), Some(64));
    for arguments in [&["ls"][..], &["ls", "--each"]] {
        let text = said(&scene.run(arguments));
        assert!(text.lines().count() >= 2 && text.lines().all(|line| line.len() <= 80), "{text}");
    }

    let letter = &scene.letters(&["--signal", "traces"])[1];
    let id = letter["id"].as_str().unwrap();
    let raw = scene.run(&["show", id, "--format", "raw"]);
    assert!(spans.iter().any(|request| request.wire == raw.stdout), "{}", said(&raw));
    let shown = scene.ask(0, &["show", id]);
    assert_eq!(&shown["letter"], letter);
    assert_eq!(wire_of(Signal::Traces, &shown["content"].to_string()), raw.stdout);
    let gone = scene.run(&["show", "vault/1-999"]);
    assert!(!gone.status.success() && said(&gone).contains("vault/1-999"), "{}", said(&gone));
    let audit = audit_lines(scene.site.dir(), "change");
    let looks = audit.iter().filter(|line| line["action"] == "ShowDeadLetter").count();
    assert_eq!(looks, 3, "the last one in vain: {audit:?}");
}

/// Scenario: the backend takes what it refused before; the letters are counted, some of them are sent again,
/// then all, once while replays are paused.
/// Guarantees: each arrives once and as it was; a letter is gone when it has arrived and not before; the ledger
/// has it as delivered, the metric counts it, the audit log has the order, and `gophership audit` agrees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_sent_again_arrive_and_are_gone() {
    let mut scene = Scene::start().await;
    let logs = scene.refuse(Signal::Logs, 20).await;
    let spans = scene.refuse(Signal::Traces, 10).await;
    scene.backend.set(Mode::Accept);
    let counted = scene.ask(0, &["redrive", "--signal", "traces", "--dry-run"]);
    let redrive = &counted["redrives"][0];
    assert_eq!((&redrive["letters"], &redrive["records"]), (&10.into(), &(10 * RECORDS).into()));
    assert_eq!(scene.letters(&[]).len(), 30);

    let arguments = ["redrive", "--signal", "traces", "--wait", "--reason", "the schema is fixed"];
    let redrive = scene.ask(0, &arguments);
    assert_eq!(redrive["redrives"][0]["delivered_letters"], 10, "{redrive:#}");
    let all = count(10 * RECORDS);
    scene.books(Signal::Traces, &[("received", all), ("delivered", all)], "spans").await;
    for request in &spans {
        assert_eq!(scene.backend.has(&request.fingerprint), 1);
    }
    assert_eq!((scene.letters(&[]).len(), scene.redriven("delivered").await), (20, 10));

    assert!(scene.process.control(&["replay", "pause"]).status.success());
    let began = scene.ask(0, &["redrive"]);
    assert_eq!(
        (&began["redrives"][0]["letters"], &began["redrives"][0]["done"]),
        (&20.into(), &false.into())
    );
    let busy = scene.run(&["redrive"]);
    assert!(!busy.status.success() && said(&busy).contains("under way"), "{}", said(&busy));
    assert!(!scene.run(&["drop", "--yes"]).status.success(), "nothing is dropped meanwhile");
    let is_shown = scene.ask(0, &["ls"]);
    assert_eq!(is_shown["redrives"][0]["delivered_letters"], 0, "replays pause");
    assert!(scene.process.control(&["replay", "resume"]).status.success());
    let is_over = || scene.ask(0, &["ls"])["redrives"][0]["done"] == true;
    eventually(SOON, "all are sent", is_over).await;
    for request in &logs {
        assert_eq!(scene.backend.has(&request.fingerprint), 1);
    }
    assert_eq!(scene.letters(&[]).len(), 0);
    let changes = audit_lines(scene.site.dir(), "change");
    let change = changes.iter().find(|line| line["action"] == "RedriveDeadLetters").unwrap();
    assert_eq!(change["reason"], "the schema is fixed");
    assert!(change["outcome"].as_str().unwrap().contains("10 letters"), "{change}");
    Audit::balanced(&scene.site, "quiet");

    scene.process.stop(SOON).await;
    Audit::balanced(&scene.site, "ended");
    scene.process = scene.site.start().await;
    assert_eq!(scene.letters(&[]).len(), 0, "what is gone does not come back");
}

/// Scenario: letters are sent again while the backend still refuses them, also letters of an earlier process;
/// then it takes one signal.
/// Guarantees: they stay, each once, refused at a later time; what the backend takes is gone; the exit code says
/// whether letters stay; the ledger has each record once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_refused_again_stay() {
    let mut scene = Scene::start().await;
    let logs = scene.refuse(Signal::Logs, 5).await;
    let before = scene.letters(&[]);
    let redrive = scene.ask(1, &["redrive", "--wait"]);
    let redrive = &redrive["redrives"][0];
    assert_eq!(
        (&redrive["refused_letters"], &redrive["delivered_letters"]),
        (&5.into(), &0.into())
    );
    let after = scene.letters(&[]);
    assert_eq!(after.len(), 5);
    let refused = |letter: &Value| letter["refused"].as_str().unwrap().to_owned();
    assert!(refused(&before[4]) < refused(&after[0]), "{before:?} {after:?}");
    let received = |letters: &[Value]| -> Vec<Value> {
        let mut times: Vec<Value> =
            letters.iter().map(|letter| letter["received"].clone()).collect();
        times.sort_by_key(ToString::to_string);
        times
    };
    assert_eq!(received(&before), received(&after));
    let all = count(5 * RECORDS);
    scene.books(Signal::Logs, &[("received", all), ("dead_lettered", all)], "refused twice").await;
    Audit::balanced(&scene.site, "quiet");

    scene.process.stop(SOON).await;
    scene.process = scene.site.start().await;
    assert_eq!(scene.letters(&[]).len(), 5);
    scene.ask(1, &["redrive", "--wait"]);
    scene.backend.set(Mode::Accept);
    let one = scene.letters(&[])[2]["id"].as_str().unwrap().to_owned();
    scene.ask(0, &["redrive", &one, "--wait"]);
    assert_eq!(
        (scene.letters(&[]).len(), taken(&scene.backend, Signal::Logs)),
        (4, count(RECORDS))
    );
    scene.ask(0, &["redrive", "--wait"]);
    for request in &logs {
        assert_eq!(scene.backend.has(&request.fingerprint), 1);
    }
    // They were counted as dead letters by the process before.
    let books = [("delivered", all), ("dead_lettered", -all)];
    scene.books(Signal::Logs, &books, "of an earlier process").await;
    Audit::balanced(&scene.site, "quiet");
}

/// Scenario: a transform that redacts is put in front of the backend after letters were stored.
/// Guarantees: what is sent again has gone through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_sent_again_go_through_the_transforms_in_force() {
    let scene = Scene::start().await;
    let record = json!({
        "body": { "stringValue": "mail from a@example.org" },
        "attributes": [{ "key": "test.number", "value": { "intValue": "1" } }],
    });
    let body = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [record] }] }] });
    let wire = wire_of(Signal::Logs, &body.to_string());
    scene.process.hold("red");
    scene.client.send_to(Signal::Logs.grpc_path(), wire.into()).await.unwrap();
    scene.backend.set(Mode::Reject);
    scene.process.hold("auto");
    scene.books(Signal::Logs, &[("received", 1), ("dead_lettered", 1)], "refused").await;
    let redact = "transforms:\n  redact: { type: redact, inputs: [otlp, replay], patterns: [email], mask: '[gone]' }\n";
    scene.site.configure(&format!(
        "{}{redact}",
        YAML.replace("inputs: [otlp, replay]", "inputs: [redact]")
    ));
    let reload = scene.process.control(&["reload", "--wait"]);
    assert!(reload.status.success(), "{}", said(&reload));
    scene.backend.set(Mode::Accept);
    scene.ask(0, &["redrive", "--wait"]);
    let last = String::from_utf8_lossy(&scene.backend.last()).into_owned();
    assert!(last.contains("mail from [gone]") && !last.contains("example.org"), "{last}");
    scene.books(Signal::Logs, &[("received", 1), ("delivered", 1)], "redacted").await;
}

/// Scenario: the process is killed while it sends letters again to a slow backend, and the next one goes on.
/// Guarantees: no letter is lost: each arrives, and is gone at the end; the ledger and the audit agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_letters_are_sent_again_loses_none() {
    let mut scene = Scene::start().await;
    let logs = scene.refuse(Signal::Logs, 300).await;
    scene.backend.set(Mode::Serve(2, Duration::from_millis(20)));
    scene.ask(0, &["redrive"]);
    let half = || scene.backend.requests() >= 100;
    eventually(SOON, "some have arrived", half).await;
    scene.process.kill();
    let arrived = scene.backend.requests();
    assert!(arrived < 300, "{arrived} arrived before the kill");
    scene.backend.set(Mode::Accept);
    scene.process = scene.site.start().await;
    let left = scene.letters(&["--limit", "0"]).len();
    assert!((1..300).contains(&left), "{left} letters are left, {arrived} arrived");
    scene.ask(0, &["redrive", "--wait"]);
    for request in &logs {
        assert!(scene.backend.has(&request.fingerprint) >= 1);
    }
    assert_eq!(scene.letters(&[]).len(), 0);
    Audit::balanced(&scene.site, "quiet");
    scene.process.stop(SOON).await;
    Audit::balanced(&scene.site, "ended");
}

/// Scenario: letters are dropped: without consent, some of them, and the rest; the process is killed and
/// started again.
/// Guarantees: nothing is dropped without consent; what is dropped is gone for good, also after the kill, and is
/// dropped in the ledger; the audit log says who, why and how much; the audit finds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_dropped_are_gone_and_booked() {
    let mut scene = Scene::start().await;
    scene.refuse(Signal::Logs, 6).await;
    scene.refuse(Signal::Metrics, 3).await;
    let refused = scene.process.control(&["dead-letters", "drop"]);
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    let counted = scene.ask(0, &["drop", "--signal", "metrics", "--dry-run"]);
    assert_eq!((&counted["letters"], &counted["records"]), (&3.into(), &(3 * RECORDS).into()));
    assert_eq!(scene.letters(&[]).len(), 9);
    let arguments = ["drop", "--signal", "metrics", "--yes", "--reason", "a test of last year"];
    assert_eq!(scene.ask(0, &arguments)["letters"], 3);
    let all = count(3 * RECORDS);
    scene.books(Signal::Metrics, &[("received", all), ("dropped", all)], "dropped").await;
    let one = scene.letters(&[])[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.ask(0, &["drop", "--yes", &one])["letters"], 1);
    assert!(scene.letters(&[]).iter().all(|letter| letter["id"] != one.as_str()));
    let changes = audit_lines(scene.site.dir(), "change");
    let change = changes.iter().find(|line| line["action"] == "DropDeadLetters").unwrap();
    assert_eq!(
        (&change["reason"], &change["detail"]),
        (&"a test of last year".into(), &"signal=metrics".into())
    );
    assert!(
        change["outcome"].as_str().unwrap().contains("dropped 3 letters, 12 records"),
        "{change}"
    );
    Audit::balanced(&scene.site, "quiet");

    assert_eq!(scene.ask(0, &["drop", "--yes"])["letters"], 5);
    scene.process.kill();
    scene.process = scene.site.start().await;
    assert_eq!(scene.letters(&[]).len(), 0);
    scene.backend.set(Mode::Accept);
    let none = scene.ask(0, &["redrive", "--wait"]);
    assert_eq!(none["redrives"].as_array().unwrap().len(), 0);
    assert_eq!(taken(&scene.backend, Signal::Logs), 0);
    Audit::balanced(&scene.site, "quiet");
}
