//! R9: requests that are small on the wire and large in memory, for the default configuration.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership_otlp::Signal;
use tokio::task::JoinSet;

use crate::harness::HttpClient;
use crate::harness::Shape;
use crate::harness::around;
use crate::harness::empties;
use crate::harness::gzip;
use crate::harness::shapes;
use crate::options::Tier;
use crate::suite::Run;
use crate::suite::Suite;

use super::server;
use super::squeezed::MIB;
use super::squeezed::Squeezed;

/// That of the default configuration.
const BUDGET: u64 = 256 * MIB;
const LIMIT: u64 = BUDGET + 64 * MIB;
const ATTACKERS: usize = 4;
const SHAPE: Shape = Shape { clients: 3, records: 20, padding: 100 };
/// So long bombs come before anything is compared with.
const WARM_AFTER: Duration = Duration::from_secs(3);
/// What is free has been given back to the system by then.
const TRIMMED_AFTER: Duration = Duration::from_secs(12);
/// More than it had then it must not have in the end.
const GROWTH_MAX: u64 = 20 * MIB;
/// What the vault took meanwhile is to be written to files of JSON, by unoptimised code as a rule.
const CALM_WITHIN: Duration = Duration::from_mins(5);

pub(super) const SUITE: Suite = Suite {
    id: "R9",
    title: "bombs for the default configuration, memory limit of budget + 64 MiB: no OOM kill, no sender refused, green in the end and as small as before",
    fast: 1,
    long: 1,
    run,
};

/// The default configuration at the places of a site.
fn yaml() -> String {
    let default = include_str!("../../../config/default.yaml");
    let own = |line: &&str| !line.starts_with("data_dir") && !line.starts_with("metrics");
    let kept: Vec<&str> =
        default.lines().filter(own).take_while(|line| !line.contains("127.0.0.1:9091")).collect();
    kept.join("\n")
        .replace("127.0.0.1:4317", "$GRPC")
        .replace("127.0.0.1:4318", "$HTTP")
        .replace("./gophership-data", "$DIR/data")
}

fn run(run: &mut Run) {
    let lasts = Duration::from_secs(if run.tier == Tier::Fast { 8 } else { 600 });
    for seed in run.seed..run.seed + run.runs {
        server::block_on(attack(run, seed, lasts));
        run.done(1);
    }
}

/// What is refused at the door, and what is just let in.
fn bombs() -> Vec<(Signal, Vec<u8>)> {
    let mut bombs = vec![
        (Signal::Logs, gzip(&around(&empties(2, 31_000_000)))),
        (Signal::Logs, gzip(&around(&empties(2, 2_000_000)))),
        (Signal::Logs, gzip(&empties(1, 9_000_000))),
    ];
    for many in [999_000, 99_000] {
        let packed = |(_, signal, wire): (&str, Signal, Vec<u8>)| (signal, gzip(&wire));
        bombs.extend(shapes(many).into_iter().map(packed));
    }
    bombs
}

/// Attackers, each on a connection of its own.
struct Attack {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    attackers: JoinSet<()>,
}

impl Attack {
    fn begin(squeezed: &Squeezed, bombs: &Arc<Vec<(Signal, Vec<u8>)>>) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut attackers = JoinSet::new();
        for first in 0..ATTACKERS {
            let (is_over, sent) = (Arc::clone(&is_over), Arc::clone(&sent));
            let bombs = Arc::clone(bombs);
            let client = HttpClient::new(squeezed.scene.site.http());
            attackers.spawn(async move {
                for (signal, packed) in bombs.iter().cycle().skip(first * bombs.len() / ATTACKERS) {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let headers =
                        [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
                    client.post(signal.http_path(), &headers, packed.clone()).await;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { is_over, sent, attackers }
    }

    /// Ends it; returns how many bombs were sent, or none if one had no answer.
    async fn end(mut self) -> Option<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(attacker) = self.attackers.join_next().await {
            attacker.ok()?;
        }
        Some(self.sent.load(Ordering::Relaxed))
    }
}

/// Waits until the zone is green, the vault empty, and at most so much memory in use; returns what was
/// seen at last.
async fn calm(squeezed: &Squeezed, bytes_max: u64) -> (i64, i64, u64) {
    let deadline = Instant::now() + CALM_WITHIN;
    loop {
        let metrics = squeezed.process.metrics().await;
        let backlog = metrics.sum("gophership_vault_backlog_requests", &[]);
        let seen = (metrics.zone(), backlog, server::resident_bytes(squeezed.process.id()));
        let is_calm = seen.0 == 0 && backlog == 0 && seen.2 <= bytes_max;
        if is_calm || deadline < Instant::now() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn attack(run: &mut Run, seed: u64, lasts: Duration) {
    let mut squeezed = Squeezed::start(&yaml(), LIMIT).await;
    let bombs = Arc::new(bombs());
    let fresh = server::resident_bytes(squeezed.process.id());
    // The vault's staging is in memory from when it is first used.
    let first = Attack::begin(&squeezed, &bombs);
    tokio::time::sleep(WARM_AFTER).await;
    first.end().await;
    calm(&squeezed, u64::MAX).await;
    tokio::time::sleep(TRIMMED_AFTER).await;
    let before = server::resident_bytes(squeezed.process.id());

    let load = squeezed.scene.load(SHAPE);
    let bombing = Attack::begin(&squeezed, &bombs);
    let watched = squeezed.watch(lasts).await;
    let sent = bombing.end().await;
    let mut violations = squeezed.violations(&watched);
    if sent.is_none() {
        violations.push("a bomb had no answer".to_owned());
    }
    let clients = load.stop().await;
    if let Some(refused) = clients.refusals.first() {
        violations.push(format!("{} senders were refused: {refused:?}", clients.refusals.len()));
    }
    let (zone, backlog, after) = calm(&squeezed, before + GROWTH_MAX).await;
    if zone != 0 || backlog != 0 || before + GROWTH_MAX < after {
        let (before, after) = (before / MIB, after / MIB);
        violations.push(format!(
            "in the end zone {zone}, {backlog} requests in the vault, {after} MiB after {before}"
        ));
    }
    let process = &squeezed.process;
    let books = process.metrics().await.books("logs");
    if books.imbalance() != 0 {
        violations.push(format!("the books do not balance: {books:?}"));
    }
    violations.extend(server::panicked(process));
    for violation in violations {
        run.violation(seed, violation);
    }
    run.note(format!(
        "{} bombs in {lasts:?} beside {} requests OK, slowest answer {:.0?}; {} of {} MiB at most, {} when it was fresh, {} after the first {WARM_AFTER:?} of bombs, {} in the end",
        sent.unwrap_or_default(),
        clients.acknowledged,
        clients.slowest,
        watched.most / MIB,
        LIMIT / MIB,
        fresh / MIB,
        before / MIB,
        after / MIB,
    ));
}
