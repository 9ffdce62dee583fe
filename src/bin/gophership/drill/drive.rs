//! The drill itself: warm-up, outage, return, and the way to the last record.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use gophership_testbed::Backend;
use gophership_testbed::EXPORT_LEN_MAX;
use gophership_testbed::LatencySummary;
use gophership_testbed::Mode;
use gophership_testbed::Phase;
use gophership_testbed::RecordOracle;
use gophership_testbed::Schedule;
use gophership_testbed::Sdk;
use gophership_testbed::WorkloadClient;

use super::Failure;
use super::args::DrillArgs;
use super::corrupt;
use super::corrupt::Hit;
use super::full::Fullness;
use super::plan::Plan;
use super::server;
use super::server::Resident;
use super::server::Server;
use super::site::Workspace;
use super::verdict::Figures;
use super::verdict::SinkDelays;
use super::verdict::time;
use crate::vault::Progress;

/// How often the drill looks at the server and asks the oracle.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// And at its metrics, if they matter.
const WATCH_EVERY: Duration = Duration::from_millis(100);
const READY_WITHIN: Duration = Duration::from_mins(1);
/// The backlog has this many times what it may take, and at least the shortest, before the drill ends
/// without it.
const DRAIN_PATIENCE: u32 = 8;
const DRAIN_PATIENCE_MIN: Duration = Duration::from_secs(30);
/// Clients have time for what is in their queues.
const CLIENTS_WITHIN: Duration = Duration::from_mins(1);
/// And what they sent last to arrive.
const LAST_WITHIN: Duration = Duration::from_mins(5);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Runs of missing records that are told.
const RUNS_MAX: usize = 5;

/// A drill under way; dropped, everything it started ends.
pub(super) struct Drill<'a> {
    args: &'a DrillArgs,
    site: &'a Workspace,
    oracle: Arc<RecordOracle>,
    server: Server,
    mode: watch::Sender<Mode>,
    /// The sinks, without any delay yet.
    sinks: Vec<SinkDelays>,
    /// Of the backends that stay: it never changes.
    _steady: watch::Sender<Mode>,
    end: watch::Sender<Option<Instant>>,
    backends: JoinSet<std::io::Result<()>>,
    clients: JoinSet<()>,
    progress: Progress,
    begun: Instant,
    resident: Resident,
    transitions: BTreeMap<String, u64>,
    restart: Option<Duration>,
    fullness: Arc<Mutex<Fullness>>,
    hit: Option<Hit>,
    /// Looks at the metrics of the server.
    watcher: JoinSet<()>,
}

impl<'a> Drill<'a> {
    /// Starts backends, the server and the clients.
    pub(super) async fn start(
        args: &'a DrillArgs,
        plan: &Plan,
        site: &'a Workspace,
        listening: Vec<Backend>,
        oracle: RecordOracle,
    ) -> Result<Self, Failure> {
        let oracle = Arc::new(oracle);
        let (mode, steady) = (watch::Sender::new(Mode::Accept), watch::Sender::new(Mode::Accept));
        let sinks: Vec<_> = (0..plan.sinks.len()).map(|idx| delays_of(plan, idx)).collect();
        let mut backends = JoinSet::new();
        for (idx, backend) in listening.into_iter().enumerate() {
            let mode = if plan.is_out[idx] { &mode } else { &steady };
            backends.spawn(backend.serve(oracle.recorder(idx), mode.subscribe()));
        }
        let server = Server::start(&site.program, &site.log())
            .map_err(|error| Failure::io(format!("cannot start the server: {error}")))?;
        let mut drill = Self {
            args,
            site,
            oracle,
            server,
            mode,
            sinks,
            _steady: steady,
            end: watch::Sender::new(None),
            backends,
            clients: JoinSet::new(),
            progress: Progress::new(args.quiet),
            begun: Instant::now(),
            resident: Resident::default(),
            transitions: BTreeMap::new(),
            restart: None,
            fullness: Arc::new(Mutex::new(Fullness::new(Instant::now()))),
            hit: None,
            watcher: JoinSet::new(),
        };
        // Others are not to be measured beside somebody who looks all the time.
        if let Some(metrics) = site.program.metrics()
            && (args.may_fill() || args.corrupt || 0 < args.backlog_min())
        {
            drill.watcher.spawn(watch_vaults(metrics, Arc::clone(&drill.fullness)));
        }
        drill.ready().await?;
        drill.begun = Instant::now();
        drill.send(plan);
        Ok(drill)
    }

    /// Starts the clients.
    fn send(&mut self, plan: &Plan) {
        let per_second = f64::from(self.args.rate()) / f64::from(self.args.clients());
        for idx in 0..usize::from(self.args.clients()) {
            // Real clients do not export at the same moment.
            let share = f64::from(u32::try_from(idx).unwrap_or(0)) / f64::from(self.args.clients());
            let offset = (f64::from(EXPORT_LEN_MAX) / per_second).min(1.0) * share;
            let start = self.begun + Duration::from_secs_f64(offset);
            let entry = idx % plan.entries.len();
            let (address, protocol) = (self.site.addresses[entry], plan.entries[entry].protocol);
            let schedule = Schedule { start, per_second };
            let sdk = Sdk::new(idx, schedule, Arc::clone(&self.oracle), self.end.subscribe());
            self.clients.spawn(sdk.run(WorkloadClient::new(address, protocol, Arc::default())));
        }
    }

    /// Goes through all parts; returns what was seen.
    pub(super) async fn run(mut self) -> Result<Figures, Failure> {
        let lasts = self.args.lasts();
        let compares = self.sinks.iter().any(SinkDelays::is_compared);
        let warm_up = self.args.warm_up(compares);
        self.pass("warm-up", warm_up).await?;
        self.oracle.begin(Phase::Outage);
        self.mode.send_replace(self.args.outage.mode());
        let (outage_begin, before) = (Instant::now(), self.oracle.progress());
        let outage_end = outage_begin + lasts;
        if self.args.is_killed() {
            self.pass("outage", lasts / 2).await?;
            self.kill().await?;
        }
        self.until("outage", outage_end).await?;
        self.oracle.begin(Phase::Return);
        let backlog = self.oracle.mark();
        let (returned, then) = (Instant::now(), self.oracle.progress());
        self.mode.send_replace(Mode::Accept);
        if self.args.hard {
            // More than it can bear was sent in the outage; what waits is to be delivered now.
            self.end.send_replace(Some(returned));
        }
        let patience = (self.args.drain_max() * DRAIN_PATIENCE).max(DRAIN_PATIENCE_MIN);
        self.arrive("return", true, returned + patience).await?;
        if compares {
            // What is compared with the warm-up is as long as it.
            self.until("return", returned + warm_up).await?;
        }
        self.finish().await?;
        let mut figures = self.figures().await;
        figures.backlog = backlog;
        let per_second = |records: u64| {
            let lasted = (returned - outage_begin).as_millis().max(1);
            u64::try_from(u128::from(records) * 1000 / lasted).unwrap_or(u64::MAX)
        };
        figures.rates = (per_second(then.0 - before.0), per_second(then.1 - before.1));
        let last = self.oracle.sinks().filter_map(|tally| tally.backlog_end).max();
        let drain = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(returned));
        figures.drain = self.oracle.is_backlog_delivered().then_some(drain);
        self.server.stop(STOP_WITHIN).await;
        self.backends.shutdown().await;
        Ok(figures)
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        if self.server.ready(READY_WITHIN).await {
            return Ok(());
        }
        let how = self.server.ended().map_or("was not ready in time".to_owned(), |status| {
            format!("exited before it was ready: {status}")
        });
        Err(Failure::server(format!("the server {how}")))
    }

    /// Kills the server and starts it again at once.
    async fn kill(&mut self) -> Result<(), Failure> {
        self.look();
        self.add_transitions().await;
        let begun = Instant::now();
        self.server.kill();
        if self.args.corrupt {
            let hit = corrupt::flip(&self.site.data()).map_err(Failure::io)?;
            self.oracle.excuse(&hit.records);
            self.hit = Some(hit);
        }
        self.server = Server::start(&self.site.program, &self.site.log())
            .map_err(|error| Failure::io(format!("cannot start the server again: {error}")))?;
        self.ready().await?;
        self.restart = Some(begun.elapsed());
        Ok(())
    }

    /// No more records: waits for the clients' queues, and for what was acknowledged.
    async fn finish(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.end.send_modify(|end| *end = end.or(Some(now)));
        let deadline = Instant::now() + CLIENTS_WITHIN;
        while !self.clients.is_empty() && Instant::now() < deadline {
            self.alive("queues")?;
            while self.clients.try_join_next().is_some() {}
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.arrive("last records", false, Instant::now() + LAST_WITHIN).await
    }

    /// Waits for the backlog, or for all that was acknowledged, as long as some of it comes.
    async fn arrive(
        &mut self,
        what: &str,
        is_backlog: bool,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            self.alive(what)?;
            let outstanding = self.oracle.outstanding(is_backlog);
            if outstanding < least {
                (least, since) = (outstanding, Instant::now());
            }
            let is_over = outstanding == 0 && (!is_backlog || self.oracle.is_backlog_delivered());
            let is_vain =
                deadline <= Instant::now() || self.args.give_up_after.0 <= since.elapsed();
            if is_over || is_vain {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn pass(&mut self, what: &str, time: Duration) -> Result<(), Failure> {
        self.until(what, Instant::now() + time).await
    }

    async fn until(&mut self, what: &str, deadline: Instant) -> Result<(), Failure> {
        while Instant::now() < deadline {
            self.alive(what)?;
            tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_EVERY)).await;
        }
        Ok(())
    }

    /// Looks at everything, and tells where the drill is.
    fn alive(&mut self, what: &str) -> Result<(), Failure> {
        self.look();
        if let Some(status) = self.server.ended() {
            return Err(Failure::server(format!("the server exited: {status}")));
        }
        if let Some(Ok(Err(error))) = self.backends.try_join_next() {
            return Err(Failure::io(format!("the built-in backend failed: {error}")));
        }
        let (oracle, resident, elapsed) = (&self.oracle, self.resident.peak, self.begun.elapsed());
        self.progress.tell(|| {
            let (mut offered, mut dropped, mut refused) = (0, 0, 0);
            for tally in oracle.clients() {
                offered += u64::from(tally.offered);
                dropped += tally.dropped_by_queue + tally.dropped_after_export;
                refused += tally.refused;
            }
            let waiting = oracle.outstanding(false);
            let memory = resident / 1_000_000;
            let time = time(elapsed);
            format!(
                "{what} {time}: {offered} sent, {dropped} dropped, {refused} refused, {waiting} \
                 undelivered, {memory} MB"
            )
        });
        Ok(())
    }

    fn look(&mut self) {
        let now = self.server.resident();
        self.resident.peak = self.resident.peak.max(now.peak);
        self.resident.anonymous = self.resident.anonymous.max(now.anonymous);
    }

    async fn add_transitions(&mut self) {
        for (change, count) in self.server.transitions().await {
            *self.transitions.entry(change).or_default() += count;
        }
    }

    async fn figures(&mut self) -> Figures {
        self.look();
        self.add_transitions().await;
        let mut figures = Figures {
            delivered: self.oracle.delivered(),
            missing: self.oracle.outstanding(false),
            missing_runs: self.oracle.missing(RUNS_MAX),
            resident_max: self.resident.peak,
            anonymous_max: self.resident.anonymous,
            transitions: std::mem::take(&mut self.transitions),
            restart: self.restart,
            ..Figures::default()
        };
        let mut answers = Vec::new();
        (figures.removed, figures.unjudged) = self.oracle.not_wanted();
        figures.excused = self.oracle.excused_missing();
        figures.hit = self.hit.take();
        let fullness = self.fullness.lock();
        figures.full_for = fullness.lasted(Instant::now());
        figures.vault_bytes_max = fullness.used_max;
        figures.found_corrupt = fullness.corrupt;
        for tally in self.oracle.clients() {
            figures.offered += u64::from(tally.offered);
            figures.acknowledged += tally.acknowledged.len();
            figures.dropped_by_queue += tally.dropped_by_queue;
            figures.dropped_after_export += tally.dropped_after_export;
            figures.refused += tally.refused;
            figures.unanswered += tally.unanswered;
            for refusal in &tally.refusals {
                figures.refused_finally += u64::from(refusal.is_final);
                let is_excused = fullness.meets(refusal.begun, refusal.ended);
                figures.refused_with_room += u64::from(!is_excused);
            }
            for (reason, count) in &tally.reasons {
                *figures.reasons.entry(reason.clone()).or_default() += count;
            }
            answers.extend_from_slice(&tally.answers);
        }
        for (tally, sink) in self.oracle.sinks().zip(&self.sinks) {
            let phases = Phase::ALL.map(|phase| tally.delays.of(phase));
            figures.delays.push(SinkDelays { phases, ..sink.clone() });
            figures.repeated += tally.arrived.repeated;
            figures.misrouted += tally.misrouted;
            figures.altered += tally.arrived.altered;
            figures.strangers += tally.arrived.strangers;
            figures.unreadable += tally.arrived.unreadable;
            figures.turned_away += tally.turned_away;
        }
        let of = |wanted: Option<Phase>| {
            let is_wanted = |phase: Phase| wanted.is_none_or(|wanted| wanted == phase);
            let times = answers.iter().filter(|(phase, _)| is_wanted(*phase));
            (wanted, LatencySummary::of(times.map(|(_, micros)| *micros).collect()))
        };
        figures.answers = [None].into_iter().chain(Phase::ALL.map(Some)).map(of).collect();
        figures
    }
}

fn delays_of(plan: &Plan, sink: usize) -> SinkDelays {
    SinkDelays {
        sink: plan.sinks[sink].clone(),
        stays: !plan.is_out[sink],
        is_judged: plan.is_judged[sink],
        ..SinkDelays::default()
    }
}

/// Looks at the vaults of whatever server answers, until it is dropped.
async fn watch_vaults(address: SocketAddr, fullness: Arc<Mutex<Fullness>>) {
    loop {
        let begun = Instant::now();
        if let Some(page) = server::metrics(address).await {
            let total = |name| server::total(&page, name);
            let mut fullness = fullness.lock();
            fullness.look(0 < total("gophership_vault_full"), begun, Instant::now());
            fullness.used_max = fullness.used_max.max(total("gophership_vault_used_bytes"));
            fullness.corrupt = total("gophership_vault_corrupt_requests_total");
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}
