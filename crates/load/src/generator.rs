//! The generator: puts the load on the target, and returns what came of it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::time::Instant;

use gophership_units::unix_ns;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::bodies::Bodies;
use crate::clock;
use crate::error::LoadError;
use crate::latency::Percentiles;
use crate::load::Load;
use crate::queue::DueQueue;
use crate::queue::DueRequest;
use crate::report::LoadReport;
use crate::tally::RequestTimes;
use crate::tally::Tally;
use crate::target::LoadTarget;
use crate::target::TargetConnections;

const SECOND: Duration = Duration::from_secs(1);
/// What was not answered when nobody waits any more.
const LEFT: &str = "no answer: nothing came before the end";

/// One second of the load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    /// The time since the start.
    pub at: Duration,
    /// Records in a request.
    pub records: u64,
    /// Requests that became due.
    pub offered: u64,
    /// Requests that were accepted.
    pub accepted: u64,
    /// Requests that were refused, could not be sent or were not answered.
    pub failed: u64,
    /// Requests that found no place, since the start.
    pub not_sent: u64,
    /// Requests that are due and not answered.
    pub in_flight: u64,
    /// Of requests that were accepted in this second, since they were due.
    pub since_due: Percentiles,
}

/// What all senders share.
struct Shared {
    connections: TargetConnections,
    bodies: Bodies,
    records: u64,
    start: Instant,
    queue: DueQueue,
    tally: Mutex<Tally>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a load on a target. The first interrupt ends the schedule, the second the wait for answers. `on_second` is
/// called once a second.
///
/// Dropped half-way it stops offering requests, and what is under way is given up.
///
/// # Errors
///
/// [`LoadError`] when the target does not answer an empty request on each connection, or an interrupt comes first.
///
/// # Panics
///
/// When its own thread did, which it does not.
pub async fn run(
    load: Load,
    interrupts: watch::Receiver<u32>,
    mut on_second: impl FnMut(&Second),
) -> Result<LoadReport, LoadError> {
    let LoadTarget { signal, encoding, .. } = load.target;
    let bodies = Bodies::new(signal, load.schedule.records, encoding, unix_ns());
    let opening = TargetConnections::open(load.target.clone(), load.connections, load.timeout);
    let (connections, refusal) = tokio::select! {
        opened = opening => opened?,
        () = interrupted(interrupts.clone(), 1) => return Err(LoadError::Interrupted),
    };
    let shared = Arc::new(Shared {
        connections,
        bodies,
        records: load.schedule.records.get().into(),
        start: Instant::now(),
        queue: DueQueue::new(load.in_flight_max),
        tally: Mutex::default(),
    });
    let mut senders = JoinSet::new();
    let count = (load.connections * load.streams).min(load.in_flight_max);
    for sender in 0..count {
        let idx = sender % shared.connections.len();
        senders.spawn(send(Arc::clone(&shared), idx));
    }
    let (running, stop) = sync_channel::<()>(1);
    let (clock, schedule) = (Arc::clone(&shared), load.schedule);
    let clock = move || clock::run(schedule, clock.start, &clock.queue, &stop);
    let mut clock = tokio::task::spawn_blocking(clock);
    let mut seconds = Seconds::of(&shared, &mut on_second);
    let lateness = tokio::select! {
        lateness = &mut clock => lateness,
        () = interrupted(interrupts.clone(), 1) => {
            drop(running);
            clock.await
        }
        never = seconds.run() => match never {},
    };
    let offered_for = shared.start.elapsed();
    tokio::select! {
        () = shared.queue.idle() => {}
        () = tokio::time::sleep(load.timeout) => {}
        () = interrupted(interrupts.clone(), 2) => {}
        never = seconds.run() => match never {},
    }
    shared.queue.close();
    senders.shutdown().await;
    let is_interrupted = 0 < *interrupts.borrow();
    let lateness = lateness.expect("the clock does not panic");
    Ok(report(load, &shared, lateness.percentiles(), offered_for, refusal, is_interrupted))
}

fn report(
    load: Load,
    shared: &Shared,
    lateness: Percentiles,
    offered_for: Duration,
    refusal: Option<String>,
    is_interrupted: bool,
) -> LoadReport {
    let mut tally = shared.tally().clone();
    let (queue, bytes) = (&shared.queue, shared.bodies.mean_len());
    for _ in 0..queue.in_flight() {
        tally.unanswered.add(shared.records, bytes);
        *tally.reasons.entry(LEFT.to_owned()).or_default() += 1;
    }
    LoadReport {
        bytes_per_request: bytes,
        offered: queue.offered(),
        not_sent: queue.not_sent(),
        // Of a schedule that was not cut short the last request is due before its end.
        offered_for: if is_interrupted { offered_for } else { load.schedule.lasts },
        connections_opened: shared.connections.opened(),
        load,
        tally,
        lateness,
        refusal,
        is_interrupted,
    }
}

/// Sends what is due over a connection, one request after the other. Dropped half-way the request is given up, and
/// stays in flight.
async fn send(shared: Arc<Shared>, idx: usize) {
    while let Some(DueRequest { number, due }) = shared.queue.next().await {
        let wire = shared.bodies.of(number);
        let sent = shared.start.elapsed();
        let outcome = shared.connections.send(idx, wire).await;
        let times = RequestTimes { due, sent, answered: shared.start.elapsed() };
        shared.tally().add(outcome, times, shared.records, shared.bodies.mean_len());
        shared.queue.answered();
    }
}

/// Waits for so many interrupts; without anybody who could send them for ever.
async fn interrupted(mut interrupts: watch::Receiver<u32>, wanted: u32) {
    if interrupts.wait_for(|count| wanted <= *count).await.is_err() {
        pending::<()>().await;
    }
}

/// Tells what happens, once a second.
struct Seconds<'a, F> {
    shared: &'a Shared,
    on_second: &'a mut F,
    ticks: tokio::time::Interval,
    /// Requests offered, accepted and failed before.
    before: [u64; 3],
}

impl<'a, F: FnMut(&Second)> Seconds<'a, F> {
    fn of(shared: &'a Shared, on_second: &'a mut F) -> Self {
        let mut ticks = tokio::time::interval_at((shared.start + SECOND).into(), SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { shared, on_second, ticks, before: [0; 3] }
    }

    /// Never ends; dropped half-way it loses nothing.
    async fn run(&mut self) -> Infallible {
        loop {
            self.ticks.tick().await;
            let second = self.next();
            (self.on_second)(&second);
        }
    }

    fn next(&mut self) -> Second {
        let Shared { queue, records, start, .. } = self.shared;
        let mut tally = self.shared.tally();
        let since_due = tally.of_second.percentiles();
        tally.of_second.clear();
        let failed = [tally.refused, tally.not_connected, tally.unanswered];
        let failed = failed.iter().map(|count| count.requests).sum();
        let now = [queue.offered(), tally.accepted.requests, failed];
        let before = std::mem::replace(&mut self.before, now);
        Second {
            at: start.elapsed(),
            records: *records,
            offered: now[0] - before[0],
            accepted: now[1] - before[1],
            failed: now[2] - before[2],
            not_sent: queue.not_sent(),
            in_flight: queue.in_flight(),
            since_due,
        }
    }
}
