//! Where a component's batches go: [`Output`] sends along the [`RouteTable`] in force.
//!
//! Zones, reloads, drains and overrides are all the same act: another table is put in force with
//! [`Routes::put`]. A send that waits for room notices a new table and follows it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::reflex::Reflex;
use super::table::Full;
use super::table::Intake;
use super::table::Placement;
use super::table::ROUTES_MAX;
use super::table::RouteTable;
use crate::event::Batch;
use crate::event::SinkSet;
use crate::event::ack::AckWaiter;

/// How long a waiting send sleeps before it asks again a target that cannot wake it.
const DIRECT_RETRY: Duration = Duration::from_millis(5);

/// What a component may know of the pipeline behind it.
pub trait TopologyView: Send + Sync {
    /// The sinks that batches of the component come to, with their lanes: one for each lane.
    fn sinks(&self, component: &str) -> Vec<(String, SinkSet)>;

    /// The lanes of some sinks, by their names, less those that are no sinks any more.
    fn sink_set_of(&self, sinks: &[String]) -> SinkSet;

    /// How full the fullest edge is on the ways from the component to the sinks of some lanes, in
    /// thousandths.
    fn occupancy_permille(&self, component: &str, sink_set: SinkSet) -> u32;
}

/// The table in force for one output; another one can be put in force at any time.
#[derive(Default)]
pub struct Routes {
    table: ArcSwap<RouteTable>,
    changed: Notify,
}

impl Routes {
    /// Puts a table in force. The next send follows it, and so does one that waits.
    pub fn put(&self, table: RouteTable) {
        debug_assert!(table.routes.len() <= ROUTES_MAX, "the graph is checked for this");
        self.table.store(Arc::new(table));
        self.changed.notify_waiters();
    }
}

/// The sending side of a component.
#[derive(Clone)]
pub struct Output {
    routes: Arc<Routes>,
    reflex: Option<Reflex>,
}

impl Output {
    /// Makes an output that follows `routes`; that of a source has the reflex.
    #[must_use]
    pub const fn new(routes: Arc<Routes>, reflex: Option<Reflex>) -> Self {
        Self { routes, reflex }
    }

    /// Places the batch along the table in force, or gives it back. No lock, no allocation, no wait.
    ///
    /// # Errors
    ///
    /// [`Full`] with the batch when neither the pipeline nor the vault has room.
    pub fn try_send(&self, batch: Batch) -> Result<Placement, Full> {
        let table = self.routes.table.load();
        let passing = table.passing(&batch);
        let passed = table.taps.look(&batch);
        let placed = match &self.reflex {
            Some(reflex) => reflex.place(&table, batch),
            None => table.fan_out(batch).map(|()| Placement::Pipeline),
        };
        if let (Some(passing), Ok(Placement::Pipeline | Placement::Split)) = (passing, &placed) {
            table.count_shed(passing);
        }
        if let (Some(passed), Ok(_)) = (passed, &placed) {
            passed.offer();
        }
        placed
    }

    /// Places the batch, waiting for room as long as it takes and following every new table.
    ///
    /// Dropped half-way the batch is dropped with it, which counts as failed.
    pub async fn send(&self, mut batch: Batch) -> Placement {
        loop {
            let changed = self.routes.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.try_send(batch) {
                Ok(placement) => return placement,
                Err(Full(back)) => batch = back,
            }
            let table = self.routes.table.load_full();
            tokio::select! {
                () = changed => {}
                () = room(&table, &batch) => {}
            }
        }
    }

    /// Whether an operator wants no new requests in; what comes from a vault goes on. One relaxed load.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.reflex.as_ref().is_some_and(Reflex::is_draining)
    }

    /// Who still needs a request whose copies have ended as `waiter` knows: all if that cannot be told,
    /// `None` if it failed only for sinks that are gone.
    #[must_use]
    pub fn owed(&self, waiter: &AckWaiter) -> Option<SinkSet> {
        self.routes.table.load().owed(waiter.served(), waiter.failed())
    }

    /// The sinks behind it; none if nobody reads it.
    #[must_use]
    pub fn behind(&self) -> SinkSet {
        self.routes.table.load().behind
    }

    /// Whether what is sent here can go to a vault, be it that it is not open now.
    #[must_use]
    pub fn is_backed(&self) -> bool {
        self.routes.table.load().is_backed
    }

    /// Whether what is sent here can go to a vault now instead of waiting for room.
    #[must_use]
    pub fn has_backing(&self) -> bool {
        self.routes.table.load().has_backing()
    }

    /// The vault that takes over, if the table in force has one.
    #[must_use]
    pub fn vault(&self) -> Option<Arc<dyn Intake>> {
        self.routes.table.load().pivot.as_ref().map(|pivot| Arc::clone(&pivot.vault))
    }
}

/// Waits until the first edge that a batch finds full has drained a little.
async fn room(table: &RouteTable, batch: &Batch) {
    let full_edge = || table.full_edge(batch.cost_bytes(), batch.origin(), batch.sink_set());
    let Some(edge) = full_edge() else { return tokio::time::sleep(DIRECT_RETRY).await };
    let mut room = edge.room();
    let Some(notified) = room.notified() else { return };
    tokio::pin!(notified);
    notified.as_mut().enable();
    if full_edge().is_none() {
        return tokio::task::yield_now().await;
    }
    notified.await;
}
