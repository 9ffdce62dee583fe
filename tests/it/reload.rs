//! Reloads while data flows: nobody notices but the operator.

use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

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
use crate::harness::free_address;

const SOON: Duration = Duration::from_secs(15);

/// What the reloads change; the rest stays.
#[derive(Clone, Copy)]
struct Options<'a> {
    source: &'a str,
    mark: &'a str,
    sink: &'a str,
    vault: &'a str,
    more_sinks: &'a str,
}

const OPTIONS: Options<'_> =
    Options { source: "", mark: "first", sink: "", vault: "max_size: 128MiB", more_sinks: "" };

impl Options<'_> {
    fn yaml(&self) -> String {
        let Self { source, mark, sink, vault, more_sinks } = self;
        format!(
            r#"
shutdown: {{ grace: 2s }}
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "$GRPC" }}, pivot: vault, {source} }}
  replay: {{ type: vault_replay, vault: vault }}
transforms:
  enrich: {{ type: enrich, inputs: [otlp, replay], resource: {{ test.mark: "{mark}" }} }}
sinks:
  backend: {{ type: otlp, inputs: [enrich], endpoint: "http://$BACKEND", {sink} }}
  vault: {{ type: raw_vault, segment_size: 1MiB, {vault} }}
{more_sinks}
"#
        )
    }
}

/// Reloads and waits until it is done.
async fn reload(site: &Site, process: &Process, yaml: &str) {
    let done = process.count_in_log("Reloaded the configuration.");
    let failed = process.count_in_log("Cannot reload the configuration");
    site.configure(yaml);
    process.signal(ProcessSignal::HUP);
    eventually(SOON, "the reload is done", || {
        assert_eq!(process.count_in_log("Cannot reload the configuration"), failed);
        process.count_in_log("Reloaded the configuration.") > done
    })
    .await;
}

/// Sends one request and returns whether the backend got these words in it.
async fn arrives_with(site: &Site, backend: &Backend, words: &str) -> bool {
    let traffic = Traffic::default();
    GrpcClient::new(site.grpc()).send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    backend.last().windows(words.len()).any(|window| window == words.as_bytes())
}

struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
    traffic: Arc<Traffic>,
    oracle: Arc<Oracle>,
}

impl Scene {
    async fn new() -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), &OPTIONS.yaml());
        let process = site.start().await;
        Self { backend, site, process, traffic: Arc::default(), oracle: Arc::default() }
    }

    fn load(&self) -> SteadyLoad {
        let shape = Shape { clients: 3, records: 3, padding: 20 };
        SteadyLoad::start(self.site.grpc(), shape, &self.traffic, &self.oracle)
    }

    async fn nothing_is_lost(&self) {
        eventually(SOON, "the backend has every record that was acknowledged", || {
            self.oracle.missing_records(&self.backend).is_empty()
        })
        .await;
    }
}

/// Scenario: clients that each keep one connection send without pause through ten reloads that
/// change the transform and the sink.
/// Guarantees: no error, no new connection, no record lost; each reload is in force at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_of_transforms_and_sinks_go_unnoticed() {
    let scene = Scene::new().await;
    let load = scene.load();
    for round in 0..10 {
        let mark = format!("mark-{round}");
        let sink = ["compression: gzip", "compression: none", "concurrency: 4"][round % 3];
        let options = Options { mark: &mark, sink, ..OPTIONS };
        load.advance(10, SOON).await;
        reload(&scene.site, &scene.process, &options.yaml()).await;
        load.advance(10, SOON).await;
        eventually(SOON, "the new mark is on what arrives", || {
            scene.backend.last().windows(mark.len()).any(|window| window == mark.as_bytes())
        })
        .await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    assert_eq!(seen.connections, 3, "one per client");
    scene.nothing_is_lost().await;
    let metrics = scene.process.metrics().await;
    assert_eq!(metrics.sum("gophership_config_reloads_total", &[("result", "ok")]), 10);
}

/// Scenario: the same with reloads that change options of the source on the same port.
/// Guarantees: no error, no new connection, no record lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_of_the_source_are_seen_by_no_client() {
    let scene = Scene::new().await;
    let load = scene.load();
    for round in 0..10 {
        let source = format!("patience: {}ms", 500 + round);
        let options = Options { source: &source, ..OPTIONS };
        load.advance(10, SOON).await;
        reload(&scene.site, &scene.process, &options.yaml()).await;
        load.advance(10, SOON).await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{} refusals: {:?}", seen.refusals.len(), seen.refusals);
    assert_eq!(seen.connections, 3, "one per client: a listener that did not change keeps them");
    scene.nothing_is_lost().await;
}

/// Scenario: a reload of a file with mistakes, and of one whose new port is taken.
/// Guarantees: the log says what is wrong and where; everything runs on as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_file_changes_nothing_and_says_so() {
    let scene = Scene::new().await;
    let load = scene.load();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let second =
        format!("  second: {{ type: otlp, inputs: [enrihc], endpoint: \"http://{address}\" }}");
    let misspelt = Options { more_sinks: &second, ..OPTIONS }.yaml();
    let elsewhere = OPTIONS.yaml().replace("$GRPC", &address.to_string());
    for (yaml, words, count) in [
        (misspelt, ["sinks.second.inputs", "enrihc", "enrich"].as_slice(), 1),
        (elsewhere, ["otlp", "listen on", "in use"].as_slice(), 2),
    ] {
        scene.site.configure(&yaml);
        scene.process.signal(ProcessSignal::HUP);
        let not = "Cannot reload the configuration";
        eventually(SOON, not, || scene.process.count_in_log(not) == count).await;
        let log = scene.process.log();
        assert!(words.iter().all(|word| log.contains(word)), "{words:?}");
        load.advance(20, SOON).await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    assert_eq!(seen.connections, 3, "one per client");
    let metrics = scene.process.metrics().await;
    assert_eq!(metrics.sum("gophership_config_reloads_total", &[("result", "failed")]), 2);
    let output = scene.process.control(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["generation"], 1);
    assert!(arrives_with(&scene.site, &scene.backend, "first").await);
    scene.nothing_is_lost().await;
}

/// Scenario: options of the vault change, in Green and in Red, while clients send.
/// Guarantees: no error; what the old vault held is replayed out of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_is_reopened_with_other_options_and_keeps_what_it_has() {
    let scene = Scene::new().await;
    let load = scene.load();
    for (zone, vault) in [
        ("green", "max_size: 192MiB"),
        ("red", "max_size: 192MiB, durability: written"),
        ("red", "max_size: 256MiB, compression: none"),
    ] {
        scene.process.hold(zone);
        load.advance(20, SOON).await;
        reload(&scene.site, &scene.process, &Options { vault, ..OPTIONS }.yaml()).await;
        load.advance(20, SOON).await;
    }
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    scene.process.hold("auto");
    scene.nothing_is_lost().await;
    scene
        .process
        .measured(SOON, "the books balance and the vault is empty", |metrics| {
            Signal::ALL.iter().all(|signal| {
                let books = metrics.books(signal.name());
                books.count("vaulted") == 0 && books.imbalance() == 0
            })
        })
        .await;
}

/// Scenario: the listener moves to another port.
/// Guarantees: the new port answers, the old one does not any more; no record is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_moves_to_another_port() {
    let scene = Scene::new().await;
    let load = scene.load();
    load.advance(10, SOON).await;
    let address = free_address();
    let moved = OPTIONS.yaml().replace("$GRPC", &address.to_string());
    reload(&scene.site, &scene.process, &moved).await;
    let old = scene.site.grpc();
    eventually(SOON, "the old port is closed", || TcpStream::connect(old).is_err()).await;
    let parcel = scene.traffic.request(Signal::Logs, 1);
    GrpcClient::new(address).send(&parcel).await.unwrap();
    load.stop().await;
    scene.nothing_is_lost().await;
}

/// Scenario: a sink is added under load, and removed again.
/// Guarantees: it gets everything that is sent between, nothing after; the other one gets all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_added_and_removed() {
    let scene = Scene::new().await;
    let other = Backend::start().await;
    let load = scene.load();
    load.advance(10, SOON).await;
    let address = other.address();
    let second =
        format!("  second: {{ type: otlp, inputs: [enrich], endpoint: \"http://{address}\" }}");
    let added = Options { more_sinks: &second, ..OPTIONS };
    reload(&scene.site, &scene.process, &added.yaml()).await;
    let between = scene.traffic.request(Signal::Metrics, 4);
    GrpcClient::new(scene.site.grpc()).send(&between).await.unwrap();
    reload(&scene.site, &scene.process, &OPTIONS.yaml()).await;
    let taken = other.requests();
    load.advance(10, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    assert_eq!(other.requests(), taken, "what was removed gets nothing");
    let records = other.records(Signal::Metrics);
    assert!(between.numbers.iter().all(|number| records.get(number) == Some(&1)));
    let log = scene.process.log();
    for words in ["component=second outcome=started", "component=second outcome=drained"] {
        assert!(log.contains(words), "{words}");
    }
    scene.nothing_is_lost().await;
}

/// Scenario: a sink is replaced while its backend hangs with requests in hand.
/// Guarantees: the reload is done by its deadline, with the outcome of every component in the log;
/// the clients had OK from the vault, and everything is delivered when the backend is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_does_not_wait_for_a_backend_that_hangs() {
    let scene = Scene::new().await;
    let load = scene.load();
    load.advance(10, SOON).await;
    scene.backend.set(Mode::Hang);
    load.advance(3, SOON).await;
    let begun = Instant::now();
    let options = Options { mark: "second", sink: "compression: gzip", ..OPTIONS };
    reload(&scene.site, &scene.process, &options.yaml()).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "grace is 2s, it took {took:?}");
    load.advance(3, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    let log = scene.process.log();
    let outcome = |component: &str| format!("component={component} outcome=");
    for component in ["otlp", "replay", "enrich", "backend", "vault"] {
        assert!(log.contains(&outcome(component)), "{component}");
    }
    assert!(log.contains("component=otlp outcome=kept"));
    // Unless the vault had taken over all that the old sink had: then there was nothing to cut short.
    let is_told = |end: &str| log.contains(&format!("component=backend outcome={end}"));
    assert!(is_told("cut short") || is_told("drained"), "{log}");
    scene.backend.set(Mode::Accept);
    scene.nothing_is_lost().await;
}

/// Scenario: a sink is replaced while its backend is out and it has replayed requests in hand.
/// Guarantees: the reload does not wait for that backend, and everything is delivered when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_replaced_gives_back_what_its_backend_does_not_take() {
    let scene = Scene::new().await;
    let patient = |options: Options<'_>| options.yaml().replace("grace: 2s", "grace: 20s");
    reload(&scene.site, &scene.process, &patient(OPTIONS)).await;
    scene.backend.set(Mode::Unavailable);
    let load = scene.load();
    load.advance(20, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    scene.process.logged(SOON, &["Backend is out"]).await;
    let is_replaying = |metrics: &Metrics| {
        0 < metrics.sum("gophership_ledger_sink_records", &[("bucket", "in_flight")])
    };
    scene.process.measured(SOON, "replayed requests wait for the backend", is_replaying).await;
    let begun = Instant::now();
    let options = Options { sink: "compression: gzip", ..OPTIONS };
    reload(&scene.site, &scene.process, &patient(options)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "it would have been 10 s, it took {took:?}");
    assert!(scene.process.log().contains("component=backend outcome=drained"));
    scene.backend.set(Mode::Accept);
    scene.nothing_is_lost().await;
}

/// Scenario: a reload names another `data_dir` while the vault has a request that is not delivered.
/// Guarantees: the log says that it takes effect at the next start; until then nothing is made there, and the
/// request is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_data_dir_takes_effect_at_the_next_start() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), &OPTIONS.yaml());
    let process = site.start().await;
    backend.set(Mode::Unavailable);
    let traffic = Traffic::default();
    let request = traffic.request(Signal::Logs, 1);
    GrpcClient::new(site.grpc()).send(&request).await.unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let (old, new) = (site.dir().join("data"), site.dir().join("moved"));
    let moved = text.replace(&old.display().to_string(), &new.display().to_string());
    assert_ne!(moved, text);
    std::fs::write(site.config(), moved).unwrap();
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["takes effect at the next start", "data_dir"]).await;
    process.logged(SOON, &["Reloaded the configuration."]).await;
    assert!(!new.exists() && old.join("vault").exists());
    backend.set(Mode::Accept);
    eventually(SOON, "it is delivered", || !backend.records(Signal::Logs).is_empty()).await;
    process
        .measured(SOON, "the vault is empty", |metrics| {
            metrics.sum("gophership_vault_backlog_requests", &[]) == 0
        })
        .await;
}
