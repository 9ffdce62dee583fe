//! How much at the same time.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::VaultReplayConfig;
use crate::config::running::Context;
use crate::config::running::Stop;
use crate::metrics::VaultMetrics;
use crate::pool::Budget;
use crate::pool::Grant;
use crate::somatic::OnDuty;
use crate::somatic::Part;
use crate::somatic::Work;
use crate::somatic::Zone;

/// The unit of the window in bytes.
const PERMIT_BYTES: u64 = 1024;

/// What its requests do until they are delivered.
const WAITS: &str = "replayed requests wait for delivery";

/// What may be on its way at the same time.
pub(super) struct Window {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_permits: u32,
    /// What all replays of the process may have on their way.
    share: Arc<Budget>,
    pub(super) tasks: JoinSet<()>,
}

pub(super) type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit, Grant);

impl Window {
    pub(super) fn new(config: &VaultReplayConfig, share: &Arc<Budget>) -> Self {
        let permits = config.in_flight_bytes.0.div_ceil(PERMIT_BYTES).clamp(1, 1 << 28);
        let bytes_permits = u32::try_from(permits).unwrap_or(1 << 28);
        Self {
            requests: Arc::new(Semaphore::new(config.in_flight as usize)),
            bytes: Arc::new(Semaphore::new(bytes_permits as usize)),
            bytes_permits,
            share: Arc::clone(share),
            tasks: JoinSet::new(),
        }
    }

    /// Shows the watchdog what is on its way; in Red nothing is meant to move.
    pub(super) fn watch(&self, context: &Context, metrics: &VaultMetrics) -> OnDuty {
        let (requests, all) = (Arc::clone(&self.requests), self.requests.available_permits());
        let (zone, metrics) = (context.zone.clone(), metrics.clone());
        context.vitals.duties.register(context.id.as_str(), WAITS, Part::Inside, move || {
            let is_paused = *zone.borrow() == Zone::Red;
            let under_way = if is_paused { 0 } else { all - requests.available_permits() };
            let done = metrics.replayed.get() + metrics.dead_lettered.get();
            Work { waiting: under_way as u64, done, refused: 0 }
        })
    }

    /// Waits for room for one request; `None` when stopped meanwhile.
    pub(super) async fn reserve(&self, stop: &Stop, len: usize) -> Option<Permits> {
        let permits = u32::try_from((len as u64).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(permits.min(self.bytes_permits));
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            Some((request, bytes.await.ok()?, self.share.take(len as u64).await))
        };
        tokio::select! {
            permits = both => permits,
            () = stop.cancelled() => None,
        }
    }

    pub(super) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    pub(super) async fn close(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
