//! The way into a listener: a connection has its slot before a byte of it is read, and is counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::component::running::Stop;
use crate::metrics::ListenerMetrics;
use crate::net::Activity;
use crate::net::ConnectionSlot;
use crate::net::ConnectionSlots;

/// After a listener has failed to accept, wait this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The log has a line about each listener so often at most.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Admits the connections of one listener.
#[derive(Debug)]
pub struct Connections {
    listener: String,
    limit: usize,
    slots: Arc<ConnectionSlots>,
    /// A connection that finds no slot in this time is closed.
    wait_max: Duration,
    metrics: ListenerMetrics,
    warned: Mutex<Option<Instant>>,
}

/// A connection that has its slot.
#[derive(Debug)]
pub struct Admitted {
    slot: ConnectionSlot,
    metrics: ListenerMetrics,
    cause: &'static str,
}

impl Connections {
    /// Admits as many as there are `slots`, of which there may be `limit`.
    #[must_use]
    pub fn new(
        listener: String,
        limit: usize,
        slots: Arc<ConnectionSlots>,
        wait_max: Duration,
        metrics: ListenerMetrics,
    ) -> Arc<Self> {
        metrics.connections_max.set(i64::try_from(limit).unwrap_or(i64::MAX));
        let warned = Mutex::default();
        Arc::new(Self { listener, limit, slots, wait_max, metrics, warned })
    }

    /// Waits for the next connection that `accept` returns; `None` once `stop` says so. When that fails, as
    /// it does for want of a file descriptor, it waits a while rather than spin.
    pub async fn accept<S, F>(&self, mut accept: impl FnMut() -> F, stop: &Stop) -> Option<S>
    where
        F: Future<Output = io::Result<S>>,
    {
        loop {
            let accepted = tokio::select! {
                accepted = accept() => accepted,
                () = stop.cancelled() => return None,
            };
            match accepted {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    self.refused(&error);
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Waits until there is a slot, for which the longest idle connection makes room. `None`: there was
    /// none in time, and the connection is to be closed.
    ///
    /// Dropped half-way nothing is admitted.
    pub async fn admit(&self) -> Option<Admitted> {
        let slot = match self.slots.try_open() {
            Some(slot) => Some(slot),
            None => self.wait().await,
        };
        let Some(slot) = slot else {
            self.metrics.close("no_slot");
            return None;
        };
        self.metrics.connections.inc();
        Some(Admitted { slot, metrics: self.metrics.clone(), cause: "ended" })
    }

    async fn wait(&self) -> Option<ConnectionSlot> {
        let _waiting = Waiting::begin(&self.metrics);
        if self.may_warn() {
            let (listener, open, limit) = (self.listener.as_str(), self.slots.len(), self.limit);
            tracing::warn!(
                listener,
                open,
                limit,
                "Listener is at its connection limit, or the process has no file descriptors left \
                 for connections. A new connection waits; the longest idle one is closed."
            );
        }
        self.slots.open(self.wait_max).await
    }

    /// Says in the log why the system refused a connection, if it did not just do so.
    fn refused(&self, error: &io::Error) {
        if self.may_warn() {
            let listener = self.listener.as_str();
            tracing::warn!(listener, %error, "Cannot accept a connection.");
        }
    }

    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock();
        let is_time = warned.is_none_or(|at| WARN_EVERY <= at.elapsed());
        if is_time {
            *warned = Some(Instant::now());
        }
        is_time
    }
}

/// A connection that waits for a slot, until it is dropped.
struct Waiting<'m>(&'m ListenerMetrics);

impl<'m> Waiting<'m> {
    fn begin(metrics: &'m ListenerMetrics) -> Self {
        metrics.waits.inc();
        metrics.waiting.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

impl Admitted {
    /// What the connection does.
    #[must_use]
    pub const fn activity(&self) -> &Arc<Activity> {
        self.slot.activity()
    }

    /// Says why it ended.
    pub const fn ends(&mut self, cause: &'static str) {
        self.cause = cause;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        self.metrics.close(self.cause);
    }
}
