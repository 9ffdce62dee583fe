//! The pace of uploads: they pause in red, their pieces keep to the rate, and the metrics show how far they are.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_s3::Turn;
use gophership_s3::UploadPacer;

use crate::flow::RateLimit;
use crate::metrics::S3Metrics;
use crate::somatic::Governor;

/// While background work pauses, it looks again after this long.
const PAUSED_FOR: Duration = Duration::from_millis(200);

/// The pace of all uploads of a sink.
pub(super) struct UploadThrottle {
    governor: Arc<Governor>,
    /// Bytes per second.
    rate: Option<RateLimit>,
    figures: S3Metrics,
}

impl UploadThrottle {
    pub(super) const fn new(
        governor: Arc<Governor>,
        rate: Option<RateLimit>,
        figures: S3Metrics,
    ) -> Self {
        Self { governor, rate, figures }
    }

    /// Waits while background work pauses.
    pub(super) async fn turn(&self) {
        while self.governor.share() <= 0.0 {
            tokio::time::sleep(PAUSED_FOR).await;
        }
    }

    /// Returns how long to rest after work, so that it has its share of the time.
    pub(super) fn rest_after(&self, worked: Duration) -> Duration {
        let share = self.governor.share().max(0.01);
        worked.mul_f64((1.0 - share) / share)
    }

    /// Begins an upload of so many bytes; it is on its way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, bytes: u64) -> Arc<UploadPace> {
        self.figures.uploading_bytes.add(signed(bytes));
        let (sent, held_nanos) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(UploadPace { pace: Arc::clone(self), bytes, sent, held_nanos })
    }
}

/// The pace of one upload.
pub(super) struct UploadPace {
    pace: Arc<UploadThrottle>,
    bytes: u64,
    sent: AtomicU64,
    held_nanos: AtomicU64,
}

impl UploadPace {
    /// Returns for how long the rate has held it back.
    pub(super) fn held(&self) -> Duration {
        Duration::from_nanos(self.held_nanos.load(Ordering::Relaxed))
    }
}

impl UploadPacer for UploadPace {
    fn hold(&self, bytes: u64) -> Duration {
        let hold = self.pace.rate.as_ref().map_or(Duration::ZERO, |rate| rate.hold(bytes));
        let nanos = u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX);
        self.held_nanos.fetch_add(nanos, Ordering::Relaxed);
        hold
    }

    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.pace.figures.uploading_sent_bytes.add(signed(bytes));
    }

    fn turn(&self) -> Turn<'_> {
        Box::pin(self.pace.turn())
    }
}

impl Drop for UploadPace {
    fn drop(&mut self) {
        let figures = &self.pace.figures;
        figures.uploading_bytes.sub(signed(self.bytes));
        figures.uploading_sent_bytes.sub(signed(self.sent.load(Ordering::Relaxed)));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
