//! How much at the same time.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::VaultReplayConfig;
use crate::component::Context;
use crate::component::Stop;
use crate::metrics::VaultMetrics;
use crate::pool::Budget;
use crate::pool::FairPermit;
use crate::pool::Portion;
use crate::somatic::Work;
use crate::somatic::WorkKind;
use crate::somatic::WorkProbe;

/// The unit of the window in bytes.
const PERMIT_BYTES: u64 = 1024;

/// What its requests do until they are delivered.
const WAITS: &str = "replayed requests wait for delivery";

/// What may be on its way at the same time.
pub(super) struct Window {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_permits: u32,
    /// Its part of what all replays of the process may have on their way. An equal part: a sink that is
    /// out keeps what it has, and the others would wait for it.
    portion: Portion,
    pub(super) tasks: JoinSet<()>,
}

pub(super) type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit, FairPermit);

impl Window {
    pub(super) fn new(config: &VaultReplayConfig, share: &Arc<Budget>) -> Self {
        let permits = config.in_flight_bytes.0.div_ceil(PERMIT_BYTES).clamp(1, 1 << 28);
        let bytes_permits = u32::try_from(permits).unwrap_or(1 << 28);
        Self {
            requests: Arc::new(Semaphore::new(config.in_flight as usize)),
            bytes: Arc::new(Semaphore::new(bytes_permits as usize)),
            bytes_permits,
            portion: Portion::of(share),
            tasks: JoinSet::new(),
        }
    }

    /// Shows the watchdog what is on its way; in Red, and while an operator pauses replays, nothing is meant
    /// to move.
    pub(super) fn watch(&self, context: &Context, metrics: &VaultMetrics) -> WorkProbe {
        let (requests, all) = (Arc::clone(&self.requests), self.requests.available_permits());
        let (zone, metrics) = (context.zone.clone(), metrics.clone());
        let governor = Arc::clone(&context.governor);
        context.gauges.work_probes.register(
            context.id.as_str(),
            WAITS,
            WorkKind::Inside,
            move || {
                let may_move = governor.may_replay(*zone.borrow());
                let under_way = if may_move { all - requests.available_permits() } else { 0 };
                let done = metrics.replayed.get() + metrics.dead_lettered.get();
                Work { waiting: under_way as u64, done, refused: 0 }
            },
        )
    }

    /// Waits for room for one request; `None` when stopped meanwhile.
    pub(super) async fn reserve(&self, stop: &Stop, len: usize) -> Option<Permits> {
        let permits = u32::try_from((len as u64).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(permits.min(self.bytes_permits));
        let both = async {
            let request = Arc::clone(&self.requests).acquire_owned().await.ok()?;
            Some((request, bytes.await.ok()?, self.portion.take(len as u64).await))
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

#[cfg(test)]
mod tests {
    use super::super::OrderOption;
    use super::super::ReplayRate;
    use super::*;
    use gophership_units::ByteSize;

    #[tokio::test]
    async fn what_sinks_that_are_out_hold_is_not_what_another_waits_for() {
        let config = VaultReplayConfig {
            vault: "vault".to_owned(),
            rate: ReplayRate::Auto,
            rate_bytes: None,
            order: OrderOption::OldestFirst,
            in_flight: 64,
            in_flight_bytes: ByteSize(8 << 20),
        };
        let share = Budget::new("replay", 12 << 20);
        let [large, out, there] = [(); 3].map(|()| Window::new(&config, &share));
        let stop = Stop::new();
        let held = large.reserve(&stop, 20 << 20).await.expect("passes alone");
        let mut all = Vec::new();
        let fill = async {
            loop {
                all.extend(out.reserve(&stop, 1 << 20).await);
            }
        };
        let soon = std::time::Duration::from_millis(50);
        tokio::time::timeout(soon, fill).await.expect_err("its part is used up");
        assert_eq!(all.len(), 4, "a third of the share");
        let waiting = out.reserve(&stop, 1 << 20);
        tokio::pin!(waiting);
        tokio::time::timeout(soon, &mut waiting).await.expect_err("it waits");
        let served = tokio::time::timeout(soon, there.reserve(&stop, 1 << 20)).await;
        assert!(served.expect("nobody is in its way").is_some());
        drop((held, all));
        assert!(waiting.await.is_some());
    }
}
