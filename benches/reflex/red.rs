//! The reflex in Red: a batch finds its place in the vault's staging memory, with checksum and LZ4.
//!
//! The workers share one vault, as in a process. Its own threads write while they place, so the time
//! is that of the placing threads alone: on a small machine the writer takes processors from them.

use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

use gophership::component::OnLoss;
use gophership::config;
use gophership::event::Batch;
use gophership::event::Ledger;
use gophership::event::Ledgers;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::event::Signal;
use gophership::event::SinkSet;
use gophership::event::ack;
use gophership::flow::Intake;
use gophership::flow::Output;
use gophership::flow::Pivot;
use gophership::flow::Placement;
use gophership::flow::Pulse;
use gophership::flow::Reflex;
use gophership::flow::RouteTable;
use gophership::flow::Routes;
use gophership::flow::Switch;
use gophership::metrics::Metrics;
use gophership::metrics::PivotCause;
use gophership::metrics::PlacedIn;
use gophership::somatic::Zone;
use gophership::topology::SharedParts;
use gophership_otlp::demo::demo_logs;
use tokio::sync::watch;

use crate::measure::OwnTime;
use crate::measure::allocated;
use crate::measure::median;
use crate::measure::nanos;
use crate::measure::rest;

/// Placements until the vault is waited for.
const BURST: usize = 16;
const BURSTS: usize = 40;
const BURSTS_TO_WARM_UP: usize = 10;
const ROUNDS: usize = 5;
const SIZES: [usize; 3] = [1, 10, 100];

/// Opens a vault as the configuration does, and returns the way into it.
async fn intake(dir: &Path, ledgers: &'static Ledgers, metrics: Arc<Metrics>) -> Arc<dyn Intake> {
    let yaml = "
sources:
  otlp: { type: otlp, ack: journaled, pivot: vault }
sinks:
  vault: { type: raw_vault, max_size: 512MiB, durability: memory, when_full: drop_oldest }
";
    let config = config::load_text("reflex.yaml", yaml, &|_| None).unwrap();
    let (_zone, zone) = watch::channel(Zone::Red);
    let (id, entry) = config.sinks.iter().next().unwrap();
    let shared = SharedParts::new(zone, Arc::default(), OnLoss::default());
    let context = SharedParts { ledgers, metrics, ..shared }.context(id, dir);
    entry.config.build(&context).await.unwrap().intake().unwrap()
}

/// What one worker needed for its placements, and what it allocated.
type Done = (Duration, (u64, u64));

/// What the workers share.
struct Common {
    ledger: &'static Ledger,
    metrics: Arc<Metrics>,
    routes: Arc<Routes>,
    switch: Arc<Switch>,
}

impl Common {
    /// One worker's turn.
    fn work(&self, request: &Request, start: &Barrier) -> Done {
        let pulse = Pulse::new(1024, 850, Arc::default());
        let reflex = Reflex::new(Arc::clone(&self.switch), pulse);
        let output = Output::new(Arc::clone(&self.routes), Some(reflex));
        let metrics = self.metrics.source("otlp");
        let mut waiters = Vec::with_capacity(BURST);
        let mut placing = Duration::ZERO;
        let mut before = allocated();
        for burst in 0..BURSTS_TO_WARM_UP + BURSTS {
            if burst == BURSTS_TO_WARM_UP {
                start.wait();
                (placing, before) = (Duration::ZERO, allocated());
            }
            let begun = OwnTime::now();
            for _ in 0..BURST {
                let (ticket, waiter) = ack::channel();
                let batch = Batch::received(request, Some(ticket), self.ledger);
                let placed = output.try_send(batch);
                assert!(matches!(placed, Ok(Placement::Diverted)), "the vault has room");
                metrics.place(PlacedIn::Vault, Duration::from_micros(3));
                metrics.pivot(PivotCause::Diverted);
                waiters.push(waiter);
            }
            placing += begun.elapsed();
            while waiters.iter().any(|waiter| waiter.outcome().is_none()) {
                rest(Duration::from_micros(100));
            }
            waiters.clear();
        }
        let after = allocated();
        (placing, (after.0 - before.0, after.1 - before.1))
    }

    /// The time of one placement with so many workers, and what they allocated.
    fn round(&self, request: &Request, count: usize) -> (f64, (u64, u64)) {
        let start = Barrier::new(count);
        let done: Vec<Done> = std::thread::scope(|scope| {
            let work = || self.work(request, &start);
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let slowest = done.iter().map(|(placing, _)| *placing).max().unwrap();
        let sum = |of: fn(&(u64, u64)) -> u64| done.iter().map(|(_, count)| of(count)).sum();
        let placing = nanos(slowest, (BURSTS * BURST) as u64);
        (placing, (sum(|count| count.0), sum(|count| count.1)))
    }
}

/// Prints the table, and stops where something allocates.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir_in("target").unwrap();
    let (ledgers, metrics) = (Ledgers::leak(), Metrics::new());
    let vault = runtime.block_on(intake(dir.path(), ledgers, Arc::clone(&metrics)));
    let (routes, switch) = (Arc::new(Routes::default()), Arc::new(Switch::default()));
    let pivot = Pivot { vault, takes_all: false, out: SinkSet::NONE };
    routes.put(RouteTable { pivot: Some(pivot), ..RouteTable::default() });
    switch.set(true);
    let common = Common { ledger: ledgers.source("otlp"), metrics, routes, switch };
    println!(
        "\nred: the same, placed in the staging of one vault, with checksum and LZ4; own time"
    );
    println!("| records | bytes | 1 worker ns | 2 workers ns | 1 to 2 | allocations | bytes |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for records in SIZES {
        let wire = demo_logs(records, 7, 1_700_000_000_000_000_000);
        let bytes = wire.len();
        let provenance = Provenance::forever("otlp");
        let records = records as u64;
        let request =
            Request { signal: Signal::Logs, wire, records, received_unix_ns: 1, provenance };
        let (mut ones, mut twos, mut sum) = (Vec::new(), Vec::new(), (0, 0));
        for _ in 0..ROUNDS {
            for (count, figures) in [(1, &mut ones), (2, &mut twos)] {
                let (placing, allocated) = common.round(&request, count);
                figures.push(placing);
                sum = (sum.0 + allocated.0, sum.1 + allocated.1);
            }
        }
        let (one, two) = (median(ones), median(twos));
        println!(
            "| {records} | {bytes} | {one:.0} | {two:.0} | {:.2} | {} | {} |",
            one / two,
            sum.0,
            sum.1
        );
        assert_eq!(sum, (0, 0), "placing in the vault allocates nothing");
    }
}
