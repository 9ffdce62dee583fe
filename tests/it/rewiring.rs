//! Reloads that change who reads the vault: whatever they change, every sink that is in the
//! configuration when a request is sent, and stays, gets it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;

const SOON: Duration = Duration::from_secs(30);
const KEPT: [(&str, &str); 1] = [("sink", "b")];

/// A process between clients and two backends.
struct Scene {
    backends: [Backend; 2],
    site: Site,
    traffic: Arc<Traffic>,
}

/// What the configurations differ in.
#[derive(Clone, Copy)]
struct Options<'a> {
    replay: &'a str,
    sinks: &'a str,
    vault: &'a str,
}

/// The sinks, each with the backend of its number.
const A: &str = "a: { type: otlp, inputs: [$IN], endpoint: 'http://$0' }";
const B: &str = "b: { type: otlp, inputs: [$IN], endpoint: 'http://$1' }";
const VAULT: &str = "vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB, $MORE }";

impl Scene {
    async fn new() -> Self {
        let backends = [Backend::start().await, Backend::start().await];
        let site = Site::new(backends[0].address(), "");
        Self { backends, site, traffic: Arc::default() }
    }

    fn configure(&self, options: Options<'_>) {
        let Options { replay, sinks, vault } = options;
        let (source, inputs) = if replay.is_empty() {
            (String::new(), "otlp".to_owned())
        } else {
            (format!("{replay}: {{ type: vault_replay, vault: vault }}"), format!("otlp, {replay}"))
        };
        let yaml = format!(
            "shutdown: {{ grace: 2s }}
sources:
  otlp: {{ type: otlp, grpc: {{ listen: '$GRPC' }}, pivot: vault, patience: 500ms }}
  {source}
sinks:
  {sinks}
  {VAULT}
"
        );
        let yaml = yaml
            .replace("$IN", &inputs)
            .replace("$MORE", vault)
            .replace("$0", &self.backends[0].address().to_string())
            .replace("$1", &self.backends[1].address().to_string());
        self.site.configure(&yaml);
    }

    async fn reload(&self, process: &Process, options: Options<'_>) {
        self.configure(options);
        reload(process).await;
    }

    /// Sends requests, one after the other, each of which must be acknowledged; returns their numbers.
    async fn send(&self, count: u64) -> Vec<u64> {
        let client = GrpcClient::new(self.site.grpc());
        let mut numbers = Vec::new();
        for _ in 0..count {
            let parcel = self.traffic.request(Signal::Logs, 1);
            client.send(&parcel).await.unwrap();
            numbers.extend(parcel.numbers);
        }
        numbers
    }

    fn times(&self, backend: usize, numbers: &[u64]) -> Vec<u64> {
        let records = self.backends[backend].records(Signal::Logs);
        numbers.iter().map(|number| records.get(number).copied().unwrap_or(0)).collect()
    }

    async fn arrive(&self, backend: usize, numbers: &[u64]) {
        let what = format!("backend {backend} has all {}", numbers.len());
        eventually(SOON, &what, || !self.times(backend, numbers).contains(&0)).await;
    }
}

/// Reloads and waits until it is done.
async fn reload(process: &Process) {
    let done = process.count_in_log("Reloaded the configuration.");
    process.signal(ProcessSignal::HUP);
    eventually(SOON, "the reload is done", || {
        assert_eq!(process.count_in_log("Cannot reload the configuration"), 0);
        process.count_in_log("Reloaded the configuration.") > done
    })
    .await;
}

fn both() -> String {
    format!("{A}\n  {B}")
}

fn is_empty(metrics: &Metrics) -> bool {
    let books = metrics.books("logs");
    let backlog = metrics.sum("gophership_vault_backlog_requests", &[]);
    books.imbalance() == 0 && books.count("vaulted") == 0 && backlog == 0
}

/// Scenario: while six clients send, a sink is added whose backend is not there yet; that comes a while
/// later. Three times over, with and without another sink that is well.
/// Guarantees: it gets every request that was acknowledged since the reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_added_gets_all_that_is_acknowledged_from_then_on() {
    let scene = Scene::new().await;
    let only = Options { replay: "", sinks: A, vault: "" };
    scene.configure(only);
    let process = scene.site.start().await;
    let both = both();
    for round in 0..3 {
        scene.backends[1].set(Mode::Gone);
        let before: Arc<Oracle> = Arc::default();
        let shape = Shape { clients: 6, records: 1, padding: 10 };
        let load = SteadyLoad::start(scene.site.grpc(), shape, &scene.traffic, &before);
        load.advance(50, SOON).await;
        scene.reload(&process, Options { sinks: &both, ..only }).await;
        let after: Arc<Oracle> = Arc::default();
        let more = SteadyLoad::start(scene.site.grpc(), shape, &scene.traffic, &after);
        load.stop().await;
        more.advance(300, SOON).await;
        assert!(more.stop().await.refusals.is_empty());
        scene.backends[1].set(Mode::Accept);
        for backend in &scene.backends {
            let audit = after.settle(backend, SOON).await;
            assert!(audit.missing.is_empty(), "round {round}: {} missing", audit.missing.len());
        }
        let audit = before.settle(&scene.backends[0], SOON).await;
        assert!(audit.missing.is_empty(), "round {round}: the sink that was there");
        process.measured(SOON, "the vault is empty", is_empty).await;
        scene.reload(&process, only).await;
    }
}

/// Scenario: a vault gets another path by a reload, in an outage and without one.
/// Guarantees: what goes to the new vault from then on is replayed, without a restart; what is left in the
/// old one is told at the reload and at each start, in status, metrics and audit, until it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_moves_is_replayed_from_its_new_place() {
    let scene = Scene::new().await;
    let options = Options { replay: "replay", sinks: A, vault: "path: '$DIR/one'" };
    scene.configure(options);
    let process = scene.site.start().await;
    process.hold("red");
    scene.send(7).await;
    scene.reload(&process, Options { vault: "path: '$DIR/two'", ..options }).await;
    let sent = scene.send(20).await;
    process.hold("auto");
    scene.arrive(0, &sent).await;
    process.logged(SOON, &["the configuration does not contain", "/one", "requests=7"]).await;
    let left = |metrics: &Metrics| metrics.sum("gophership_vault_left_requests", &[]) == 7;
    process.measured(SOON, "the metric says what is left", left).await;
    let status = process.control(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    let words: Vec<&str> = status.split_whitespace().collect();
    let is_told = words.join(" ").contains("7 undelivered requests");
    assert!(status.contains("/one") && is_told, "{status}");

    scene.reload(&process, options).await;
    let none = |metrics: &Metrics| metrics.sum("gophership_vault_left_requests", &[]) == 0;
    process.measured(SOON, "nothing is left", none).await;
    process.measured(SOON, "the vault is empty", is_empty).await;
}

/// Scenario: a vault is taken out of the configuration while it has requests; the process is stopped,
/// audited and started again, and the vault put back.
/// Guarantees: that is told each time; the audit fails while it is so; once it is back they arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_taken_out_is_told_until_it_is_back() {
    let scene = Scene::new().await;
    let options = Options { replay: "", sinks: A, vault: "" };
    scene.configure(options);
    let mut process = scene.site.start().await;
    process.hold("red");
    let sent = scene.send(9).await;
    let text = std::fs::read_to_string(scene.site.config()).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("vault:")).collect();
    let without = without.join("\n").replace(", pivot: vault", "");
    std::fs::write(scene.site.config(), without).unwrap();
    reload(&process).await;
    let words = ["the configuration does not contain", "vault", "requests=9"];
    process.logged(SOON, &words).await;
    process.stop(SOON).await;
    let audit = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gophership"));
        let output = command.arg("audit").arg("--config").arg(scene.site.config()).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_well, said) = audit();
    assert!(!is_well && said.contains("the configuration does not contain"), "{said}");
    let mut process = scene.site.start().await;
    process.logged(SOON, &words).await;
    process.stop(SOON).await;

    scene.configure(options);
    let mut process = scene.site.start().await;
    scene.arrive(0, &sent).await;
    process.measured(SOON, "the vault is empty", is_empty).await;
    assert_eq!(process.count_in_log(words[0]), 0);
    process.stop(SOON).await;
    let (is_well, said) = audit();
    assert!(is_well, "{said}");
}

/// Scenario: the replay that was there by default is written out, and then renamed, while one of two
/// backends is out; once by reloads and once by restarts.
/// Guarantees: nothing is repeated to the backend that has it, the other gets what it missed, and no
/// cursor is left that holds anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_renamed_goes_on_where_it_was() {
    for restarts in [false, true] {
        let scene = Scene::new().await;
        let sinks = both();
        let options = Options { replay: "", sinks: &sinks, vault: "" };
        scene.configure(options);
        let mut process = scene.site.start().await;
        process.hold("red");
        let mut sent = scene.send(20).await;
        scene.backends[1].set(Mode::Gone);
        process.hold("auto");
        scene.arrive(0, &sent).await;
        for replay in ["written", "renamed"] {
            scene.configure(Options { replay, ..options });
            if restarts {
                process.stop(SOON).await;
                process = scene.site.start().await;
            } else {
                reload(&process).await;
            }
            let more = scene.send(10).await;
            scene.arrive(0, &more).await;
            sent.extend(more);
        }
        scene.backends[1].set(Mode::Accept);
        scene.arrive(1, &sent).await;
        process.measured(SOON, "the vault is empty", is_empty).await;
        assert!(scene.times(0, &sent).iter().all(|times| *times == 1), "{restarts}");
        let cursors = std::fs::read_dir(scene.site.dir().join("data/vault/cursors")).unwrap();
        let names: Vec<String> =
            cursors.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| name.starts_with("renamed.TO.")), "{names:?}");
    }
}

/// Scenario: a sink is renamed beside another one while it has a backlog: without a word, then with
/// `formerly`; and one is removed and given up.
/// Guarantees: without a word its backlog is kept and told; with `formerly` the new name gets it, and
/// nobody else does; given up, it counts as dropped and holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_renamed_sink_missed_is_kept_until_it_is_told() {
    let scene = Scene::new().await;
    let sinks = both();
    let options = Options { replay: "", sinks: &sinks, vault: "" };
    scene.configure(options);
    let mut process = scene.site.start().await;
    scene.backends[1].set(Mode::Gone);
    let sent = scene.send(30).await;
    scene.arrive(0, &sent).await;
    let renamed = sinks.replace("b:", "c:");
    scene.reload(&process, Options { sinks: &renamed, ..options }).await;
    process.logged(SOON, &["keeps undelivered requests of a sink", "sink=b"]).await;
    let kept = |metrics: &Metrics| {
        0 < metrics.sum("gophership_vault_kept_for_removed_sinks_requests", &KEPT)
    };
    process.measured(SOON, "the metric says so", kept).await;
    scene.backends[1].set(Mode::Accept);
    let more = scene.send(10).await;
    scene.arrive(1, &more).await;
    process.stop(SOON).await;
    let process = scene.site.start().await;
    process.logged(SOON, &["keeps undelivered requests of a sink", "sink=b"]).await;

    let told = renamed.replace("c: {", "c: { formerly: [b],");
    scene.reload(&process, Options { sinks: &told, ..options }).await;
    scene.arrive(1, &sent).await;
    process.measured(SOON, "the vault is empty", is_empty).await;
    assert!(scene.times(0, &sent).iter().all(|times| *times == 1));

    scene.backends[1].set(Mode::Gone);
    scene.send(5).await;
    let options = Options { sinks: A, vault: "keep_for_removed_sinks: 0s", ..options };
    scene.reload(&process, options).await;
    process.logged(SOON, &["Dropped the undelivered requests of a sink", "sink=c"]).await;
    process.measured(SOON, "the vault is empty", is_empty).await;
    let dropped = process.metrics().await.books("logs").count("dropped");
    assert!((1..=5).contains(&dropped), "{dropped}");
}

/// Scenario: a vault, then a file sink, get another name by a reload and keep their place on disk.
/// Guarantees: the reload is done, with no two writers of one place, and what the vault has is replayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_renamed_keeps_its_place_on_disk() {
    let scene = Scene::new().await;
    let file = format!("{A}\n  f: {{ type: file, inputs: [otlp], path: '$DIR/out.jsonl' }}");
    let options = Options { replay: "", sinks: &file, vault: "path: '$DIR/place'" };
    scene.configure(options);
    let process = scene.site.start().await;
    process.hold("red");
    let sent = scene.send(10).await;
    let text = std::fs::read_to_string(scene.site.config()).unwrap();
    let renamed = text.replace("vault: {", "store: {").replace("pivot: vault", "pivot: store");
    std::fs::write(scene.site.config(), renamed.replace(" f: {", " g: { formerly: [f],")).unwrap();
    reload(&process).await;
    process.hold("auto");
    scene.arrive(0, &sent).await;
    process.measured(SOON, "the vault is empty", is_empty).await;
    let counts: BTreeMap<&str, usize> =
        ["g", "f"].map(|id| (id, process.count_in_log(&format!("component={id} ")))).into();
    assert!(0 < counts["g"] && 0 < counts["f"], "{counts:?}");
}
