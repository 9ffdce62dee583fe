//! Slow answers: what keeps senders waiting in Yellow, for as long as the brake says.
//!
//! Half of the wait comes before a request is read, so that what its sender has not sent yet stays
//! there, and half before it is answered, when its memory is given back already.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::component::Stop;
use crate::somatic::Brake;

/// Keeps senders waiting. One relaxed load while nobody is to wait.
pub(super) struct ResponseDelay {
    brake: Arc<Brake>,
    /// The sender has an answer by then, counted from when its request was read.
    answer_within: Duration,
    /// A source that stops keeps nobody waiting.
    stop: Stop,
}

impl ResponseDelay {
    pub(super) const fn new(brake: Arc<Brake>, answer_within: Duration, stop: Stop) -> Self {
        Self { brake, answer_within, stop }
    }

    /// How much answers are delayed, as a share of the longest delay: from 0 to 1.
    pub(super) fn delay_severity(&self) -> f64 {
        self.brake.severity().unwrap_or(0.0)
    }

    /// Waits before a request is read.
    pub(super) async fn before_reading(&self) {
        if let Some(wait) = self.brake.wait() {
            self.until(Instant::now() + wait / 2).await;
        }
    }

    /// The time, if anybody is to wait.
    pub(super) fn begin(&self) -> Option<Instant> {
        self.brake.wait().map(|_| Instant::now())
    }

    /// Waits before an answer to a request that was read at `began`. Who came before the brake was
    /// pulled does not wait, and nobody does beyond `latest`.
    pub(super) async fn before_answering(&self, began: Option<Instant>, latest: Option<Instant>) {
        let (Some(began), Some(wait)) = (began, self.brake.wait()) else { return };
        let end = (Instant::now() + wait / 2).min(began + self.answer_within);
        self.until(latest.map_or(end, |latest| end.min(latest))).await;
    }

    async fn until(&self, end: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(end) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
