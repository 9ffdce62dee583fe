//! R7: a burst of many times what the backend takes, in a small memory.

use std::time::Duration;
use std::time::Instant;

use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::eventually_async;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::squeezed::MIB;
use super::squeezed::Squeezed;

const BUDGET: u64 = 96 * MIB;
const LIMIT: u64 = BUDGET + 64 * MIB;
const DWELL: Duration = Duration::from_secs(2);
/// The backend answers so late, and so many requests are on their way to it: 40 a second.
const SLOW: Duration = Duration::from_millis(200);
const CONCURRENCY: u64 = 8;
/// What must be offered for each request that the backend takes.
const TIMES: u64 = 20;
const SHAPE: Shape = Shape { clients: 256, records: 20, padding: 250 };
/// Seconds from a reading to the zone in force. Unoptimised, a look at every file takes a part of it.
const REACTS_WITHIN: &str = "0.001";
const REACTS_WITHIN_UNOPTIMISED: &str = "0.005";
/// To deliver what came in a second of the burst; unoptimised, with clients and backend beside it.
const DRAINS_A_SECOND_WITHIN: u32 = 10;

pub(super) const SUITE: Suite = Suite {
    id: "R7",
    title: "a burst of 20 times what the sink takes, memory limit of budget + 64 MiB: nothing refused or lost, red and back without flapping, all delivered",
    fast: 1,
    long: 1,
    run,
};

const YAML: &str = r#"
somatic: { dwell: 2s, memory: { budget: 96MiB } }
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    concurrency: 8
    buffer: { batches: 128 }
  vault: { type: raw_vault, path: "$VAULT", max_size: 16GiB }
"#;

fn run(run: &mut Run) {
    let lasts = Duration::from_secs(if run.tier == Tier::Fast { 8 } else { 60 });
    for seed in run.seed..run.seed + run.runs {
        server::block_on(burst(run, seed, lasts));
        run.done(1);
    }
}

async fn burst(run: &mut Run, seed: u64, lasts: Duration) {
    let mut squeezed = Squeezed::start(YAML, LIMIT).await;
    squeezed.scene.backend.set(Mode::Slow(SLOW));

    let begun = Instant::now();
    let load = squeezed.scene.load(SHAPE);
    let watched = squeezed.watch(lasts).await;
    let taken = squeezed.scene.backend.requests();
    let in_it = squeezed.process.metrics().await;
    let clients = load.stop().await;

    let mut violations = squeezed.violations(&watched);
    let (scene, process) = (&squeezed.scene, &squeezed.process);

    let mut check = |is_wrong: bool, what: String| {
        if is_wrong {
            violations.push(what);
        }
    };
    let refused = clients.refusals.first().map(|reply| format!("{reply:?}")).unwrap_or_default();
    check(!clients.refusals.is_empty(), format!("{} refusals: {refused}", clients.refusals.len()));
    check(
        clients.acknowledged < TIMES * taken,
        format!("{} were offered while the backend took {taken}", clients.acknowledged),
    );
    check(transitions_to_red(&in_it) == 0, "the zone was never red".to_owned());

    scene.backend.set(Mode::Accept);
    let drains_within = lasts * DRAINS_A_SECOND_WITHIN;
    let returned = Instant::now();
    for violation in scene.settle(drains_within, "when the burst was over").await {
        check(true, violation);
    }
    let drained = returned.elapsed();
    calm(process).await;
    let metrics = process.metrics().await;
    let (reds, lasted) = (transitions_to_red(&metrics), begun.elapsed());
    // It may rise again when a dwell is over.
    let cycles = 1 + lasted.as_secs() / DWELL.as_secs();
    check(cycles < reds, format!("the zone was {reds} times red in {lasted:.0?}"));
    let reacts_within = run.limit(REACTS_WITHIN, REACTS_WITHIN_UNOPTIMISED);
    let late_reactions = |to| late_reactions(&metrics, to, reacts_within);
    let [red, yellow, green] = ["red", "yellow", "green"].map(late_reactions);
    let late = red + yellow + green;
    check(
        late > 0,
        format!(
            "{late} changes of the zone took more than {reacts_within} s, {red} of them to red"
        ),
    );
    let books = metrics.books("logs");
    check(books.imbalance() != 0, format!("the books do not balance: {books:?}"));
    check(server::panicked(process).is_some(), "the server panicked".to_owned());
    for violation in violations {
        run.violation(seed, violation);
    }
    run.note(format!(
        "{} requests OK in {lasts:?} while the backend took {taken} of them ({CONCURRENCY} at once), slowest answer {:.0?}, {reds} times red, {} of {} MiB at most (budget {} MiB), drained in {drained:.1?}",
        clients.acknowledged,
        clients.slowest,
        watched.most / MIB,
        LIMIT / MIB,
        BUDGET / MIB,
    ));
}

fn transitions_to_red(metrics: &Metrics) -> u64 {
    let count = metrics.sum("gophership_somatic_transitions_total", &[("to", "red")]);
    u64::try_from(count).expect("a counter is not negative")
}

/// How often a zone was in force too late after the reading that led there.
fn late_reactions(metrics: &Metrics, to: &str, within: &str) -> i64 {
    let name = "gophership_somatic_reaction_seconds_bucket";
    let below = |bound| metrics.sum(name, &[("to", to), ("le", bound)]);
    below("+Inf") - below(within)
}

/// Waits until the zone is green.
async fn calm(process: &Process) {
    let within = DWELL * 5;
    eventually_async(within, "the zone is green", async || process.metrics().await.zone() == 0)
        .await;
}
