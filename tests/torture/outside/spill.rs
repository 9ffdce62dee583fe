//! C9: the real server is asked to end while its memory is full of requests that nobody has yet.

use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;

use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Shape;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::server::Scene;

const MIB: i64 = 1 << 20;
/// Of each request, of which every client has one that waits for its answer; they compress as telemetry
/// does. Some 800 KiB, and 2 MiB, for which the vault has less memory.
const RECORDS: [u64; 2] = [8_000, 20_000];
/// That memory has room for.
const RECORDS_MAX: u64 = 8_000_000;
const TAKEN_WITHIN: Duration = Duration::from_mins(1);
/// For up to a GiB. Unoptimised code compresses and sums more slowly.
const ENDED_WITHIN: Duration = Duration::from_millis(900);
const ENDED_WITHIN_UNOPTIMISED: Duration = Duration::from_secs(3);
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

pub(super) const SUITE: Suite = Suite {
    id: "C9",
    title: "SIGTERM while memory is full and the backend hangs: all of it is in the vault and answered, within a second per GiB, and delivered after the next start",
    fast: 2,
    long: 6,
    run,
};

/// As a rule nothing but the end moves a request into the vault.
const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    patience: 5m
    answer_within: 6m
    in_flight_max: 1200MiB
    pivot: vault
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    timeout: 5m
    buffer: { bytes: 1200MiB }
  vault: { type: raw_vault, max_size: 4GiB }
somatic: { mode: observe, memory: { budget: 3GiB, shares: { ingest: 45%, edges: 40%, vault: 5% } } }
"#;

fn run(run: &mut Run) {
    for (seed, records) in (run.seed..run.seed + run.runs).zip(RECORDS.into_iter().cycle()) {
        let clients = if run.tier == Tier::Fast { 64 } else { RECORDS_MAX / records };
        server::block_on(spill(run, seed, (clients, records)));
        run.done(1);
    }
}

async fn spill(run: &mut Run, seed: u64, (clients, records): (u64, u64)) {
    let mut scene = Scene::new(YAML).await;
    let mut process = scene.start().await;
    scene.backend.set(Mode::Hang);
    let load = scene.load(Shape {
        clients: usize::try_from(clients).unwrap_or(usize::MAX),
        records,
        padding: 0,
    });
    let all = clients * records;
    process.measured(TAKEN_WITHIN, "all are taken", |metrics| all <= received(metrics)).await;
    let taken_bytes =
        process.metrics().await.sum("gophership_memory_used_bytes", &[("share", "ingest")]);
    // Nobody sends another request, which would take time of the processors.
    let load = tokio::spawn(load.stop());
    let begun = Instant::now();
    let log = process.stop(TAKEN_WITHIN).await;
    let took = begun.elapsed();
    let answered = load.await.map_or(0, |seen| seen.acknowledged);

    let mut violations = Vec::new();
    if run.limit(ENDED_WITHIN, ENDED_WITHIN_UNOPTIMISED) < took {
        violations.push(format!("ended only after {took:?}"));
    }
    if answered < clients {
        violations.push(format!("{answered} of {clients} requests were answered with OK"));
    }
    if log.contains("panicked") {
        violations.push("it panicked".to_owned());
    }
    // Or it would take what the ended server had sent and had no answer to, beside its copy in the vault.
    scene.backend.forgotten().await;
    scene.backend.set(Mode::Accept);
    process = scene.start().await;
    violations.extend(scene.settle(DRAINED_WITHIN, "after the next start").await);
    // Late duplicates come from a replay that is not at its end.
    scene.quiet(&process).await;
    let repeated = scene.oracle.audit(&scene.backend).duplicates;
    if 0 < repeated {
        violations.push(format!("{repeated} requests came twice"));
    }
    violations.extend(server::panicked(&process));
    for violation in violations {
        run.violation(seed, violation);
    }
    run.note(format!("{} MiB in {clients} requests: ended after {took:.1?}", taken_bytes / MIB));
}

/// Records that were taken. Most of them are nowhere yet; of a backend that has said nothing for some
/// hundred milliseconds the vault takes over by itself.
fn received(metrics: &Metrics) -> u64 {
    let of = |signal: &Signal| metrics.books(signal.name()).count("received");
    u64::try_from(Signal::ALL.iter().map(of).sum::<i64>()).unwrap_or(0)
}
