//! Whether the process takes requests: since when not, and why.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::topology::Wiring;

/// The order not to take requests. It ends with the process.
pub(super) struct DrainState {
    wiring: Arc<Wiring>,
    /// Since when, and why.
    order: Mutex<Option<(Instant, String)>>,
}

impl DrainState {
    /// Nothing is ordered yet.
    #[must_use]
    pub(super) fn new(wiring: Arc<Wiring>) -> Self {
        Self { wiring, order: Mutex::default() }
    }

    /// Lets sources refuse requests; the next one follows. One that drains goes on since it began.
    pub(super) fn begin(&self, now: Instant, reason: &str) {
        let mut order = self.order.lock();
        let since = order.as_ref().map_or(now, |(since, _)| *since);
        *order = Some((since, reason.to_owned()));
        self.wiring.drain(true);
    }

    /// Lets sources take requests.
    pub(super) fn end(&self) {
        let mut order = self.order.lock();
        *order = None;
        self.wiring.drain(false);
    }

    /// For how long requests are refused, and why; nothing while they are taken.
    #[must_use]
    pub(super) fn report(&self, now: Instant) -> Option<(Duration, String)> {
        let order = self.order.lock();
        order
            .as_ref()
            .map(|(since, reason)| (now.saturating_duration_since(*since), reason.clone()))
    }

    /// Whether requests are refused.
    #[must_use]
    pub(super) fn is_draining(&self) -> bool {
        self.order.lock().is_some()
    }
}
