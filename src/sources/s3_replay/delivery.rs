//! Sends single requests until each is delivered, no more at once than there is room for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::options::S3ReplayConfig;
use crate::component::Context;
use crate::component::Stop;
use crate::component::calm;
use crate::component::send_unless_stopped;
use crate::event::Batch;
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

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Every sink has it.
    Yes,
    /// A sink will never take it.
    Rejected,
    /// The source was stopped.
    Stopped,
}

/// Room for one request on its way.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit, FairPermit);

/// Sends requests.
pub(super) struct Delivery {
    context: Context,
    output: Output,
    stop: Stop,
    ledger: &'static Ledger,
    metrics: SourceMetrics,
    figures: S3ReplayMetrics,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_permits: u32,
    portion: Portion,
    /// Records per second.
    rate: Option<RateLimit>,
    done: Arc<AtomicU64>,
    _work_probe: WorkProbe,
}

impl Delivery {
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

    /// Counts a request that will never be delivered.
    pub(super) fn rejected(&self) {
        self.figures.rejected.inc();
    }

    /// Rests after work on a segment, as pressure demands.
    pub(super) async fn rest_after(&self, worked: Duration) {
        let rest = self.context.governor.rest_after(worked).unwrap_or_default();
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }

    /// Sends a request until every sink has it, one will never take it, or the source is stopped.
    pub(super) async fn send(
        self: Arc<Self>,
        request: Request,
        room: Room,
        halt: Stop,
    ) -> Delivered {
        let mut delay = RETRY_MIN;
        self.metrics.receive(request.wire.len() as u64);
        loop {
            match self.attempt(&request).await {
                // What a vault took is safe there.
                Some(Outcome::Delivered | Outcome::Vaulted) => {
                    self.metrics.accept();
                    self.figures.delivered.inc();
                    self.done.fetch_add(1, Ordering::Relaxed);
                    drop(room);
                    return Delivered::Yes;
                }
                Some(Outcome::Rejected) => {
                    self.rejected();
                    self.done.fetch_add(1, Ordering::Relaxed);
                    return Delivered::Rejected;
                }
                Some(Outcome::Failed) => {}
                None => return Delivered::Stopped,
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = halt.cancelled() => return Delivered::Stopped,
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    /// Sends it once; nothing when the source was stopped, and it did not arrive soon.
    async fn attempt(&self, request: &Request) -> Option<Outcome> {
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::received(request, Some(ticket), self.ledger);
        send_unless_stopped(&self.output, batch, &mut waiter, &self.stop).await
    }

    /// Waits out Red, an operator's pause, and a drain.
    async fn allowed(&self) {
        let may_send = || self.context.governor.may_replay(*self.context.zone.borrow());
        while self.output.is_draining() || !may_send() {
            tokio::time::sleep(LOOK_AROUND_EVERY).await;
        }
    }
}
