//! `route` in the running process: every sink gets exactly what is routed there, whatever becomes of
//! the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault, patience: $PATIENCE }
  replay: { type: vault_replay, vault: vault }
transforms:
  sort:
    type: route
    inputs: [otlp, replay]
    routes:
      - { name: $ERRORS, when: { severity_at_least: error } }
      - { name: odd, when: { attribute: test.parity, equals: odd } }
  mark: { type: enrich, inputs: [sort.odd], resource: { test.mark: here } }
sinks:
  errors: { type: otlp, inputs: [sort.$ERRORS], endpoint: "http://$BACKEND", $SINK }
  odd: { type: otlp, inputs: [mark], endpoint: "http://$ODD" }
  rest: { type: otlp, inputs: [sort.unmatched], endpoint: "http://$REST" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// What differs between configurations.
#[derive(Clone, Copy)]
struct Options<'a> {
    errors: &'a str,
    sink: &'a str,
    patience: &'a str,
}

const OPTIONS: Options<'_> =
    Options { errors: "errors", sink: "retry: { min: 20ms, max: 200ms }", patience: "1s" };

/// A process with a backend behind each output.
struct Scene {
    /// Of errors, odd numbers and the rest.
    backends: [Backend; 3],
    site: Site,
    client: GrpcClient,
    traffic: Arc<Traffic>,
    oracle: Arc<Oracle>,
}

/// Where a record is to go.
fn place(signal: Signal, number: u64) -> usize {
    match number % 4 {
        0 if signal == Signal::Logs => 0,
        1 | 3 => 1,
        _ => 2,
    }
}

impl Scene {
    async fn new(options: Options<'_>) -> Self {
        let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
        let site = Site::new(backends[0].address(), "");
        let client = GrpcClient::new(site.grpc());
        let scene =
            Self { backends, site, client, traffic: Arc::default(), oracle: Arc::default() };
        scene.site.configure(&scene.yaml(options));
        scene
    }

    fn yaml(&self, Options { errors, sink, patience }: Options<'_>) -> String {
        YAML.replace("$ODD", &self.backends[1].address().to_string())
            .replace("$REST", &self.backends[2].address().to_string())
            .replace("$ERRORS", errors)
            .replace("$SINK", sink)
            .replace("$PATIENCE", patience)
    }

    /// Sends a request of so many records.
    async fn send(&self, signal: Signal, records: u64) -> NumberedRequest {
        let parcel = self.traffic.request(signal, records);
        self.oracle.sends(&parcel);
        self.client.send(&parcel).await.unwrap();
        self.oracle.acknowledged(&parcel);
        parcel
    }

    /// Sends some requests of ten log records; returns how long the longest took.
    async fn send_logs(&self, requests: u64) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..requests {
            let begun = Instant::now();
            self.send(Signal::Logs, 10).await;
            longest = longest.max(begun.elapsed());
        }
        longest
    }

    /// A backend has these records that are routed to it.
    fn has(&self, idx: usize, signal: Signal, numbers: &[u64]) -> bool {
        let records = self.backends[idx].records(signal);
        let its = numbers.iter().filter(|number| place(signal, **number) == idx);
        its.into_iter().all(|number| records.contains_key(number))
    }

    /// Records that were acknowledged and that no backend has.
    fn missing(&self) -> BTreeSet<u64> {
        let [a, b, c] = &self.backends;
        let [a, b, c] = [a, b, c].map(|backend| self.oracle.missing_records(backend));
        a.into_iter().filter(|number| b.contains(number) && c.contains(number)).collect()
    }

    /// Waits until all is there, and returns how many records each backend has more than once.
    async fn settled(&self) -> [usize; 3] {
        eventually(SOON, "all is there that was acknowledged", || self.missing().is_empty()).await;
        for (idx, backend) in self.backends.iter().enumerate() {
            for signal in Signal::ALL {
                let records = backend.records(signal);
                let strays: Vec<&u64> =
                    records.keys().filter(|number| place(signal, **number) != idx).collect();
                assert!(strays.is_empty(), "{signal} that are not for {idx}: {strays:?}");
            }
        }
        [0, 1, 2].map(|idx| {
            let of_signal = |signal| self.backends[idx].records(signal).into_values();
            Signal::ALL.into_iter().flat_map(of_signal).filter(|times| *times > 1).count()
        })
    }

    /// Waits until nothing is under way or in the vault, and the books are even.
    async fn books_are_even(&self, process: &Process) {
        let is_even = |metrics: &Metrics| {
            Signal::ALL.iter().all(|signal| {
                let books = metrics.books(signal.name());
                let open = books.count("vaulted") + books.count("in_flight");
                open == 0 && books.imbalance() == 0
            })
        };
        process.measured(SOON, "the books are even", is_even).await;
    }
}

fn is_out(metrics: &Metrics) -> bool {
    let circuit = [("kind", "circuit"), ("place", "errors")];
    metrics.pressure(&circuit) > 0.0
}

/// Scenario: requests of all signals, with records for one, two and three outputs.
/// Guarantees: each backend has exactly its records, each once; OK means that all have them; books
/// and metrics say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_comes_to_the_sinks_of_its_output() {
    let scene = Scene::new(OPTIONS).await;
    let process = scene.site.start().await;
    for records in [1, 2, 3, 10, 40] {
        for signal in Signal::ALL {
            let parcel = scene.send(signal, records).await;
            assert!((0..3).all(|idx| scene.has(idx, signal, &parcel.numbers)), "{signal}");
        }
    }
    assert_eq!(scene.settled().await, [0; 3]);
    for signal in Signal::ALL {
        let books = Books::of(&[("received", 56), ("delivered", 56)]);
        process.books_become(signal, &books, "each record has one place").await;
    }
    let metrics = process.metrics().await;
    for (idx, output) in ["errors", "odd", "unmatched"].into_iter().enumerate() {
        let labels = [("transform", "sort"), ("output", output)];
        let counted = metrics.sum("gophership_transform_routed_records_total", &labels);
        let of_signal = |signal| scene.backends[idx].records(signal).len();
        let taken: usize = Signal::ALL.into_iter().map(of_signal).sum();
        assert_eq!(counted.unsigned_abs(), taken as u64, "{output}");
    }
}

/// Scenario: all goes to the vault in Red, is replayed, and nobody reads what matches nothing; once with
/// outputs that share records, once with the first match only.
/// Guarantees: each sink gets exactly its records, once; nothing is replayed for ever; the books have
/// what nobody reads as filtered, for each of the sinks that it was replayed for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_red_each_sink_gets_its_records_and_no_others() {
    for (first_match, odd_errors) in [(false, 50), (true, 0)] {
        let scene = Scene::new(OPTIONS).await;
        let all = scene.yaml(OPTIONS);
        let read: Vec<&str> = all.lines().filter(|line| !line.contains("unmatched")).collect();
        let yaml = read
            .join("\n")
            .replace("routes:", &format!("first_match: {first_match}\n    routes:"))
            .replace("severity_at_least: error", "attribute: test.number, one_of: $NUMBERS");
        let hundred: Vec<String> = (0..100).map(|number| format!("'{number}'")).collect();
        scene.site.configure(&yaml.replace("$NUMBERS", &format!("[{}]", hundred.join(", "))));
        let process = scene.site.start().await;
        process.hold("red");
        scene.send_logs(20).await;
        let books = Books::of(&[("received", 200), ("vaulted", 200)]);
        process.books_become(Signal::Logs, &books, "all is in the vault").await;
        process.hold("green");
        // 100 for the first output, 100 odd ones of which half are there too, 50 for nobody.
        let delivered = 150 + odd_errors;
        let filtered = 2 * 50;
        let (received, copies) = (("received", 200), ("copies", delivered + filtered - 200));
        let (delivered, filtered) = (("delivered", delivered), ("filtered", filtered));
        let books = Books::of(&[received, copies, delivered, filtered]);
        process.books_become(Signal::Logs, &books, "all is replayed").await;
        for (idx, count) in [100, 50 + odd_errors, 0].into_iter().enumerate() {
            let records = scene.backends[idx].records(Signal::Logs);
            assert_eq!(i64::try_from(records.len()).unwrap(), count, "{idx}");
            assert!(records.values().all(|times| *times == 1), "{idx}: {records:?}");
        }
        let attempts = scene.backends.iter().map(Backend::attempts).sum::<u64>();
        let is_over =
            |metrics: &Metrics| metrics.sum("gophership_vault_backlog_requests", &[]) == 0;
        process.measured(SOON, "the vault is empty", is_over).await;
        assert_eq!(scene.backends.iter().map(Backend::attempts).sum::<u64>(), attempts);
    }
}

/// Scenario: the backend behind one output says that it cannot, or is gone, or hangs; later it is back.
/// Guarantees: once that is known nobody waits for it, the others get theirs at once and once, and it
/// gets what it missed, and nothing else is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_output_misses_comes_to_it_alone() {
    for mode in [Mode::Unavailable, Mode::Gone, Mode::Hang] {
        let scene = Scene::new(OPTIONS).await;
        let process = scene.site.start().await;
        scene.send_logs(5).await;
        scene.backends[0].set(mode);
        let probe = async {
            while !is_out(&process.metrics().await) {
                scene.send_logs(1).await;
            }
        };
        tokio::time::timeout(SOON, probe).await.unwrap();
        for _ in 0..30 {
            let begun = Instant::now();
            let parcel = scene.send(Signal::Logs, 10).await;
            assert!(begun.elapsed() < Duration::from_millis(500), "{mode:?}");
            let has = async || (1..3).all(|idx| scene.has(idx, Signal::Logs, &parcel.numbers));
            eventually_async(Duration::from_secs(2), "the others have theirs", has).await;
        }
        scene.backends[0].set(Mode::Accept);
        let [errors, odd, rest] = scene.settled().await;
        assert_eq!((odd, rest), (0, 0), "{mode:?}");
        // What was under way when it went may come twice.
        assert!(errors <= 12, "{mode:?}: {errors}");
        scene.books_are_even(&process).await;
        let books = process.metrics().await.books("logs");
        assert_eq!(books.count("delivered"), books.count("received"), "{mode:?}: {books:?}");
    }
}

/// Scenario: the backend behind one output hangs, and the queue in front of its sink has room for two
/// batches, long before anybody knows that it is out.
/// Guarantees: the transform does not wait for room there: the others get theirs, the zone does not turn
/// red, and it gets its records later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_behind_one_output_holds_up_no_other() {
    let sink = "buffer: { batches: 2 }, concurrency: 1, timeout: 1m";
    let scene = Scene::new(Options { sink, ..OPTIONS }).await;
    let process = scene.site.start().await;
    scene.backends[0].set(Mode::Hang);
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let parcel = scene.traffic.request(Signal::Logs, 10);
            scene.oracle.sends(&parcel);
            let (client, oracle) = (scene.client.clone(), Arc::clone(&scene.oracle));
            tokio::spawn(async move {
                client.send(&parcel).await.unwrap();
                oracle.acknowledged(&parcel);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    for _ in 0..20 {
        let parcel = scene.send(Signal::Logs, 10).await;
        let has = async || (1..3).all(|idx| scene.has(idx, Signal::Logs, &parcel.numbers));
        eventually_async(Duration::from_secs(2), "the others have theirs", has).await;
        assert_ne!(process.metrics().await.zone(), 2, "it does not turn red");
    }
    scene.backends[0].set(Mode::Accept);
    let [errors, odd, rest] = scene.settled().await;
    assert_eq!((odd, rest), (0, 0));
    assert!(errors <= 3, "what hung: {errors}");
    scene.books_are_even(&process).await;
}

/// Scenario: under load, with the backend behind one output gone, the process is killed, again and
/// again.
/// Guarantees: in the end every record that was acknowledged is at its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let scene = Scene::new(OPTIONS).await;
    let mut process = scene.site.start().await;
    for round in 0..4 {
        scene.backends[0].set(if round % 2 == 0 { Mode::Gone } else { Mode::Accept });
        let load =
            SteadyLoad::start(scene.site.grpc(), Shape::default(), &scene.traffic, &scene.oracle);
        load.advance(40, SOON).await;
        process.kill();
        load.stop().await;
        process = scene.site.start().await;
    }
    scene.backends[0].set(Mode::Accept);
    scene.settled().await;
    scene.books_are_even(&process).await;
}

/// Scenario: under load, reloads give an output another name, and its reader with it; one reload names
/// an output that is not there.
/// Guarantees: nobody is refused, every record comes to its place, and once; the mistake changes
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_is_renamed_loses_nothing() {
    let options = Options { patience: "6s", ..OPTIONS };
    let scene = Scene::new(options).await;
    let process = scene.site.start().await;
    let shape = Shape { clients: 6, ..Shape::default() };
    let load = SteadyLoad::start(scene.site.grpc(), shape, &scene.traffic, &scene.oracle);
    for (number, errors) in (1..).zip(["problems", "failures", "errors"]) {
        load.advance(30, SOON).await;
        scene.site.configure(&scene.yaml(Options { errors, ..options }));
        process.signal(ProcessSignal::HUP);
        let is_reloaded = |metrics: &Metrics| {
            metrics.sum("gophership_config_reloads_total", &[("result", "ok")]) == number
        };
        process.measured(SOON, "it is reloaded", is_reloaded).await;
    }
    let wrong = scene.yaml(options).replace("inputs: [sort.errors]", "inputs: [sort.problems]");
    scene.site.configure(&wrong);
    process.signal(ProcessSignal::HUP);
    process.logged(SOON, &["has no output `problems`"]).await;
    load.advance(30, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals);
    assert_eq!(scene.settled().await, [0; 3]);
    scene.books_are_even(&process).await;
}

/// Scenario: `gophership graph` draws the example, and `gophership test` runs its cases.
/// Guarantees: arrows bear the names of outputs; cases that name an output pass, and one with another
/// expectation fails.
#[test]
fn outputs_are_drawn_and_tested() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/route.yaml");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gophership"));
        let output = command.args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, drawn) = run(&["graph", example]);
    assert!(drawn.contains("n_by_content -- \"errors\" --> n_alerts"), "{drawn}");
    let (_, drawn) = run(&["graph", "--format", "dot", example]);
    let arrow = "\"by_content\" -> \"archive\" [label=\"unmatched\"];";
    assert!(drawn.contains(arrow) && drawn.contains("\"marked\" -> \"payments\";"), "{drawn}");
    let (code, out) = run(&["test", "--config", example]);
    assert_eq!((code, out.contains("3 cases, 0 failed")), (Some(0), true), "{out}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.yaml");
    let text = std::fs::read_to_string(example).unwrap();
    std::fs::write(&path, text.replace("end: by_content.unmatched", "end: by_content.errors"))
        .unwrap();
    let (code, out) = run(&["test", "--config", path.to_str().unwrap()]);
    assert_eq!((code, out.contains("3 cases, 1 failed")), (Some(1), true), "{out}");
}
