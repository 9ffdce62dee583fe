//! What sinks leave behind that are no longer in the configuration: their dead letters, and the spools of `s3` sinks.

use std::process::Output;
use std::time::Duration;

use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use serde_json::Value;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;

const SOON: Duration = Duration::from_secs(30);

const ONE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  main: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND", retry: { min: 20ms, max: 100ms } }
  vault: { type: raw_vault, path: "$DIR/vault", max_size: 128MiB, segment_size: 1MiB }
"#;
const OTHER: &str =
    "  other: { type: otlp, inputs: [otlp, replay], endpoint: \"http://$SECOND\" }\n";

/// A process with dead letters of the sink `main`.
struct Scene {
    backend: Backend,
    second: Backend,
    site: Site,
    process: Process,
    refused: Vec<NumberedRequest>,
}

impl Scene {
    async fn start(requests: u64) -> Self {
        let (backend, second) = (Backend::start().await, Backend::start().await);
        let site = Site::new(backend.address(), ONE);
        let process = site.start().await;
        let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
        process.hold("red");
        let mut refused = Vec::new();
        for _ in 0..requests {
            let request = traffic.request(Signal::Logs, 4);
            client.send(&request).await.unwrap();
            refused.push(request);
        }
        backend.set(Mode::Reject);
        process.hold("auto");
        let all = i64::try_from(requests).unwrap() * 4;
        let are_letters = |it: &Metrics| it.books("logs").count("dead_lettered") == all;
        process.measured(SOON, "all are dead letters", are_letters).await;
        Self { backend, second, site, process, refused }
    }

    fn reload(&self, yaml: &str) {
        self.site.configure(&yaml.replace("$SECOND", &self.second.address().to_string()));
        let output = self.process.control(&["reload", "--wait"]);
        assert!(output.status.success(), "{}", said(&output));
    }

    fn letters(&self, code: i32, arguments: &[&str]) -> Value {
        let all = [&["dead-letters"], arguments, &["-o", "json"]].concat();
        let output = self.process.control(&all);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn counts(&self, backend: &Backend) -> Vec<u64> {
        self.refused.iter().map(|request| backend.has(&request.fingerprint)).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn status(process: &Process) -> Value {
    let output = process.control(&["status", "-o", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Scenario: the sink that has dead letters is replaced by another one; they are sent again as they are, to a sink that
/// does not exist, to one that refuses them, and to one that takes them.
/// Guarantees: the list says that their sink is gone, nothing is lost or sent before a sink is named, what is refused
/// stays, and what the named sink has is gone; the ledger balances and the audit log has the sink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_a_removed_sink_are_told_and_sent_to_another_one() {
    let scene = Scene::start(30).await;
    assert_eq!(scene.letters(0, &["ls"])["groups"][0]["sink_is_gone"], false);
    let main = ONE.lines().find(|line| line.contains("main:")).unwrap();
    scene.reload(&ONE.replace(&format!("{main}\n"), OTHER));
    assert_eq!(scene.letters(0, &["ls"])["groups"][0]["sink_is_gone"], true);
    let table = said(&scene.process.control(&["dead-letters", "ls"]));
    assert!(table.contains("redrive --to SINK"), "{table}");

    let kept = scene.letters(1, &["redrive", "--wait"]);
    assert_eq!(kept["redrives"][0]["not_sent_letters"], 30, "{kept}");
    let output = scene.process.control(&["dead-letters", "redrive", "--to", "nosuch"]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains("leads to nosuch; sinks: other"), "{}", said(&output));
    scene.second.set(Mode::Reject);
    let refused = scene.letters(1, &["redrive", "--to", "other", "--wait"]);
    assert_eq!(refused["redrives"][0]["refused_letters"], 30, "{refused}");
    assert_eq!(scene.letters(0, &["ls"])["groups"][0]["letters"], 30);

    scene.second.set(Mode::Accept);
    let sent = scene.letters(0, &["redrive", "--to", "other", "--wait", "--reason", "moved"]);
    assert_eq!(sent["redrives"][0]["delivered_letters"], 30, "{sent}");
    assert_eq!(scene.counts(&scene.second), [1; 30]);
    assert_eq!(scene.letters(0, &["ls"])["groups"], serde_json::json!([]));
    let is_booked = |it: &Metrics| {
        let books = it.books("logs");
        books.count("delivered") == 120 && books.count("dead_lettered") == 0
    };
    scene.process.measured(SOON, "the ledger has them as delivered", is_booked).await;
    let changes = crate::harness::audit_lines(scene.site.dir(), "change");
    let last = changes.iter().rfind(|line| line["action"] == "RedriveDeadLetters").unwrap();
    assert_eq!(
        (last["detail"].as_str(), last["reason"].as_str()),
        (Some("all to=other"), Some("moved"))
    );
}

/// Scenario: dead letters of a sink that is still there are sent to another one beside it, and then to their own.
/// Guarantees: the other one has each once; a letter is gone only when its own sink has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_stays_until_its_own_sink_has_it() {
    let scene = Scene::start(20).await;
    scene.reload(&format!("{ONE}{OTHER}"));
    scene.letters(0, &["redrive", "--to", "other", "--wait"]);
    assert_eq!(scene.counts(&scene.second), [1; 20]);
    assert_eq!(scene.letters(0, &["ls"])["groups"][0]["letters"], 20);
    scene.backend.set(Mode::Accept);
    scene.letters(0, &["redrive", "--wait"]);
    assert_eq!(
        (scene.counts(&scene.backend), scene.counts(&scene.second)),
        (vec![1; 20], vec![1; 20])
    );
    assert_eq!(scene.letters(0, &["ls"])["groups"], serde_json::json!([]));
}

/// Scenario: a vault with dead letters, and nothing undelivered, gets another path, and the old one comes back; some of
/// the letters are dropped there, and the rest are sent.
/// Guarantees: status and metrics tell the directory and the number of letters until it is back; then they can be
/// dropped and sent again as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_a_removed_vault_are_told_until_it_is_back() {
    let scene = Scene::start(12).await;
    scene.reload(&ONE.replace("$DIR/vault", "$DIR/new"));
    let letters = |it: &Metrics| it.sum("gophership_vault_left_dead_letters", &[]);
    scene.process.measured(SOON, "the metric tells 12", |it| letters(it) == 12).await;
    let left = status(&scene.process)["left_vaults"][0].clone();
    assert_eq!((&left["requests"], &left["dead_letters"]), (&0.into(), &12.into()), "{left}");
    assert!(left["dir"].as_str().unwrap().ends_with("/vault"), "{left}");
    assert_eq!(scene.letters(0, &["ls"])["groups"], serde_json::json!([]));

    scene.reload(ONE);
    scene.process.measured(SOON, "nothing is left", |it| letters(it) == 0).await;
    let listed = scene.letters(0, &["ls", "--each"]);
    let ids: Vec<&str> = (0..5).map(|idx| listed["letters"][idx]["id"].as_str().unwrap()).collect();
    let dropped = scene.letters(0, &[&["drop", "--yes"], &ids[..]].concat());
    assert_eq!(dropped["letters"], 5);
    scene.backend.set(Mode::Accept);
    assert_eq!(scene.letters(0, &["redrive", "--wait"])["redrives"][0]["delivered_letters"], 7);
    assert_eq!(scene.counts(&scene.backend).iter().sum::<u64>(), 7);
}

const LAKE: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: off }
sinks:
  $LAKE
  hole: { type: blackhole, inputs: [otlp] }
"#;
const S3: &str = "lake: { type: s3, inputs: [otlp], bucket: { name: lake, path_style: true, attempt_timeout: 1s }, \
                  retry: { min: 10ms, max: 100ms }, objects: { max_age: 200ms } }";

/// Scenario: an `s3` sink is removed while its bucket is out and its spool has requests; the process is started again;
/// then the bucket and the sink are back.
/// Guarantees: status and metrics tell the spool and its requests at the reload and at the start; once the sink is
/// back they come into the bucket, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_of_a_removed_sink_is_told_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).unwrap();
    server.create_bucket("lake").unwrap();
    let backend = Backend::start().await;
    let mut site = Site::new(backend.address(), &LAKE.replace("$LAKE", S3));
    site.env = server.environment();
    let mut process = site.start().await;
    server.faults().always(RequestKind::Put, Fault::SLOW_DOWN);
    let (client, traffic) = (GrpcClient::new(site.grpc()), Traffic::default());
    for _ in 0..9 {
        client.send(&traffic.request(Signal::Logs, 4)).await.unwrap();
    }
    site.configure(&LAKE.replace("$LAKE", ""));
    let output = process.control(&["reload", "--wait"]);
    assert!(output.status.success(), "{}", said(&output));
    let requests = |it: &Metrics| it.sum("gophership_vault_left_requests", &[]);
    process.measured(SOON, "the metric tells 9", |it| requests(it) == 9).await;
    process.stop(SOON).await;
    process = site.start().await;
    process.measured(SOON, "it is told again", |it| requests(it) == 9).await;
    let left = status(&process)["left_vaults"][0].clone();
    assert!(left["dir"].as_str().unwrap().ends_with("s3/lake/spool"), "{left}");

    server.faults().clear();
    site.configure(&LAKE.replace("$LAKE", S3));
    let output = process.control(&["reload", "--wait"]);
    assert!(output.status.success(), "{}", said(&output));
    process.measured(SOON, "nothing is left", |it| requests(it) == 0).await;
    let is_uploaded = || {
        let keys = server.objects("lake").unwrap();
        keys.keys().any(|key| key.contains("logs") && !key.contains("/."))
    };
    crate::harness::eventually(SOON, "the spool is in the bucket", is_uploaded).await;
}
