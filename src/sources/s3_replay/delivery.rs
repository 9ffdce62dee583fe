//! Sends single requests until each is delivered, no more at once than there is room for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::letters::Letters;
use super::letters::NO_REASON;
use super::letters::RejectedRequest;
use super::options::S3ReplayConfig;
use super::refusal_log::LoggedRefusal;
use super::refusal_log::RefusalLog;
use crate::component::Context;
use crate::component::Stop;
use crate::component::calm;
use crate::component::send_unless_stopped;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::SinkSet;
use crate::event::ack;
use crate::flow::Output;
use crate::flow::RateLimit;
use crate::metrics::S3ReplayMetrics;
use crate::metrics::SourceMetrics;
use crate::pool::FairPermit;
use crate::pool::Portion;
use crate::somatic::Work;
use crate::somatic::WorkKind;
use crate::somatic::WorkProbe;

/// The unit of the window in bytes.
const PERMIT_BYTES: u64 = 1024;
/// How often a source looks that may not send.
const LOOK_AROUND_EVERY: Duration = Duration::from_millis(200);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// What its requests do until they are delivered.
const WAITS: &str = "replayed requests wait for delivery";
/// Why, if no backend was asked.
const NOT_OTLP: &str = "this version cannot read it as OTLP";

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryOutcome {
    /// Every sink has it.
    Yes,
    /// A sink will never take it; a dead-letter store has it.
    DeadLettered,
    /// A sink will never take it; only the bucket has it.
    Rejected,
    /// The source was stopped.
    Stopped,
}

/// A request of a segment.
pub(super) struct Archived {
    pub(super) request: Request,
    pub(super) segment: u64,
    pub(super) seq: u64,
    /// Whether it is OTLP; what is not can only be a dead letter.
    pub(super) is_readable: bool,
}

/// What an attempt came to.
struct Attempt {
    outcome: Outcome,
    /// The sinks that have it.
    served: SinkSet,
    /// Records that were booked as rejected.
    rejected: u64,
    reason: Option<Arc<str>>,
}

/// Room for one request on its way.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit, FairPermit);

/// Sends requests.
pub(super) struct ReplaySender {
    context: Context,
    output: Output,
    stop: Stop,
    ledger: &'static Ledger,
    metrics: SourceMetrics,
    figures: S3ReplayMetrics,
    letters: Letters,
    refusal_log: RefusalLog,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_permits: u32,
    portion: Portion,
    /// Records per second.
    rate: Option<RateLimit>,
    done: Arc<AtomicU64>,
    _work_probe: WorkProbe,
}

impl ReplaySender {
    pub(super) fn new(
        config: &S3ReplayConfig,
        context: &Context,
        output: Output,
        stop: Stop,
    ) -> Self {
        let id = context.id.as_str();
        let permits = config.in_flight_bytes.0.div_ceil(PERMIT_BYTES).clamp(1, 1 << 28);
        let bytes_permits = u32::try_from(permits).unwrap_or(1 << 28);
        let requests = Arc::new(Semaphore::new(config.in_flight as usize));
        let done = Arc::new(AtomicU64::new(0));
        let (window, counted) = (Arc::clone(&requests), Arc::clone(&done));
        let (all, zone) = (requests.available_permits(), context.zone.clone());
        let governor = Arc::clone(&context.governor);
        let work = move || {
            // In Red, and while an operator pauses replays, nothing is meant to move.
            let may_move = governor.may_replay(*zone.borrow());
            let under_way = if may_move { all - window.available_permits() } else { 0 };
            Work { waiting: under_way as u64, done: counted.load(Ordering::Relaxed), refused: 0 }
        };
        let probes = &context.gauges.work_probes;
        let work_probe = probes.register(id, WAITS, WorkKind::Inside, work);
        Self {
            output,
            stop,
            ledger: context.ledgers.source(id),
            metrics: context.metrics.source(id),
            figures: context.metrics.s3_replay(id),
            letters: Letters::new(config.dead_letters.as_deref(), context),
            refusal_log: RefusalLog::of(&context.id),
            requests,
            bytes: Arc::new(Semaphore::new(bytes_permits as usize)),
            bytes_permits,
            portion: Portion::of(&context.memory.replay),
            rate: config.rate.map(|rate| RateLimit::new(rate.into())),
            done,
            _work_probe: work_probe,
            context: context.clone(),
        }
    }

    /// Waits until a request may be sent: for the zone, the rate, the edges, and room. Nothing when the
    /// source is stopped, or `halt` says that the segment is no longer its own.
    pub(super) async fn room(&self, request: &Request, halt: &Stop) -> Option<Room> {
        let room = async {
            self.allowed().await;
            if let Some(rate) = &self.rate {
                rate.take(request.records).await;
            }
            calm(&*self.context.topology, self.context.id.as_str(), SinkSet::ALL).await;
            let len = request.wire.len() as u64;
            let permits = u32::try_from(len.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
            let one = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(permits.min(self.bytes_permits));
            Some((one, bytes.await.ok()?, self.portion.take(len).await))
        };
        tokio::select! {
            room = room => room,
            () = halt.cancelled() => None,
        }
    }

    /// Rests after work on a segment, as pressure demands.
    pub(super) async fn rest_after(&self, worked: Duration) {
        let rest = self.context.governor.rest_after(worked).unwrap_or_default();
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }

    /// Sends a request until every sink has it, one will never take it, or the source is stopped. A sink
    /// that has it does not get it again while the others are tried.
    pub(super) async fn send(
        self: Arc<Self>,
        archived: Archived,
        room: Room,
        halt: Stop,
    ) -> DeliveryOutcome {
        let (mut delay, mut sinks, mut is_first) = (RETRY_MIN, SinkSet::ALL, true);
        let request = &archived.request;
        self.metrics.receive(request.wire.len() as u64);
        loop {
            let Some(attempt) = self.attempt(&archived, sinks, is_first).await else {
                return DeliveryOutcome::Stopped;
            };
            is_first = false;
            sinks = sinks.without(attempt.served);
            match attempt.outcome {
                // What a vault took is safe there.
                Outcome::Delivered | Outcome::Vaulted => {
                    self.metrics.accept();
                    self.figures.delivered.inc();
                    self.done.fetch_add(1, Ordering::Relaxed);
                    drop(room);
                    return DeliveryOutcome::Yes;
                }
                Outcome::Rejected => {
                    let Attempt { rejected: booked, reason, .. } = attempt;
                    let refused = RejectedRequest { request, sinks, booked, reason };
                    return self.refused(&archived, &refused, &halt).await;
                }
                // A sink that refused it is asked again with the others, and counted then.
                Outcome::Failed => {
                    let bucket = Bucket::RejectedByBackend;
                    self.ledger.withdraw(request.signal, bucket, attempt.rejected);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = halt.cancelled() => return DeliveryOutcome::Stopped,
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Sees a request that was refused for good into the dead-letter store, and says so.
    async fn refused(
        &self,
        archived: &Archived,
        refused: &RejectedRequest<'_>,
        halt: &Stop,
    ) -> DeliveryOutcome {
        let Some(is_kept) = self.letters.keep(refused, halt).await else {
            return DeliveryOutcome::Stopped;
        };
        self.figures.rejected.inc();
        self.done.fetch_add(1, Ordering::Relaxed);
        let reason = refused.reason.as_deref().unwrap_or(NO_REASON).to_owned();
        let Archived { segment, seq, .. } = *archived;
        self.refusal_log.note(&LoggedRefusal { segment, seq, reason }, is_kept);
        if is_kept {
            self.figures.dead_lettered.inc();
            return DeliveryOutcome::DeadLettered;
        }
        DeliveryOutcome::Rejected
    }

    /// Sends it once; nothing when the source was stopped, and it did not arrive soon.
    async fn attempt(
        &self,
        archived: &Archived,
        sinks: SinkSet,
        is_first: bool,
    ) -> Option<Attempt> {
        let (ticket, mut waiter) = ack::channel();
        let request = &archived.request;
        let batch = if is_first {
            Batch::received(request, Some(ticket), self.ledger)
        } else {
            Batch::second_copy(request, sinks, ticket, self.ledger)
        };
        let outcome = if archived.is_readable {
            send_unless_stopped(&self.output, batch, &mut waiter, &self.stop).await?
        } else {
            batch.rejected_for(&Arc::from(NOT_OTLP));
            (&mut waiter).await
        };
        let (served, rejected) = (waiter.served(), waiter.rejected());
        Some(Attempt { outcome, served, rejected, reason: waiter.reason() })
    }

    /// Waits out Red, an operator's pause, and a drain.
    async fn allowed(&self) {
        let may_send = || self.context.governor.may_replay(*self.context.zone.borrow());
        while self.output.is_draining() || !may_send() {
            tokio::time::sleep(LOOK_AROUND_EVERY).await;
        }
    }
}
