//! How much at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::VaultReplayConfig;
use crate::config::running::Stop;
use crate::flow::Pressure;

/// Live traffic comes first: replay adds nothing while any edge is as full as this, which is well
/// below the mark at which the zone changes.
const CALM_PERMILLE: u32 = 250;
const CALM_CHECK: Duration = Duration::from_millis(5);
/// The unit of the window in bytes.
const PERMIT_BYTES: u64 = 1024;

/// What may be on its way at the same time.
pub(super) struct Window {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_permits: u32,
    pub(super) tasks: JoinSet<()>,
}

pub(super) type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Window {
    pub(super) fn new(config: &VaultReplayConfig) -> Self {
        let permits = config.in_flight_bytes.0.div_ceil(PERMIT_BYTES).clamp(1, 1 << 28);
        let bytes_permits = u32::try_from(permits).unwrap_or(1 << 28);
        Self {
            requests: Arc::new(Semaphore::new(config.in_flight as usize)),
            bytes: Arc::new(Semaphore::new(bytes_permits as usize)),
            bytes_permits,
            tasks: JoinSet::new(),
        }
    }

    /// Waits for room for one request; `None` when stopped meanwhile.
    pub(super) async fn reserve(&self, stop: &Stop, len: usize) -> Option<Permits> {
        let permits = u32::try_from((len as u64).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(permits.min(self.bytes_permits));
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            Some((request, bytes.await.ok()?))
        };
        tokio::select! {
            permits = both => permits,
            () = stop.cancelled() => None,
        }
    }

    /// Waits until the edges have drained enough that live traffic keeps most of them.
    pub(super) async fn wait_for_calm(pressure: &dyn Pressure) {
        while pressure.occupancy_permille() >= CALM_PERMILLE {
            tokio::time::sleep(CALM_CHECK).await;
        }
    }

    pub(super) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    pub(super) async fn close(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
