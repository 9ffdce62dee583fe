//! R6: the real server in a small memory, with everything full.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use gophership_otlp::Signal;
use gophership_otlp_client::Reply;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::GrpcClient;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Traffic;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::server::Scene;
use super::squeezed::MIB;
use super::squeezed::Squeezed;
use super::squeezed::Watched;

/// The sum of the budgets below: requests that wait for an answer, the edge, what the sink has on its
/// way, what the replay has on its way, and the staging of the vault and of its dead letters.
const BUDGET: u64 = (48 + 16 + 16 + 8 + 8 + 8) * MIB;
const CONNECTIONS: u64 = 200;
/// What is received before the budget of requests knows of it. The source takes room before it reads,
/// so only what lies in the windows of streams is left, which the rest of the limit has room for.
const RECEIVED: u64 = 0;
const LIMIT: u64 = BUDGET + RECEIVED + 64 * MIB;
/// Unoptimised code answers later, because it is busy with large requests for longer.
const HEALTHY_WITHIN: Duration = Duration::from_millis(100);
const HEALTHY_WITHIN_UNOPTIMISED: Duration = Duration::from_secs(2);
const DRAINS_WITHIN: Duration = Duration::from_secs(1);
const DRAINED_WITHIN: Duration = Duration::from_mins(1);

pub(super) const SUITE: Suite = Suite {
    id: "R6",
    title: "memory limit of budget + receiving + 64 MiB, 200 connections, sink stopped: no OOM kill, healthy, drains, nothing acknowledged is lost",
    fast: 1,
    long: 1,
    run,
};

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    patience: 200ms
    in_flight_max: 48MiB
    message_size_max: 6MiB
    pivot: vault
  replay: { type: vault_replay, vault: vault, in_flight_bytes: 8MiB }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    in_flight_max: 16MiB
    retry: { min: 20ms, max: 100ms }
    buffer: { batches: 256, bytes: 16MiB }
  vault: { type: raw_vault, path: "$VAULT", max_size: 256MiB, segment_size: 8MiB, staging: 8MiB }
"#;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
    refusals: Mutex<Vec<Reply>>,
    transport: AtomicU64,
}

fn run(run: &mut Run) {
    let lasts = Duration::from_secs(if run.tier == Tier::Fast { 15 } else { 600 });
    for seed in run.seed..run.seed + run.runs {
        server::block_on(squeeze(run, seed, lasts));
        run.done(1);
    }
}

async fn squeeze(run: &mut Run, seed: u64, lasts: Duration) {
    let mut squeezed = Squeezed::start(YAML, LIMIT).await;
    squeezed.scene.backend.set(Mode::Hang);

    let view = Arc::new(Seen::default());
    let fillers = Arc::new(fillers());
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(client(
            Arc::clone(&view),
            &squeezed.scene,
            &fillers,
            Rng::with_seed(seed << 16 | number),
        ));
    }
    let watched = squeezed.watch(lasts).await;
    let scene = &squeezed.scene;
    let before = scene.backend.requests();
    scene.backend.set(Mode::Accept);
    let returned = Instant::now();
    while scene.backend.requests() == before && returned.elapsed() < 10 * DRAINS_WITHIN {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let drains_after = returned.elapsed();
    view.is_over.store(true, Ordering::SeqCst);
    while clients.join_next().await.is_some() {}

    let violations = squeezed.violations(&watched);
    let (scene, process) = (&squeezed.scene, &squeezed.process);
    let healthy_within = run.limit(HEALTHY_WITHIN, HEALTHY_WITHIN_UNOPTIMISED);
    let mut check = |is_wrong: bool, what: String| {
        if is_wrong {
            run.violation(seed, what);
        }
    };
    let Watched { most, slowest, .. } = watched;
    for violation in violations {
        check(true, violation);
    }
    check(healthy_within < slowest, format!("a health answer took {slowest:?}"));
    check(DRAINS_WITHIN < drains_after, format!("drains only after {drains_after:?}"));
    let refusals = std::mem::take(&mut *view.refusals.lock().expect("nobody panics with it"));
    for violation in server::unhinted(&refusals).into_iter().chain(server::panicked(process)) {
        check(true, violation);
    }
    for violation in scene.settle(DRAINED_WITHIN, "when the sink was back").await {
        let books = process.metrics().await.books("logs");
        check(true, format!("{violation}: {books:?}"));
    }
    let acknowledged = view.acknowledged.load(Ordering::SeqCst);
    check(acknowledged == 0, "nothing was acknowledged".to_owned());
    run.note(format!(
        "{acknowledged} OK, {} refused, {} timed out, {} of {} MiB at most (budget {} MiB), slowest health answer {slowest:.0?}, drains after {drains_after:.0?}",
        refusals.len(),
        view.transport.load(Ordering::SeqCst),
        most / MIB,
        LIMIT / MIB,
        BUDGET / MIB,
    ));
}

/// Resources without records, of 1 KiB to 4 MiB: what makes a request large without much work.
fn fillers() -> Vec<Bytes> {
    let mut random = Rng::with_seed(6);
    let mut filler = |bits: u32| {
        let noise: String =
            std::iter::repeat_with(|| random.alphanumeric()).take(1 << bits).collect();
        let value = AnyValue { value: Some(Value::StringValue(noise)) };
        let key = "test.filler".to_owned();
        let attribute = KeyValue { key, value: Some(value), ..KeyValue::default() };
        let resource = Resource { attributes: vec![attribute], ..Resource::default() };
        let part = ResourceLogs { resource: Some(resource), ..ResourceLogs::default() };
        Bytes::from(ExportLogsServiceRequest { resource_logs: vec![part] }.encode_to_vec())
    };
    (10..=22).map(&mut filler).collect()
}

/// A request with one record and a filler: messages one after the other are one message.
fn enlarged(traffic: &Traffic, filler: &Bytes) -> NumberedRequest {
    let mut parcel = traffic.request(Signal::Logs, 1);
    parcel.wire = [&parcel.wire[..], filler].concat().into();
    parcel.fingerprint = blake3::hash(&parcel.wire);
    parcel
}

/// One connection that sends requests of 1 KiB to 4 MiB, small ones more often.
fn client(
    view: Arc<Seen>,
    scene: &Scene,
    fillers: &Arc<Vec<Bytes>>,
    mut random: Rng,
) -> impl Future<Output = ()> + Send + 'static {
    let (traffic, oracle) = (Arc::clone(&scene.traffic), Arc::clone(&scene.oracle));
    let fillers = Arc::clone(fillers);
    let client = GrpcClient::new(scene.site.grpc());
    async move {
        while !view.is_over.load(Ordering::SeqCst) {
            let parcel = enlarged(&traffic, &fillers[random.usize(..fillers.len())]);
            oracle.sends(&parcel);
            match client.send(&parcel).await {
                Ok(_) => {
                    oracle.acknowledged(&parcel);
                    view.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                // The client's own deadline, on a machine that does all of this at once.
                Err(status)
                    if matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded) =>
                {
                    view.transport.fetch_add(1, Ordering::SeqCst);
                }
                Err(status) => {
                    let refused = server::judged(&status);
                    view.refusals.lock().expect("nobody panics with it").push(refused);
                }
            }
            tokio::time::sleep(Duration::from_millis(random.u64(5..100))).await;
        }
    }
}
