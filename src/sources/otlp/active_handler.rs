//! Where requests go: the handler of the source that has the listener now.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ingest_handler::IngestHandler;

/// The handler of one source, and its requests under way.
pub(super) struct ActiveHandler {
    handler: Arc<IngestHandler>,
    requests: TaskTracker,
}

/// The handler in force on one listener.
#[derive(Default)]
pub(super) struct ActiveHandlers(ArcSwapOption<ActiveHandler>);

impl ActiveHandler {
    /// Waits until every request of this handler is answered, for at most `linger`: who has sent half
    /// a request has not asked yet.
    pub(super) async fn finish(&self, linger: Duration) {
        self.requests.close();
        if tokio::time::timeout(linger, self.requests.wait()).await.is_err() {
            tracing::debug!(
                left = self.requests.len(),
                "Stopped waiting for requests that their senders have not completed."
            );
        }
    }
}

impl ActiveHandlers {
    /// Requests go to this handler from now on.
    pub(super) fn open(&self, handler: Arc<IngestHandler>) -> Arc<ActiveHandler> {
        let active = Arc::new(ActiveHandler { handler, requests: TaskTracker::new() });
        self.0.store(Some(Arc::clone(&active)));
        active
    }

    /// Nothing takes requests any more.
    pub(super) fn close(&self) {
        self.0.store(None);
    }

    /// Returns the handler for a request that begins, and what shows that it is under way; `None` before the first
    /// source has opened the listener, and after the last one has ended.
    pub(super) fn active(&self) -> Option<(Arc<IngestHandler>, TaskTrackerToken)> {
        let active = self.0.load();
        active.as_ref().map(|active| (Arc::clone(&active.handler), active.requests.token()))
    }

    /// Returns the handler for a request that comes in; `None` when [`ActiveHandlers::active`] is.
    pub(super) fn handler(&self) -> Option<Arc<IngestHandler>> {
        self.0.load().as_ref().map(|active| Arc::clone(&active.handler))
    }

    /// How slow answers are, from 0 to 1.
    pub(super) fn delay_severity(&self) -> f64 {
        self.0.load().as_ref().map_or(0.0, |active| active.handler.delay_severity())
    }

    /// How long a sender may be silent in the middle of a request.
    pub(super) fn read_idle(&self) -> Option<Duration> {
        self.0.load().as_ref().map(|active| active.handler.limits().read_idle)
    }
}
