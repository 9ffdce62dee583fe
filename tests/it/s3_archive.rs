//! The sink `s3` with a vault: segments of a running server come into the bucket, and what holds them back.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gophership_archive::Manifest;
use gophership_archive::Prefix;
use gophership_archive::Restorer;
use gophership_otlp::Signal;
use gophership_s3_sim::Fault;
use gophership_s3_sim::RequestKind;
use gophership_s3_sim::S3Server;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use rustix::process::Signal as ProcessSignal;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const BUCKET: &str = "gophership-archive";
const SOON: Duration = Duration::from_secs(30);
const EXAMPLE: &str = include_str!("../../config/examples/s3-archive.yaml");

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    ack: journaled
    pivot: vault
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB, segment_age: 300ms }
  $ARCHIVE
"#;

const ARCHIVE: &str = "archive:
    type: s3
    vault: vault
    bucket: { name: gophership-archive, path_style: true, attempt_timeout: 1s }
    retry: { min: 10ms, max: 100ms }";

struct Rig {
    server: S3Server,
    backend: Backend,
    site: Site,
    _dir: TempDir,
}

impl Rig {
    async fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = S3Server::start(dir.path()).unwrap();
        server.create_bucket(BUCKET).unwrap();
        let backend = Backend::start().await;
        let mut site = Site::new(backend.address(), yaml);
        site.env = server.environment();
        Self { server, backend, site, _dir: dir }
    }

    fn manifests(&self) -> Vec<String> {
        let objects = self.server.objects(BUCKET).unwrap();
        let is_manifest = |key: &String| key.contains("/manifest/") && !key.contains("/.");
        objects.into_keys().filter(is_manifest).collect()
    }

    /// The file of the newest sealed segment in the vault; there is one.
    fn newest_sealed(&self) -> PathBuf {
        let files = fs::read_dir(self.site.dir().join("data/vault")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "gsv")).max().unwrap()
    }

    /// The payloads of all requests in the bucket, restored.
    fn restored(&self, prefix: &str) -> Vec<Vec<u8>> {
        let prefix: Prefix = prefix.parse().unwrap();
        let out = tempfile::tempdir().unwrap();
        for key in self.manifests() {
            let read = |key: &str| fs::read(self.server.object_path(BUCKET, key)).unwrap();
            let manifest = Manifest::read(&read(&key), &key).unwrap();
            let mut restorer = Restorer::new(&manifest, out.path()).unwrap();
            restorer.push(&read(&manifest.object_key(&prefix, &key).unwrap())).unwrap();
            restorer.finish().unwrap();
        }
        payloads(out.path())
    }
}

fn payloads(dir: &Path) -> Vec<Vec<u8>> {
    let mut reader = OfflineReader::open(dir).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let OfflineItem::Record(record) = item {
            found.push(record.payload.to_vec());
        }
    }
    found
}

/// Scenario: the example of the website, with nothing but variables of the environment; some requests, then
/// quiet.
/// Guarantees: the requests are in the bucket, byte for byte, though no segment is ever full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_archives_a_quiet_server_with_nothing_but_its_environment() {
    let mut rig = Rig::new("").await;
    let text = EXAMPLE
        .replace("127.0.0.1:4317", &rig.site.grpc().to_string())
        .replace("127.0.0.1:4318", &rig.site.http().to_string())
        .replace("127.0.0.1:9091", &rig.site.metrics().to_string());
    fs::write(rig.site.config(), text).unwrap();
    rig.site.env.extend([
        ("DATA_DIR", rig.site.dir().join("data").display().to_string()),
        ("BACKEND", format!("http://{}", rig.backend.address())),
        ("S3_BUCKET", BUCKET.to_owned()),
        ("S3_PATH_STYLE", "true".to_owned()),
        ("SEGMENT_AGE", "300ms".to_owned()),
    ]);
    let mut process = rig.site.start().await;
    let traffic = Traffic::default();
    let grpc = GrpcClient::new(rig.site.grpc());
    let mut sent = Vec::new();
    for signal in Signal::ALL {
        let parcel = traffic.request(signal, 3);
        grpc.send(&parcel).await.unwrap();
        sent.push(parcel.wire.to_vec());
    }
    eventually(SOON, "the requests are archived", || {
        let there = rig.restored("gophership");
        sent.iter().all(|wire| there.contains(wire))
    })
    .await;
    process.stop(SOON).await;
    assert_eq!(rig.restored("gophership").len(), sent.len(), "each once");
}

/// Scenario: the bucket refuses everything while requests are delivered; it comes back; then the sink is
/// removed.
/// Guarantees: delivered segments stay in the vault until they are archived, and the vault's backlog says that
/// nothing waits for delivery; afterwards they go. Without the sink nothing is held back any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_wait_for_the_bucket_and_not_for_a_sink_that_is_gone() {
    let rig = Rig::new(&YAML.replace("$ARCHIVE", ARCHIVE)).await;
    rig.server.faults().always(RequestKind::Put, Fault::ACCESS_DENIED);
    let mut process = rig.site.start().await;
    let grpc = GrpcClient::new(rig.site.grpc());
    let traffic = Traffic::default();
    let send = async || grpc.send(&traffic.request(Signal::Logs, 5)).await.unwrap();
    send().await;
    let archive = [("sink", "archive")];
    process
        .measured(SOON, "a segment waits", |it| it.sum("gophership_s3_lag_segments", &archive) == 1)
        .await;
    process
        .measured(SOON, "it is delivered", |it| {
            it.sum("gophership_vault_backlog_requests", &[("vault", "vault")]) == 0
        })
        .await;
    process.logged(SOON, &["Bucket refuses requests", "AccessDenied"]).await;
    let first = rig.newest_sealed();
    assert_eq!(rig.manifests(), Vec::<String>::new());
    rig.server.faults().clear();
    send().await;
    eventually(SOON, "both are archived", || rig.manifests().len() == 2).await;
    eventually(SOON, "the first is deleted", || !first.exists()).await;

    rig.server.faults().always(RequestKind::Put, Fault::ACCESS_DENIED);
    send().await;
    process
        .measured(SOON, "a segment waits", |it| it.sum("gophership_s3_lag_segments", &archive) == 1)
        .await;
    let third = rig.newest_sealed();
    rig.site.configure(&YAML.replace("$ARCHIVE", ""));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["archived this vault is no longer in the configuration"]).await;
    send().await;
    eventually(SOON, "nothing holds the third back", || !third.exists()).await;
    process.stop(SOON).await;
}

/// Scenario: the vault is opened anew by a reload while the bucket does not answer.
/// Guarantees: the archive goes on with the new one; every segment is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_survives_a_reload_of_its_vault() {
    let yaml = YAML.replace("$ARCHIVE", ARCHIVE);
    let rig = Rig::new(&yaml).await;
    rig.server.faults().next(RequestKind::Put, 2, Fault::Stall);
    let mut process = rig.site.start().await;
    let grpc = GrpcClient::new(rig.site.grpc());
    let traffic = Traffic::default();
    let mut sent = Vec::new();
    for _ in 0..3 {
        let parcel = traffic.request(Signal::Logs, 5);
        grpc.send(&parcel).await.unwrap();
        sent.push(parcel.wire.to_vec());
        rig.server.faults().until_seen(RequestKind::Put, 1).await;
    }
    rig.site.configure(&yaml.replace("256MiB", "300MiB"));
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["Reloaded the configuration"]).await;
    let parcel = traffic.request(Signal::Logs, 5);
    grpc.send(&parcel).await.unwrap();
    sent.push(parcel.wire.to_vec());
    let sorted = |mut all: Vec<Vec<u8>>| {
        all.sort();
        all
    };
    let sent = sorted(sent);
    eventually(SOON, "all are archived, once", || sorted(rig.restored("gophership")) == sent).await;
    process.stop(SOON).await;
}

/// What `gs-ctl status` says of the sink, and the metrics say the same.
async fn status_of_sink(process: &Process) -> Value {
    let output = process.control(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (sink, metrics) = (status["s3_sinks"][0].clone(), process.metrics().await);
    assert_eq!(sink["id"], "archive");
    for (key, name) in [
        ("waiting_segments", "gophership_s3_lag_segments"),
        ("waiting_bytes", "gophership_s3_lag_bytes"),
        ("archived_segments", "gophership_s3_segments_total"),
    ] {
        let said = metrics.sum(name, &[("sink", "archive")]);
        assert_eq!(said, sink[key].as_i64().unwrap(), "{key} in {sink}");
    }
    let is_out = metrics.sum("gophership_s3_out", &[("sink", "archive")]) == 1;
    assert_eq!(is_out, sink["out"].as_bool().unwrap());
    for (reason, count) in sink["alarms"].as_object().unwrap() {
        let labels = [("sink", "archive"), ("reason", reason.as_str())];
        assert_eq!(metrics.sum("gophership_s3_alarms", &labels), count.as_i64().unwrap());
    }
    let age = metrics.real_sum("gophership_s3_lag_seconds", &[("sink", "archive")]);
    assert!(sink["oldest_seconds"].as_f64().unwrap() <= age, "{sink}, but {age} s");
    sink
}

/// Scenario: the bucket refuses everything while a segment waits, and is back.
/// Guarantees: `gs-ctl status` shows what waits, the alarm and the open circuit, then what is archived, as the
/// metrics do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_shows_what_waits_for_the_bucket_and_why() {
    let rig = Rig::new(&YAML.replace("$ARCHIVE", ARCHIVE)).await;
    rig.server.faults().always(RequestKind::Put, Fault::ACCESS_DENIED);
    let mut process = rig.site.start().await;
    let grpc = GrpcClient::new(rig.site.grpc());
    grpc.send(&Traffic::default().request(Signal::Logs, 5)).await.unwrap();
    let archive = [("sink", "archive")];
    let is_behind = |it: &Metrics| {
        let of = |name: &str| it.sum(name, &archive);
        of("gophership_s3_lag_segments") == 1 && of("gophership_s3_out") == 1
    };
    process.measured(SOON, "a segment waits, and the circuit is open", is_behind).await;
    let sink = status_of_sink(&process).await;
    assert_eq!(sink["alarms"], json!({ "denied": 1 }), "{sink}");
    assert_eq!((&sink["waiting_segments"], &sink["out"]), (&json!(1), &json!(true)), "{sink}");

    rig.server.faults().clear();
    let is_level = |it: &Metrics| {
        let of = |name: &str| it.sum(name, &archive);
        of("gophership_s3_segments_total") == 1 && of("gophership_s3_lag_segments") == 0
    };
    process.measured(SOON, "the segment is archived", is_level).await;
    let sink = status_of_sink(&process).await;
    assert_eq!(sink["alarms"], json!({}), "{sink}");
    assert_eq!((&sink["archived_segments"], &sink["out"]), (&json!(1), &json!(false)), "{sink}");
    process.stop(SOON).await;
}
