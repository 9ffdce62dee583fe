//! Overload: a full edge, a stalled sink and Red, alone and together, and a vault that is full.
//!
//! The source keeps answering OK out of the vault, nothing locks up, and when it is over everything
//! is delivered.

use std::sync::Arc;
use std::time::Duration;

use gophership_otlp::Signal;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::harness::eventually_async;

const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_millis(200);
/// Records of each request.
const RECORDS: i64 = 3;
/// What a slow machine that runs other tests may add.
const A_LITTLE: Duration = Duration::from_secs(3);

/// `$BATCHES` and `$CONCURRENCY` say how soon the edge in front of the backend is full, `$WINDOW` how
/// much of it the replay may fill.
const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    patience: 200ms
    answer_within: 4s
    pivot: vault
  replay: { type: vault_replay, vault: vault, in_flight: $WINDOW }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    concurrency: $CONCURRENCY
    retry: { min: 20ms, max: 200ms }
    buffer: { batches: $BATCHES }
  vault: { type: raw_vault, max_size: 256MiB, segment_size: 1MiB }
somatic: { dwell: 200ms, check_every: 1 }
"#;

/// The configuration with a small edge or with one that these tests do not fill.
fn yaml(is_small: bool) -> String {
    let (batches, concurrency, window) =
        if is_small { ("8", "1", "1") } else { ("1024", "64", "64") };
    YAML.replace("$BATCHES", batches)
        .replace("$CONCURRENCY", concurrency)
        .replace("$WINDOW", window)
}

/// What weighs on the process.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// The edge holds eight batches and is drained one by one, by a backend that takes its time.
    is_edge_full: bool,
    /// The backend reads and never answers.
    is_stalled: bool,
    /// The zone that the operator holds; `auto` lets the edge decide.
    zone: &'static str,
}

struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
    traffic: Arc<Traffic>,
    oracle: Arc<Oracle>,
}

impl Scene {
    async fn new(is_small: bool) -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), &yaml(is_small));
        let process = site.start().await;
        Self { backend, site, process, traffic: Arc::default(), oracle: Arc::default() }
    }

    fn load(&self, clients: usize) -> SteadyLoad {
        let shape = Shape { clients, records: RECORDS.unsigned_abs(), padding: 50 };
        SteadyLoad::start(self.site.grpc(), shape, &self.traffic, &self.oracle)
    }

    /// The trouble is over: everything is delivered, the books agree with the backend, and the
    /// zone is Green by itself.
    async fn recovers(&self) {
        self.backend.set(Mode::Accept);
        self.process.hold("auto");
        let audit = self.oracle.settle(&self.backend, SOON).await;
        audit.assert_kept(&"after the trouble");
        let calm = |metrics: &Metrics| {
            let books = Signal::ALL.map(|signal| metrics.books(signal.name()));
            let moves = |bucket: &str| books.iter().any(|books| books.count(bucket) != 0);
            !moves("in_flight") && !moves("vaulted") && metrics.zone() == 0
        };
        self.process.measured(SOON, "nothing is in flight or in the vault, in green", calm).await;
        let metrics = self.process.metrics().await;
        let patience = metrics.sum("gophership_somatic_pivots_total", &[("cause", "patience")]);
        let overtaken = patience * RECORDS;
        for signal in Signal::ALL {
            let books = metrics.books(signal.name());
            let taken: u64 = self.backend.records(signal).values().sum();
            assert_eq!(books.imbalance(), 0, "{signal}: {books:?}");
            // When patience ends during an attempt the backend may have taken it all the same.
            let unanswered = i64::try_from(taken).unwrap() - books.count("delivered");
            assert!((0..=overtaken).contains(&unanswered), "{taken} taken, {books:?}");
        }
    }
}

async fn endures(trouble: Trouble) {
    let scene = Scene::new(trouble.is_edge_full).await;
    let delay = Duration::from_millis(if trouble.is_edge_full { 30 } else { 0 });
    scene.backend.set(if trouble.is_stalled { Mode::Hang } else { Mode::Slow(delay) });
    // Red keeps the edge as it is: it must have filled before.
    scene.process.hold(if trouble.zone == "red" { "green" } else { trouble.zone });
    let load = scene.load(12);
    load.advance(30, SOON).await;
    scene.process.hold(trouble.zone);
    for _ in 0..4 {
        load.advance(30, SOON).await;
    }
    let has_happened = |metrics: &Metrics| {
        let of = |cause: &str| metrics.sum("gophership_somatic_pivots_total", &[("cause", cause)]);
        (!trouble.is_edge_full || of("edge_full") > 0)
            && (!trouble.is_stalled || of("patience") > 0)
            && (trouble.zone != "red" || of("diverted") > 0)
    };
    scene.process.measured(SOON, &format!("{trouble:?}"), has_happened).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{trouble:?}: {:?}", seen.refusals.first());
    assert!(seen.slowest < PATIENCE + A_LITTLE, "{trouble:?}: {:?}", seen.slowest);
    scene.recovers().await;
}

/// Scenario: an edge of eight batches in front of a slow backend; Green is held.
/// Guarantees: OK from the vault at once; everything is delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_edge_spills_to_the_vault() {
    endures(Trouble { is_edge_full: true, is_stalled: false, zone: "green" }).await;
}

/// Scenario: a backend that never answers behind an edge with room; Green is held.
/// Guarantees: OK from the vault when patience is over; everything is delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_sink_costs_patience_only() {
    endures(Trouble { is_edge_full: false, is_stalled: true, zone: "green" }).await;
}

/// Scenario: Red under load, with nothing else wrong.
/// Guarantees: OK from the vault; everything is delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_alone_answers_from_the_vault() {
    endures(Trouble { is_edge_full: false, is_stalled: false, zone: "red" }).await;
}

/// Scenario: a backend that never answers behind an edge of eight batches; Green is held.
/// Guarantees: no deadlock: OK from the vault, everything delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_edge_in_front_of_a_stalled_sink_does_not_lock_up() {
    endures(Trouble { is_edge_full: true, is_stalled: true, zone: "green" }).await;
}

/// Scenario: Red while the edge is full.
/// Guarantees: no deadlock: OK from the vault, everything delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_with_a_full_edge_does_not_lock_up() {
    endures(Trouble { is_edge_full: true, is_stalled: false, zone: "red" }).await;
}

/// Scenario: Red while the backend never answers.
/// Guarantees: no deadlock: OK from the vault, everything delivered afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_with_a_stalled_sink_does_not_lock_up() {
    endures(Trouble { is_edge_full: false, is_stalled: true, zone: "red" }).await;
}

/// Scenario: all of it at once, and nobody holds a zone.
/// Guarantees: the zone rises by itself and falls by itself when the backend is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_operator_the_zone_rises_and_falls_by_itself() {
    let scene = Scene::new(true).await;
    scene.backend.set(Mode::Hang);
    let load = scene.load(12);
    let is_red = |metrics: &Metrics| metrics.zone() == 2;
    scene.process.measured(SOON, "the zone is red", is_red).await;
    load.advance(50, SOON).await;
    let seen = load.stop().await;
    assert!(seen.refusals.is_empty(), "{:?}", seen.refusals.first());
    scene.process.logged(SOON, &["Zone changed.", "to=red", "the edge of backend is"]).await;
    scene.recovers().await;
}

/// Replays a backlog through edges that are smaller than what the replay may have on its way.
async fn replay_stays_in_the_background(yaml: &str) {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), yaml);
    let process = site.start().await;
    let scene = Scene { backend, site, process, traffic: Arc::default(), oracle: Arc::default() };
    scene.process.hold("red");
    let load = scene.load(12);
    load.advance(200, SOON).await;
    load.stop().await;
    scene.process.hold("auto");
    scene.recovers().await;
    assert_eq!(scene.process.count_in_log("to=red"), 1, "by the operator alone");
}

/// Scenario: a backlog, and an edge that is smaller than what the replay may have on its way.
/// Guarantees: replay alone is no reason to leave Green: live requests do not pay for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_does_not_turn_the_zone() {
    replay_stays_in_the_background(&yaml(true).replace("in_flight: 1 }", "in_flight: 64 }")).await;
}

/// Scenario: the same with the small edge behind a transform, where the replay cannot see it.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_does_not_turn_the_zone_behind_a_transform() {
    let transform = "
transforms:
  between: { type: filter, inputs: [otlp, replay], drop: [{ attribute: no.such, exists: true }] }
sinks:
";
    let yaml = yaml(true).replace("in_flight: 1 }", "in_flight: 64 }");
    let yaml = yaml.replace("\nsinks:\n", transform);
    let yaml = yaml.replacen("    inputs: [otlp, replay]\n", "    inputs: [between]\n", 1);
    replay_stays_in_the_background(&yaml).await;
}

/// Fills the vault with large requests until it refuses one.
async fn fill(scene: &Scene) -> tonic::Status {
    let client = GrpcClient::new(scene.site.grpc());
    for _ in 0..200 {
        let parcel = scene.traffic.padded(Signal::Logs, 1, 900 << 10);
        scene.oracle.sends(&parcel);
        match client.send(&parcel).await {
            Ok(_) => scene.oracle.acknowledged(&parcel),
            Err(status) => return status,
        }
    }
    panic!("a vault of 68MiB takes 200 requests of 900KiB");
}

/// Scenario: Red, and the vault reaches its `max_size`; then the backend comes back.
/// Guarantees: the client is told when to come again (`UNAVAILABLE` with `RetryInfo`, 503 with
/// `Retry-After`); once replay has freed space the vault takes requests again; nothing is lost.
/// Takes some seconds: the smallest vault is 68MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_vault_refuses_with_a_hint_and_takes_requests_again_when_there_is_space() {
    let scene = Scene::new(false).await;
    scene.site.configure(&yaml(false).replace("max_size: 256MiB", "max_size: 68MiB"));
    let Scene { backend, site, process, traffic, oracle } = scene;
    drop(process);
    let process = site.start().await;
    let scene = Scene { backend, site, process, traffic, oracle };
    scene.backend.set(Mode::Gone);
    scene.process.hold("red");

    let status = fill(&scene).await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    assert!(status.message().contains("the vault is full"), "{status:?}");
    scene.process.logged(SOON, &["The vault is full", "vault=vault"]).await;
    let parcel = scene.traffic.padded(Signal::Logs, 1, 900 << 10);
    let kind = [("content-type", "application/x-protobuf")];
    let answer = HttpClient::new(scene.site.http()).post("/v1/logs", &kind, parcel.wire).await;
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let books = scene.process.metrics().await.books("logs");
    assert_eq!(books.count("rejected_no_room") + books.count("rejected_failed"), 2, "{books:?}");

    scene.backend.set(Mode::Accept);
    scene.process.hold("auto");
    let audit = scene.oracle.settle(&scene.backend, SOON).await;
    audit.assert_kept(&"after the vault was full");
    scene.process.hold("red");
    let client = GrpcClient::new(scene.site.grpc());
    eventually_async(SOON, "the vault takes requests again", async || {
        let parcel = scene.traffic.padded(Signal::Logs, 1, 900 << 10);
        scene.oracle.sends(&parcel);
        let is_taken = client.send(&parcel).await.is_ok();
        if is_taken {
            scene.oracle.acknowledged(&parcel);
        }
        is_taken
    })
    .await;
    scene.process.logged(SOON, &["The vault has room again"]).await;
    assert_eq!(scene.process.count_in_log("The vault is full"), 1);
    scene.recovers().await;
}
