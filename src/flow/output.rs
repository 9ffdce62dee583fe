//! Where a component's batches go: [`Output`] sends along the [`RouteTable`] in force.
//!
//! Zones, reloads, drains and overrides are all the same act: another table is put in force with
//! [`Routes::put`]. A send that waits for room notices a new table and follows it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::edge::{EdgeSender, Place};
use super::pulse::Pulse;
use crate::event::Batch;
use crate::event::Origin;

/// How long a waiting send sleeps before it asks again a target that cannot wake it.
const DIRECT_RETRY: Duration = Duration::from_millis(5);

/// More targets than this on one output are refused when the table is made.
const TARGETS_MAX: usize = 64;

/// A sink that takes batches in the caller's task, without an edge: the vault.
pub trait Intake: Send + Sync {
    /// Takes the batch at once or gives it back. Never waits, never allocates for usual sizes.
    ///
    /// # Errors
    ///
    /// [`Full`] with the batch when there is no room now.
    fn try_take(&self, batch: Batch) -> Result<(), Full>;

    /// How much of its store is used, in thousandths. No pressure on those in front: it takes
    /// batches at once until the end.
    fn fill_permille(&self) -> u32;

    /// When a refused sender may try again.
    fn retry_after(&self) -> Duration;
}

/// Says how full the pipeline is as a whole.
pub trait Pressure: Send + Sync {
    /// How full the fullest edge of all is, in thousandths.
    fn occupancy_permille(&self) -> u32;
}

/// The batch that nobody had room for.
#[derive(Debug)]
pub struct Full(pub Batch);

/// One destination of a route.
#[derive(Clone)]
pub enum Target {
    /// Through the edge in front of a component.
    Edge(EdgeSender),
    /// Straight into a sink.
    Direct(Arc<dyn Intake>),
}

/// Who takes over when the route is full or the zone is Red, and why.
#[derive(Clone)]
pub struct Pivot {
    /// The vault.
    pub vault: Arc<dyn Intake>,
    /// Everything goes to the vault: the zone is Red, or the source is journaled.
    pub is_in_force: bool,
}

/// Where the batches of one output go now.
#[derive(Clone, Default)]
pub struct RouteTable {
    /// All of them get every batch.
    pub targets: Vec<Target>,
    /// The reflex.
    pub pivot: Option<Pivot>,
}

/// Where a batch was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the edges of the pipeline.
    Pipeline,
    /// In the vault, because everything goes there now.
    Diverted,
    /// In the vault, because an edge was full.
    Spilled,
}

impl RouteTable {
    /// Places a batch everywhere it belongs, or nowhere. Never waits.
    fn place(&self, batch: Batch) -> Result<Placement, Full> {
        if let Some(pivot) = &self.pivot {
            if pivot.is_in_force {
                return pivot.vault.try_take(batch).map(|()| Placement::Diverted);
            }
            return match self.fan_out(batch) {
                Ok(()) => Ok(Placement::Pipeline),
                Err(Full(batch)) => pivot.vault.try_take(batch).map(|()| Placement::Spilled),
            };
        }
        self.fan_out(batch).map(|()| Placement::Pipeline)
    }

    fn fan_out(&self, batch: Batch) -> Result<(), Full> {
        if let [Target::Edge(edge)] = self.targets.as_slice() {
            let place = edge.reserve(batch.cost_bytes(), batch.origin());
            let Some(place) = place else { return Err(Full(batch)) };
            edge.fill(place, batch);
            return Ok(());
        }
        self.fan_out_to_many(batch)
    }

    fn fan_out_to_many(&self, batch: Batch) -> Result<(), Full> {
        let mut places: [Option<Place>; TARGETS_MAX] = [None; TARGETS_MAX];
        let bytes = batch.cost_bytes();
        for (slot, target) in places.iter_mut().zip(&self.targets) {
            let Target::Edge(edge) = target else { continue };
            *slot = edge.reserve(bytes, batch.origin());
            if slot.is_none() {
                self.cancel(&places);
                return Err(Full(batch));
            }
        }
        // Direct targets cannot be reserved: they are asked before any edge is filled.
        for target in &self.targets {
            let Target::Direct(intake) = target else { continue };
            if let Err(Full(copy)) = intake.try_take(batch.fork()) {
                copy.withdrawn();
                self.cancel(&places);
                return Err(Full(batch));
            }
        }
        self.fill(&places, batch);
        Ok(())
    }

    fn fill(&self, places: &[Option<Place>; TARGETS_MAX], batch: Batch) {
        let mut last: Option<(&EdgeSender, Place)> = None;
        for (place, target) in places.iter().zip(&self.targets) {
            let (Some(place), Target::Edge(edge)) = (place, target) else { continue };
            if let Some((edge, place)) = last.replace((edge, *place)) {
                edge.fill(place, batch.fork());
            }
        }
        match last {
            Some((edge, place)) => edge.fill(place, batch),
            // Only direct targets: each has its copy, the original is one too many.
            None => batch.withdrawn(),
        }
    }

    fn cancel(&self, places: &[Option<Place>; TARGETS_MAX]) {
        for (place, target) in places.iter().zip(&self.targets) {
            if let (Some(place), Target::Edge(edge)) = (place, target) {
                edge.cancel(*place);
            }
        }
    }

    /// The first edge that has no room for a batch of `bytes`.
    fn full_edge(&self, bytes: u64, origin: Origin) -> Option<&EdgeSender> {
        self.targets.iter().find_map(|target| match target {
            Target::Edge(edge) => match edge.reserve(bytes, origin) {
                Some(place) => {
                    edge.cancel(place);
                    None
                }
                None => Some(edge),
            },
            Target::Direct(_) => None,
        })
    }

    fn occupancy_permille(&self) -> u32 {
        let of = |target: &Target| match target {
            Target::Edge(edge) => edge.occupancy_permille(),
            Target::Direct(_) => 0,
        };
        self.targets.iter().map(of).max().unwrap_or(0)
    }
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
        debug_assert!(table.targets.len() <= TARGETS_MAX, "the graph is checked for this");
        self.table.store(Arc::new(table));
        self.changed.notify_waiters();
    }
}

/// The sending side of a component.
#[derive(Clone)]
pub struct Output {
    routes: Arc<Routes>,
    pulse: Option<Pulse>,
}

impl Output {
    /// Makes an output that follows `routes`; a source's output also feels the pulse.
    #[must_use]
    pub const fn new(routes: Arc<Routes>, pulse: Option<Pulse>) -> Self {
        Self { routes, pulse }
    }

    /// The reflex: places the batch, or gives it back. No lock, no allocation, no wait.
    ///
    /// # Errors
    ///
    /// [`Full`] with the batch when neither the pipeline nor the vault has room.
    pub fn try_send(&self, batch: Batch) -> Result<Placement, Full> {
        let table = self.routes.table.load();
        if let Some(pulse) = &self.pulse
            && pulse.beat()
        {
            pulse.report(table.occupancy_permille());
        }
        table.place(batch)
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
                () = room(&table, batch.cost_bytes(), batch.origin()) => {}
            }
        }
    }

    /// The vault that takes over, if the table in force has one.
    #[must_use]
    pub fn vault(&self) -> Option<Arc<dyn Intake>> {
        self.routes.table.load().pivot.as_ref().map(|pivot| Arc::clone(&pivot.vault))
    }
}

/// Waits until the first full edge of a table has drained a little.
async fn room(table: &RouteTable, bytes: u64, origin: Origin) {
    let Some(edge) = table.full_edge(bytes, origin) else {
        return tokio::time::sleep(DIRECT_RETRY).await;
    };
    let mut room = edge.room();
    let Some(notified) = room.notified() else { return };
    tokio::pin!(notified);
    notified.as_mut().enable();
    if table.full_edge(bytes, origin).is_none() {
        return tokio::task::yield_now().await;
    }
    notified.await;
}
