//! What the log says of single answers of a sink's backend: not of each.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// At most one warning per this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Warns for one sink.
pub(super) struct Warner {
    sink: Arc<str>,
    warned: Mutex<Option<Instant>>,
}

impl Warner {
    pub(super) fn of(sink: &str) -> Self {
        Self { sink: sink.into(), warned: Mutex::new(None) }
    }

    /// Says what happened, unless something was said a moment ago.
    pub(super) fn warn(&self, what: &'static str, endpoint: Option<&str>, reason: &str) {
        let now = Instant::now();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY) {
            *warned = Some(now);
            let endpoint = endpoint.map(tracing::field::display);
            tracing::warn!(sink = %self.sink, endpoint, reason, "{what}");
        }
    }
}
