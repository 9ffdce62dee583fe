//! A [`RouteTable`]: the ways of one output, and how a batch is placed along them.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;

use super::edge::EdgePlace;
use super::edge::EdgeSender;
use super::tap::Taps;
use crate::event::Batch;
use crate::event::Origin;
use crate::event::SinkSet;

/// More ways than this from one output are refused when the table is made.
pub(super) const ROUTES_MAX: usize = 64;

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

    /// Whether it cannot write to its disk now.
    fn has_failed(&self) -> bool {
        false
    }

    /// When a refused sender may try again.
    fn retry_after(&self) -> Duration;

    /// Whether a batch of ordinary size would be taken now.
    fn has_room(&self) -> bool;
}

/// The batch that nobody had room for.
#[derive(Debug)]
pub struct Full(pub Batch);

/// One destination of a route.
#[derive(Clone)]
pub enum Destination {
    /// Through the edge in front of a component.
    Edge(EdgeSender),
    /// Straight into a sink.
    Direct(Arc<dyn Intake>),
}

/// A destination with the sinks behind it.
#[derive(Clone)]
pub struct Route {
    /// Where a batch is put.
    pub target: Destination,
    /// Whom it comes to from there.
    pub reach: SinkSet,
    /// Of the sink there, if it is one with an edge.
    pub taps: Taps,
}

impl From<Destination> for Route {
    /// The only way: it leads to everybody.
    fn from(target: Destination) -> Self {
        Self { target, reach: SinkSet::ALL, taps: Taps::default() }
    }
}

/// Who takes over when the route is full or the emergency switch is thrown.
#[derive(Clone)]
pub struct Pivot {
    /// The vault.
    pub vault: Arc<dyn Intake>,
    /// Everything goes to the vault in every zone: the source is journaled, or no backend behind it
    /// is there.
    pub takes_all: bool,
    /// The sinks that are out, while others are there: what is theirs goes to the vault.
    pub out: SinkSet,
}

/// Where the batches of one output go now.
#[derive(Clone, Default)]
pub struct RouteTable {
    /// All of them get every batch, but for batches that are for some sinks only.
    pub routes: Vec<Route>,
    /// Sinks that a batch comes to on several ways: that one copy arrived says nothing of the others.
    pub multipath: SinkSet,
    /// Of a source that has a vault.
    pub pivot: Option<Pivot>,
    /// The sinks behind it, whether they have a way in now or not.
    pub behind: SinkSet,
    /// Those of them that have none: they are being replaced. What is theirs is in the vault's hands
    /// before it comes here, if there is a pivot.
    pub closed: SinkSet,
    /// Whatever comes here can go to a vault instead, so nothing need wait for room.
    pub is_backed: bool,
    /// The transforms that are left out on the way, with the sinks behind each and where it is counted
    /// what passes them by.
    pub shed: Vec<(SinkSet, IntCounter)>,
    /// Of a transform: the vaults of the sources before it, unless one of them has none that is open.
    pub backing: Vec<Arc<dyn Intake>>,
    /// Of the component whose output it is.
    pub taps: Taps,
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
    /// In the edges that had room, and for the other sinks in the vault.
    Split,
}

/// Places that are reserved, one for each way.
type Places = [Option<EdgePlace>; ROUTES_MAX];

impl RouteTable {
    /// Places a batch on every way that leads to one of its sinks, or on none. Never waits.
    ///
    /// Of several ways the full ones hold nobody up where a vault with room stands by: for the sinks behind them
    /// the batch fails, and its source gives the vault what they miss.
    pub(super) fn fan_out(&self, batch: Batch) -> Result<(), Full> {
        let Some(mut batch) = self.without_missing(batch)? else { return Ok(()) };
        if let [route @ Route { target: Destination::Edge(edge), reach, .. }] =
            self.routes.as_slice()
            && reach.meets(batch.sink_set())
        {
            let place = edge.reserve(batch.cost_bytes(), batch.origin());
            let Some(place) = place else { return Err(Full(batch)) };
            // From here on it is for those who are behind now, and whom it misses later can be told.
            batch.narrow(*reach);
            route.fill(edge, place, batch);
            return Ok(());
        }
        let mut places: Places = [None; ROUTES_MAX];
        let (open, full) = self.reserve(&mut places, &batch, batch.sink_set());
        let passes_by = || batch.origin() == Origin::Source && self.has_backing();
        if !full.is_empty() && !passes_by() {
            self.cancel(&places);
            return Err(Full(batch));
        }
        if open.is_empty() {
            // Nobody has room, or whom it is for is being replaced, or is gone: its source finds
            // another way.
            self.cancel(&places);
            batch.failed();
            return Ok(());
        }
        if !full.is_empty() {
            batch.fork(full).failed();
            batch.narrow(open);
        }
        self.fill(&places, batch)
    }

    /// Whether a vault takes what fails here.
    pub(super) fn has_backing(&self) -> bool {
        !self.backing.is_empty() && self.backing.iter().all(|vault| vault.has_room())
    }

    /// Returns what there is to place now: what is for a sink that is being replaced, or that a reload took
    /// away to other inputs, fails, so that a vault keeps it for that sink; or it waits, if there is none.
    fn without_missing(&self, mut batch: Batch) -> Result<Option<Batch>, Full> {
        batch.leave_out(self.behind);
        let closed = self.closed.and(batch.sink_set());
        if closed.is_empty() {
            return Ok(Some(batch));
        }
        if batch.origin() == Origin::Source && !self.is_backed {
            return Err(Full(batch));
        }
        let open = batch.sink_set().and(self.behind).without(closed);
        if open.is_empty() {
            batch.failed();
            return Ok(None);
        }
        batch.fork(closed).failed();
        batch.narrow(open);
        Ok(Some(batch))
    }

    /// What there is to count of a batch that is about to be placed: nothing, unless something is left out.
    pub(super) fn passing(&self, batch: &Batch) -> Option<(SinkSet, u64)> {
        (!self.shed.is_empty()).then(|| (batch.sink_set(), batch.records()))
    }

    /// Counts a batch that was placed in the pipeline for each transform that it passes by.
    pub(super) fn count_shed(&self, (sink_set, records): (SinkSet, u64)) {
        for (reach, counter) in &self.shed {
            if reach.meets(sink_set) {
                counter.inc_by(records);
            }
        }
    }

    /// Whether there is one way, and nobody who is out.
    pub(super) fn has_one_way(&self) -> bool {
        self.routes.len() == 1 && self.pivot.as_ref().is_none_or(|pivot| pivot.out.is_empty())
    }

    /// Places a batch on the ways that have room, and gives the vault a copy for the sinks behind the
    /// others and for those that are out.
    pub(super) fn split(&self, pivot: &Pivot, mut batch: Batch) -> Result<Placement, Full> {
        let mut places: Places = [None; ROUTES_MAX];
        let (open, full) = self.reserve(&mut places, &batch, batch.sink_set().without(pivot.out));
        let owed = full.or(pivot.out).and(batch.sink_set());
        if open.is_empty() {
            self.cancel(&places);
            return pivot.vault.try_take(batch).map(|()| Placement::Spilled);
        }
        if owed.is_empty() {
            return self.fill(&places, batch).map(|()| Placement::Pipeline);
        }
        if let Err(Full(copy)) = pivot.vault.try_take(batch.fork(owed)) {
            copy.withdrawn();
            self.cancel(&places);
            return Err(Full(batch));
        }
        batch.narrow(open);
        match self.fill(&places, batch) {
            Ok(()) => Ok(Placement::Split),
            // What the vault has already is not taken back: the rest is to follow it.
            Err(full) => Err(full),
        }
    }

    /// Reserves a place on each way to some lanes. Returns the lanes of the batch that have one, and
    /// those that have none, because a way to them is full.
    fn reserve(&self, places: &mut Places, batch: &Batch, sink_set: SinkSet) -> (SinkSet, SinkSet) {
        let (mut open, mut full) = (SinkSet::NONE, SinkSet::NONE);
        for (slot, route) in places.iter_mut().zip(&self.routes) {
            if !route.reach.meets(sink_set) {
                continue;
            }
            if let Destination::Edge(edge) = &route.target {
                *slot = edge.reserve(batch.cost_bytes(), batch.origin());
                if slot.is_none() {
                    full = full.or(route.reach);
                    continue;
                }
            }
            open = open.or(route.reach);
        }
        // A sink gets all of its copies, or none.
        (open.without(full).and(sink_set), full.and(sink_set))
    }

    /// Puts a batch where places are reserved; direct targets cannot be reserved, and are asked first.
    fn fill(&self, places: &Places, batch: Batch) -> Result<(), Full> {
        for route in &self.routes {
            let Destination::Direct(intake) = &route.target else { continue };
            if !route.reach.meets(batch.sink_set()) {
                continue;
            }
            if let Err(Full(copy)) = intake.try_take(batch.fork(route.reach)) {
                copy.withdrawn();
                self.cancel(places);
                return Err(Full(batch));
            }
        }
        let mut last: Option<(&Route, &EdgeSender, EdgePlace)> = None;
        for (place, route) in places.iter().zip(&self.routes) {
            let (Some(place), Destination::Edge(edge)) = (*place, &route.target) else { continue };
            if !route.reach.meets(batch.sink_set()) {
                edge.cancel(place);
            } else if let Some((route, edge, place)) = last.replace((route, edge, place)) {
                route.fill(edge, place, batch.fork(route.reach));
            }
        }
        match last {
            Some((route, edge, place)) => {
                let mut batch = batch;
                batch.narrow(route.reach);
                route.fill(edge, place, batch);
            }
            // Only direct targets: each has its copy, the original is one too many.
            None => batch.withdrawn(),
        }
        Ok(())
    }

    fn cancel(&self, places: &Places) {
        for (place, route) in places.iter().zip(&self.routes) {
            if let (Some(place), Destination::Edge(edge)) = (place, &route.target) {
                edge.cancel(*place);
            }
        }
    }

    /// Whom batches come to, sooner or later.
    fn reach(&self) -> SinkSet {
        let out = self.pivot.as_ref().map_or(SinkSet::NONE, |pivot| pivot.out);
        self.routes.iter().fold(out, |reach, route| reach.or(route.reach))
    }

    /// Who still needs a request that failed for some lanes, after others are served: `None` if whoever it
    /// failed for is gone, and all that are there have it.
    pub(super) fn owed(&self, served: SinkSet, failed: SinkSet) -> Option<SinkSet> {
        let reach = self.reach();
        let owed = reach.without(served.without(self.multipath));
        if owed == reach || (owed.is_empty() && reach.meets(failed)) {
            return Some(SinkSet::ALL);
        }
        (!owed.is_empty()).then_some(owed)
    }

    /// The first edge on a way to one of its sinks that has no room for a batch.
    pub(super) fn full_edge(
        &self,
        bytes: u64,
        origin: Origin,
        sink_set: SinkSet,
    ) -> Option<&EdgeSender> {
        let routes = self.routes.iter().filter(|route| route.reach.meets(sink_set));
        routes.filter_map(Route::edge).find(|edge| match edge.reserve(bytes, origin) {
            Some(place) => {
                edge.cancel(place);
                false
            }
            None => true,
        })
    }

    /// How full the fullest edge of the route is.
    pub(super) fn occupancy_permille(&self) -> u32 {
        let edges = self.routes.iter().filter_map(Route::edge);
        edges.map(EdgeSender::occupancy_permille).max().unwrap_or(0)
    }
}

impl Route {
    /// Puts a batch into its reserved place in the edge.
    fn fill(&self, edge: &EdgeSender, place: EdgePlace, batch: Batch) {
        if let Some(passed) = self.taps.look(&batch) {
            passed.offer();
        }
        edge.fill(place, batch);
    }

    const fn edge(&self) -> Option<&EdgeSender> {
        match &self.target {
            Destination::Edge(edge) => Some(edge),
            Destination::Direct(_) => None,
        }
    }
}
