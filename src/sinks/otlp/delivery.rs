//! Sees batches through: attempt, verdict, backoff, until the backend has it or the vault took over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use super::Protocol;
use super::client::Client;
use super::grpc;
use super::health::Health;
use super::http;
use crate::config::ComponentId;
use crate::config::running::RunError;
use crate::config::running::Sink;
use crate::config::running::Stop;
use crate::event::Batch;
use crate::flow::EdgeReceiver;
use crate::metrics::SinkMetrics;
use crate::otlp::Verdict;

/// How often a delivery looks whether the vault has taken over meanwhile.
const CLAIM_CHECK: Duration = Duration::from_millis(100);
/// How often averages are looked at for their age.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// At most one warning per this time about a backend that fails.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What bounds deliveries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) concurrency: usize,
    pub(super) in_flight_bytes: u64,
    pub(super) timeout: Duration,
    pub(super) retry_min: Duration,
    pub(super) retry_max: Duration,
}

/// The running sink.
pub(super) struct Delivery {
    courier: Arc<Courier>,
}

/// What every delivery shares.
struct Courier {
    id: ComponentId,
    client: Client,
    limits: Limits,
    metrics: SinkMetrics,
    health: Health,
    warned: std::sync::Mutex<Option<Instant>>,
}

impl Delivery {
    pub(super) fn new(
        id: ComponentId,
        client: Client,
        limits: Limits,
        metrics: SinkMetrics,
        health: Health,
    ) -> Self {
        let warned = std::sync::Mutex::new(None);
        Self { courier: Arc::new(Courier { id, client, limits, metrics, health, warned }) }
    }
}

#[async_trait]
impl Sink for Delivery {
    async fn run(self: Box<Self>, mut input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let limits = self.courier.limits;
        let mut deliveries: JoinSet<u64> = JoinSet::new();
        let mut in_flight_bytes: u64 = 0;
        let mut is_open = true;
        let mut tick = tokio::time::interval(AGE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while is_open || !deliveries.is_empty() {
            let has_room =
                deliveries.len() < limits.concurrency && in_flight_bytes < limits.in_flight_bytes;
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => self.courier.health.age(Instant::now()),
                Some(done) = deliveries.join_next() => {
                    // One that panicked has dropped its batch; its bytes are not known here.
                    in_flight_bytes = in_flight_bytes.saturating_sub(done.unwrap_or(0));
                    if deliveries.is_empty() {
                        in_flight_bytes = 0;
                    }
                }
                batch = input.recv(), if is_open && has_room => match batch {
                    Some(batch) => {
                        let bytes = batch.cost_bytes();
                        in_flight_bytes += bytes;
                        let courier = Arc::clone(&self.courier);
                        deliveries.spawn(async move {
                            courier.deliver(batch).await;
                            bytes
                        });
                    }
                    None => is_open = false,
                },
            }
        }
        // Aborted deliveries drop their batches, which gives them back to their sources.
        deliveries.shutdown().await;
        Ok(())
    }
}

impl Courier {
    async fn deliver(&self, batch: Batch) {
        let mut pause = self.limits.retry_min;
        loop {
            let Some(verdict) = self.attempt(&batch).await else { return batch.superseded() };
            match verdict {
                Verdict::Delivered { rejected, message } => {
                    return self.delivered(batch, rejected, &message);
                }
                Verdict::Rejected { reason } => {
                    self.metrics.rejected.inc();
                    self.warn("Backend refused a request for good.", &reason);
                    return batch.rejected();
                }
                Verdict::Retry { after, reason } => {
                    self.metrics.retries.inc();
                    self.warn("Backend did not take a request; it is sent again.", &reason);
                    let spread = pause.mul_f64(0.5 + fastrand::f64());
                    let until = Instant::now() + after.unwrap_or_default().max(spread);
                    if !self.wait(&batch, until).await {
                        return batch.superseded();
                    }
                    pause = (pause * 2).min(self.limits.retry_max);
                }
            }
        }
    }

    /// Sends it once; `None` when the vault took over before there was an answer.
    async fn attempt(&self, batch: &Batch) -> Option<Verdict> {
        let started = Instant::now();
        let sent = tokio::time::timeout(self.limits.timeout, send(&self.client, batch));
        tokio::pin!(sent);
        loop {
            if batch.is_claimed() {
                // The source's patience was over before there was an answer.
                self.health.count(true, started, self.limits.timeout);
                return None;
            }
            tokio::select! {
                biased;
                result = &mut sent => {
                    let unanswered = |_| Verdict::unanswered("no answer in time");
                    let verdict = result.unwrap_or_else(unanswered);
                    let is_error = matches!(verdict, Verdict::Retry { .. });
                    self.health.count(is_error, started, self.limits.timeout);
                    return Some(verdict);
                }
                () = tokio::time::sleep(CLAIM_CHECK) => {}
            }
        }
    }

    /// Waits before the next attempt; returns whether the batch is still ours.
    async fn wait(&self, batch: &Batch, until: Instant) -> bool {
        while Instant::now() < until {
            if batch.is_claimed() {
                return false;
            }
            tokio::time::sleep_until(until.min(Instant::now() + CLAIM_CHECK)).await;
        }
        !batch.is_claimed()
    }

    fn delivered(&self, batch: Batch, rejected: u64, message: &str) {
        self.metrics.requests.inc();
        self.metrics.records.inc_by(batch.records().saturating_sub(rejected));
        self.metrics.bytes.inc_by(batch.cost_bytes());
        if rejected > 0 {
            self.metrics.partially_rejected.inc_by(rejected);
            self.warn("Backend rejected some records of a request.", message);
        }
        batch.delivered_except(rejected);
    }

    fn warn(&self, what: &'static str, reason: &str) {
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY) {
            *warned = Some(now);
            tracing::warn!(sink = %self.id, reason, "{what}");
        }
    }
}

/// Sends a batch once.
async fn send(client: &Client, batch: &Batch) -> Verdict {
    match client.protocol {
        Protocol::Grpc => grpc::send(client, batch).await,
        Protocol::Http => http::send(client, batch).await,
    }
}
