//! The reflex in Green: a batch finds its place in an edge.
//!
//! Each worker has an output and an edge of its own, and empties that edge itself between two bursts,
//! so no other thread takes part. All else is shared as it is in a process: ledger, figures of the
//! source, emergency switch, alarm. What one worker writes and the other reads or writes would show
//! when two run at once; the variants below plant that, to show that it is seen.

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_utils::CachePadded;
use gophership::event::Batch;
use gophership::event::Ledger;
use gophership::event::Ledgers;
use gophership::event::Provenance;
use gophership::event::Request;
use gophership::event::Signal;
use gophership::event::SinkId;
use gophership::event::ack;
use gophership::event::ack::AckWaiter;
use gophership::flow::Destination;
use gophership::flow::EdgeLimits;
use gophership::flow::EdgeReceiver;
use gophership::flow::Output;
use gophership::flow::Placement;
use gophership::flow::Pulse;
use gophership::flow::Reflex;
use gophership::flow::RouteTable;
use gophership::flow::Routes;
use gophership::flow::Switch;
use gophership::flow::edge;
use gophership::metrics::Metrics;
use gophership::metrics::PlacedIn;
use gophership::metrics::SourceMetrics;
use tokio::sync::Notify;

use crate::measure::allocated;
use crate::measure::median;
use crate::measure::nanos;

/// Placements between two clock readings; fewer than the cells that a thread keeps.
const BURST: usize = 128;
const BURSTS: usize = 2_000;
const BURSTS_TO_WARM_UP: usize = 50;
const ROUNDS: usize = 9;
/// As often the whole comparison is repeated while others keep the machine busy.
const ATTEMPTS: usize = 5;
const CHECK_EVERY: u32 = 1024;
/// What two workers must do at least, as a multiple of one.
const SPEED_UP_MIN: f64 = 1.8;

/// What the workers of a process share on this way.
pub(crate) struct Common {
    ledger: &'static Ledger,
    /// What is put into an edge, this one has taken.
    sink: SinkId,
    metrics: SourceMetrics,
    switch: Arc<Switch>,
    alarm: Arc<Notify>,
    /// What the planted variants write.
    planted: CachePadded<AtomicU64>,
    wire: Bytes,
}

/// What is planted into the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Nothing.
    Reflex,
    /// One count for each operation that all workers share.
    SharedCount,
    /// All workers place into one edge, as behind one source with one sink.
    SharedEdge,
}

/// One worker: an output into an edge, and the other end of that edge.
pub(crate) struct Worker<'c> {
    common: &'c Common,
    variant: Variant,
    output: Output,
    receiver: EdgeReceiver,
    request: Request,
    waiters: Vec<AckWaiter>,
}

/// What one worker did.
#[derive(Clone, Copy, Default)]
struct Done {
    /// In the reflex.
    placing: Duration,
    /// In the whole loop.
    wall: Duration,
    /// In the median burst, placed and delivered.
    burst: Duration,
    allocations: u64,
    bytes: u64,
}

/// The slowest worker, and the sum of what all allocated.
#[derive(Clone, Copy)]
struct Figure {
    placing_ns: f64,
    per_second: f64,
    per_burst: f64,
    allocated: (u64, u64),
}

impl Common {
    pub(crate) fn new() -> Self {
        let ledgers = Ledgers::leak();
        Self {
            ledger: ledgers.source("otlp"),
            sink: ledgers.sink("sink"),
            metrics: Metrics::new().source("otlp"),
            switch: Arc::default(),
            alarm: Arc::default(),
            planted: CachePadded::default(),
            wire: Bytes::from_static(&[0; 256]),
        }
    }

    fn output(&self, sender: edge::EdgeSender) -> Output {
        let routes = Arc::new(Routes::default());
        routes.put(RouteTable {
            routes: vec![Destination::Edge(sender).into()],
            ..RouteTable::default()
        });
        let pulse = Pulse::new(CHECK_EVERY, 850, Arc::clone(&self.alarm));
        Output::new(routes, Some(Reflex::new(Arc::clone(&self.switch), pulse)))
    }

    fn request(&self) -> Request {
        Request {
            signal: Signal::Logs,
            wire: self.wire.clone(),
            records: 1,
            received_unix_ns: 1,
            provenance: Provenance::default(),
        }
    }

    /// So many workers of a variant.
    fn workers(&self, variant: Variant, count: usize) -> Vec<Worker<'_>> {
        let limits = EdgeLimits { batches: 1024, bytes: 32 << 20 };
        let (shared_sender, shared_receiver) = edge::edge_of(self.sink, limits);
        let worker = |_| {
            let (sender, receiver) = match variant {
                Variant::SharedEdge => (shared_sender.clone(), shared_receiver.handle()),
                _ => edge::edge_of(self.sink, limits),
            };
            Worker {
                common: self,
                variant,
                output: self.output(sender),
                receiver,
                request: self.request(),
                waiters: Vec::with_capacity(BURST),
            }
        };
        (0..count).map(worker).collect()
    }

    /// One worker for whoever only needs the load.
    pub(crate) fn load(&self, count: usize) -> Vec<Worker<'_>> {
        self.workers(Variant::Reflex, count)
    }
}

impl Worker<'_> {
    /// Places a burst, and returns how long that took.
    fn place(&mut self) -> Duration {
        let Common { ledger, metrics, planted, .. } = self.common;
        let begun = Instant::now();
        for _ in 0..BURST {
            let (ticket, waiter) = ack::channel();
            let batch = Batch::received(&self.request, Some(ticket), ledger);
            let placed = self.output.try_send(batch);
            assert!(matches!(placed, Ok(Placement::Pipeline)), "the edge has room");
            metrics.place(PlacedIn::Edges, Duration::from_micros(3));
            if self.variant == Variant::SharedCount {
                planted.fetch_add(1, Ordering::Relaxed);
            }
            self.waiters.push(waiter);
        }
        begun.elapsed()
    }

    /// Delivers what is in the edge, until every waiter of this worker has its answer.
    fn empty(&mut self) {
        while let Some(waiter) = self.waiters.last() {
            if waiter.outcome().is_some() {
                self.waiters.pop();
            } else if let Some(batch) = self.receiver.try_recv() {
                batch.delivered();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// One burst, placed and delivered.
    pub(crate) fn burst(&mut self) -> u64 {
        self.place();
        self.empty();
        BURST as u64
    }

    /// As many bursts as a round has, once all are warm.
    fn round(&mut self, processor: usize, start: &Barrier, running: &AtomicUsize) -> Done {
        keep_to(processor);
        let mut bursts = Vec::with_capacity(BURSTS);
        for _ in 0..BURSTS_TO_WARM_UP {
            self.burst();
        }
        start.wait();
        let mut done = Done::default();
        let (wall, before) = (Instant::now(), allocated());
        for _ in 0..BURSTS {
            let begun = Instant::now();
            done.placing += self.place();
            self.empty();
            bursts.push(begun.elapsed());
        }
        done.wall = wall.elapsed();
        let after = allocated();
        (done.allocations, done.bytes) = (after.0 - before.0, after.1 - before.1);
        bursts.sort_unstable();
        done.burst = bursts[BURSTS / 2];
        // Who is done first goes on, so that the other is never measured alone.
        running.fetch_sub(1, Ordering::Relaxed);
        while 0 < running.load(Ordering::Relaxed) {
            self.burst();
        }
        done
    }
}

/// Keeps the calling thread on one processor.
fn keep_to(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    // Where that is not allowed the system places threads as it likes.
    let _refused = rustix::thread::sched_setaffinity(None, &set);
}

/// One round of so many workers at once.
fn round(common: &Common, variant: Variant, count: usize) -> Figure {
    let (start, running) = (Barrier::new(count), AtomicUsize::new(count));
    let done: Vec<Done> = std::thread::scope(|scope| {
        let workers = common.workers(variant, count).into_iter();
        let (start, running) = (&start, &running);
        let threads: Vec<_> = workers
            .enumerate()
            .map(|(idx, mut worker)| scope.spawn(move || worker.round(idx, start, running)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let operations = (BURSTS * BURST) as u64;
    let slowest = |time: fn(&Done) -> Duration| done.iter().map(time).max().unwrap();
    let rate = |time: Duration| (operations * count as u64) as f64 / time.as_secs_f64();
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum();
    Figure {
        placing_ns: nanos(slowest(|done| done.placing), operations),
        per_second: rate(slowest(|done| done.wall)),
        per_burst: (BURST * count) as f64 / slowest(|done| done.burst).as_secs_f64(),
        allocated: (sum(|done| done.allocations), sum(|done| done.bytes)),
    }
}

/// The medians of one worker and of two, which take turns.
fn compare(common: &Common, variant: Variant) -> (Figure, Figure) {
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ones.push(round(common, variant, 1));
        twos.push(round(common, variant, 2));
    }
    let middle = |figures: &[Figure]| {
        let of = |of: fn(&Figure) -> f64| median(figures.iter().map(of).collect());
        let sum = |of: fn(&Figure) -> u64| figures.iter().map(of).sum();
        Figure {
            placing_ns: of(|figure| figure.placing_ns),
            per_second: of(|figure| figure.per_second),
            per_burst: of(|figure| figure.per_burst),
            allocated: (sum(|figure| figure.allocated.0), sum(|figure| figure.allocated.1)),
        }
    };
    (middle(&ones), middle(&twos))
}

/// Prints the table; stops where something allocates, and where two workers hinder each other.
pub(crate) fn run() {
    let common = Common::new();
    println!("\ngreen: acknowledgement, batch, booking, decision, place in an edge, figures");
    println!(
        "speed-up: placed and delivered by two workers, as a multiple of one, in the median burst"
    );
    println!(
        "| variant | 1 worker ns | 2 workers ns | speed-up | by the wall | allocations | bytes |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for variant in [Variant::Reflex, Variant::SharedCount, Variant::SharedEdge] {
        let mut best = 0.0_f64;
        for _ in 0..ATTEMPTS {
            let (one, two) = compare(&common, variant);
            let speed_up = two.per_burst / one.per_burst;
            let wall = two.per_second / one.per_second;
            let allocated = (one.allocated.0 + two.allocated.0, one.allocated.1 + two.allocated.1);
            println!(
                "| {variant:?} | {:.0} | {:.0} | {speed_up:.2} | {wall:.2} | {} | {} |",
                one.placing_ns, two.placing_ns, allocated.0, allocated.1
            );
            if variant != Variant::SharedEdge {
                // There the cells of acknowledgements end on other threads than they began on.
                assert_eq!(allocated, (0, 0), "placing and delivering allocate nothing");
            }
            best = best.max(speed_up);
            if variant != Variant::Reflex || SPEED_UP_MIN <= best {
                break;
            }
        }
        assert!(
            variant != Variant::Reflex || SPEED_UP_MIN <= best,
            "two workers do {best:.2} times what one does"
        );
    }
}
