//! Random sequences of reloads under load, with some backends out and kills in between: every sink that
//! is in the configuration when a request is sent, and stays, gets it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use gophership_otlp::Signal;
use rustix::process::Signal as ProcessSignal;
use tokio::task::JoinSet;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually_async;
use crate::rewiring_pipeline::Pipeline;
use crate::rewiring_pipeline::SINKS;

/// Processes that run at the same time, and what each goes through.
const WORLDS: u64 = 8;
const SEQUENCES: u64 = 63;
const STEPS_MAX: u64 = 4;
const SENDERS: usize = 2;
const SOON: Duration = Duration::from_secs(30);

/// What the senders know.
#[derive(Default)]
struct Sent {
    /// Reloads that are done.
    epoch: AtomicU64,
    is_over: AtomicBool,
    acknowledged: Mutex<Vec<Acknowledged>>,
}

/// A request that was acknowledged.
#[derive(Clone, Copy)]
struct Acknowledged {
    number: u64,
    /// In which it was sent.
    epoch: u64,
    /// When it was sent and answered, as the log tells time.
    at: [SystemTime; 2],
}

impl fmt::Debug for Acknowledged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            format!("{:02}.{:03}", since.as_secs() % 60, since.subsec_millis())
        };
        let [sent, answered] = self.at.map(seconds);
        write!(formatter, "{} sent {sent} answered {answered}", self.number)
    }
}

/// One process with its clients and backends, and the oracle.
struct World {
    seed: u64,
    random: fastrand::Rng,
    backends: Vec<Backend>,
    site: Site,
    process: Process,
    pipeline: Pipeline,
    /// Since which epoch each sink is there.
    since: BTreeMap<usize, u64>,
    sent: Arc<Sent>,
    history: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut backends = Vec::new();
        for _ in 0..SINKS {
            backends.push(Backend::start().await);
        }
        let pipeline = Pipeline::new();
        let site = Site::new(backends[0].address(), &pipeline.yaml(&backends));
        let process = site.start().await;
        let (random, since) = (fastrand::Rng::with_seed(seed), BTreeMap::from([(0, 0)]));
        let (sent, history) = (Arc::default(), Vec::new());
        Self { seed, random, backends, site, process, pipeline, since, sent, history }
    }

    fn senders(&self, traffic: &Arc<Traffic>) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (client, sent) = (GrpcClient::new(self.site.grpc()), Arc::clone(&self.sent));
            let traffic = Arc::clone(traffic);
            senders.spawn(async move {
                while !sent.is_over.load(Ordering::SeqCst) {
                    let parcel = traffic.request(Signal::Logs, 1);
                    let (epoch, begun) = (sent.epoch.load(Ordering::SeqCst), SystemTime::now());
                    if client.send(&parcel).await.is_ok() {
                        let (number, at) = (parcel.numbers[0], [begun, SystemTime::now()]);
                        let acknowledged = Acknowledged { number, epoch, at };
                        sent.acknowledged.lock().unwrap().push(acknowledged);
                    }
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
            });
        }
        senders
    }

    fn configure(&self, pipeline: &Pipeline) {
        self.site.configure(&pipeline.yaml(&self.backends));
    }

    fn reloads(&self) -> usize {
        let failed = self.process.count_in_log("Cannot reload the configuration");
        assert_eq!(failed, 0, "{}: {:#?}\n{}", self.seed, self.history, self.process.log());
        self.process.count_in_log("Reloaded the configuration.")
    }

    async fn reload(&self) {
        let done = self.reloads() + 1;
        self.process.signal(ProcessSignal::HUP);
        let what = format!("the reload is done, {}: {:#?}", self.seed, self.history);
        eventually_async(SOON, &what, async || done <= self.reloads()).await;
    }

    /// Waits until no reload is under way.
    async fn calm(&self) {
        let mut seen = 0;
        while seen != self.reloads() {
            seen = self.reloads();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Another configuration is in force; what was in every one since the last, stayed.
    fn follow(&mut self, on_the_way: &[Pipeline], pipeline: Pipeline) {
        let epoch = self.sent.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        let stays = |idx: &usize| on_the_way.iter().all(|it| it.sinks.contains_key(idx));
        let since = |idx: &usize| match self.since.get(idx) {
            Some(since) if stays(idx) => *since,
            _ => epoch,
        };
        self.since = pipeline.sinks.keys().map(|idx| (*idx, since(idx))).collect();
        self.pipeline = pipeline;
    }

    /// One reload, or two, or one that a kill interrupts.
    async fn step(&mut self) {
        let mut next = self.pipeline.clone();
        next.mutate(&mut self.random);
        match self.random.u8(..10) {
            0 => {
                self.history.push(format!("killed in {next:?}"));
                self.configure(&next);
                self.process.signal(ProcessSignal::HUP);
                let soon = Duration::from_micros(self.random.u64(..60_000));
                tokio::time::sleep(soon).await;
                self.process.kill();
                self.process = self.site.start().await;
                self.follow(&[], next);
            }
            1..3 => {
                let mut last = next.clone();
                last.mutate(&mut self.random);
                self.history.push(format!("{next:?}, at once {last:?}"));
                self.configure(&next);
                self.process.signal(ProcessSignal::HUP);
                self.configure(&last);
                self.reload().await;
                // Signals that come together count once, so nobody knows which line is whose: one more
                // reload, when all that were asked for are over.
                self.calm().await;
                self.reload().await;
                self.follow(&[next], last);
            }
            _ => {
                self.history.push(format!("{next:?}"));
                self.configure(&next);
                self.reload().await;
                self.follow(&[], next);
            }
        }
        let pause = Duration::from_millis(self.random.u64(5..80));
        tokio::time::sleep(pause).await;
    }

    async fn sequence(&mut self) {
        let old = self.history.len().saturating_sub(6);
        self.history.drain(..old);
        self.history.push("---".to_owned());
        for _ in 0..self.random.u64(1..=STEPS_MAX) {
            let mode = match self.random.u8(..8) {
                0 => Mode::Gone,
                1 => Mode::Unavailable,
                2 => Mode::Hang,
                _ => Mode::Accept,
            };
            let idx = self.random.usize(..SINKS);
            self.history.push(format!("backend {idx}: {mode:?}"));
            self.backends[idx].set(mode);
            self.step().await;
        }
        for backend in &self.backends {
            backend.set(Mode::Accept);
        }
        self.settle().await;
    }

    /// Every sink has what was acknowledged since it was there.
    async fn settle(&mut self) {
        let deadline = Instant::now() + SOON;
        let acknowledged = std::mem::take(&mut *self.sent.acknowledged.lock().unwrap());
        for (idx, since) in &self.since {
            let owed = acknowledged.iter().filter(|it| *since <= it.epoch);
            let owed: Vec<Acknowledged> = owed.copied().collect();
            loop {
                let has = self.backends[*idx].records(Signal::Logs);
                let missing: Vec<_> =
                    owed.iter().filter(|it| !has.contains_key(&it.number)).collect();
                if missing.is_empty() {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "seed {}, sink {idx}: of {} missing: {missing:?} {:#?}\n{}\n{}",
                    self.seed,
                    owed.len(),
                    self.history,
                    String::from_utf8_lossy(&self.process.control(&["status"]).stdout),
                    self.process.log()
                );
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// At the end nothing is kept for anybody, and the ledger balances.
    async fn end(&mut self) {
        let yaml = self.pipeline.yaml(&self.backends);
        let yaml = yaml.replace("segment_age:", "keep_for_removed_sinks: 0s, segment_age:");
        self.site.configure(&yaml);
        self.reload().await;
        let is_empty = |metrics: &Metrics| {
            let books = metrics.books("logs");
            let backlog = metrics.sum("gophership_vault_backlog_requests", &[]);
            books.imbalance() == 0 && books.count("vaulted") == 0 && backlog == 0
        };
        let deadline = Instant::now() + SOON;
        while !is_empty(&self.process.metrics().await) {
            assert!(
                Instant::now() < deadline,
                "seed {}: the vault is not empty: {:#?}\n{}\n{}",
                self.seed,
                self.history,
                String::from_utf8_lossy(&self.process.control(&["status"]).stdout),
                self.process.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.process.stop(SOON).await;
    }
}

/// Scenario: 500 sequences of one to four reloads under load: sinks come, go, come back and get other
/// names, inputs and options, replays other names, vaults other options, sources are added; two reloads at
/// once, kills in the middle of one; backends are gone, refuse or hang meanwhile.
/// Guarantees: what was acknowledged reaches every sink that was there then, and stayed; in the end the
/// vaults are empty and the books balance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_reloads_change_nobody_who_stays_misses_anything() {
    let first = fastrand::u64(..1 << 32);
    let world = async |number| {
        let mut world = World::new(first + number).await;
        let traffic = Arc::default();
        let mut senders = world.senders(&traffic);
        for _ in 0..SEQUENCES {
            world.sequence().await;
        }
        world.sent.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = senders.join_next().await {
            ended.unwrap();
        }
        world.settle().await;
        world.end().await;
    };
    futures_util::future::join_all((0..WORLDS).map(world)).await;
}
