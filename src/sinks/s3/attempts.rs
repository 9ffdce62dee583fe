//! Who may try when: backoff, the circuit, and what the operator is told about a bucket that fails.

use std::time::Duration;

use gophership_s3::S3Error;
use gophership_s3::S3ErrorKind;
use gophership_units::seconds_of;
use parking_lot::Mutex;
use tokio::sync::MutexGuard as TurnGuard;
use tokio::time::Instant;

use super::options::S3RetryConfig;
use crate::component::ComponentId;
use crate::delivery::Backoff;
use crate::delivery::Health;
use crate::metrics::S3Metrics;
use crate::somatic::Gauges;

/// So many failures in a row open the circuit: from then on one request at a time asks.
const FAILURES: u32 = 5;

/// The attempts of all uploads of a sink.
pub(super) struct Attempts {
    id: String,
    health: Health,
    figures: S3Metrics,
    /// What an attempt is given of time, for the share that it takes.
    limit: Duration,
    state: Mutex<State>,
    /// Whoever has it may ask while the circuit is open.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    backoff: Backoff,
    failures: u32,
    /// Since when the circuit is open.
    open_since: Option<Instant>,
    alarm: Option<S3ErrorKind>,
}

impl Attempts {
    pub(super) fn new(
        id: &ComponentId,
        gauges: &Gauges,
        figures: S3Metrics,
        retry: &S3RetryConfig,
        limit: Duration,
    ) -> Self {
        let backoff = Backoff::new(retry.min.0, retry.max.0);
        figures.is_out.set(0);
        Self {
            id: id.to_string(),
            health: Health::new(gauges, id.as_str()),
            figures,
            limit,
            state: Mutex::new(State { backoff, failures: 0, open_since: None, alarm: None }),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits until an attempt may be made; what comes back is to be kept until it has ended, with its pause.
    pub(super) async fn turn(&self) -> Option<TurnGuard<'_, ()>> {
        if self.is_open() { Some(self.turn.lock().await) } else { None }
    }

    /// Whether the bucket is out.
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open_since.is_some()
    }

    /// Counts an attempt that began then and was answered.
    pub(super) fn answered(&self, began: Instant) {
        self.health.count(false, began, self.limit);
    }

    /// Counts an attempt after which something is confirmed: from then on the bucket works. An answer alone
    /// is not enough, as it may be "written" for what is lost.
    pub(super) fn succeeded(&self, began: Instant) {
        self.answered(began);
        let mut state = self.state.lock();
        state.failures = 0;
        state.backoff.reset();
        if let Some(kind) = state.alarm.take() {
            self.figures.alarm(kind.name(), 0);
        }
        if let Some(since) = state.open_since.take() {
            self.figures.is_out.set(0);
            let out_seconds = seconds_of(since.elapsed());
            tracing::info!(sink = %self.id, out_seconds, "Bucket accepts requests again.");
        }
    }

    /// Counts an attempt that failed, and returns how long to wait before the next one.
    pub(super) fn failed(&self, error: &S3Error, began: Instant) -> Duration {
        self.health.count(true, began, self.limit);
        self.figures.failure(error.kind.name());
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if error.kind.needs_operator() && state.alarm != Some(error.kind) {
            if let Some(before) = state.alarm.replace(error.kind) {
                self.figures.alarm(before.name(), 0);
            }
            self.figures.alarm(error.kind.name(), 1);
            tracing::error!(sink = %self.id, %error, "Bucket refuses requests; the sink retries.");
        }
        if state.failures == FAILURES {
            state.open_since = Some(Instant::now());
            self.figures.is_out.set(1);
            tracing::warn!(
                sink = %self.id, %error,
                "Bucket fails; nothing is lost: the sink retries with one request at a time."
            );
        }
        state.backoff.pause(None, fastrand::f64())
    }

    /// Forgets what is too old to say anything.
    pub(super) fn age(&self) {
        self.health.age(Instant::now());
    }
}
