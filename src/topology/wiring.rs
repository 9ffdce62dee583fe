//! The wiring in force: graph, zone and the ways in, and the route tables that follow from them.
//!
//! Whatever changes any of the three puts new tables in force before it returns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::graph::Graph;
use super::routes;
use crate::config::ComponentId;
use crate::flow::Pressure;
use crate::flow::Routes;
use crate::flow::Target;
use crate::somatic::Readings;
use crate::somatic::Sense;
use crate::somatic::Zone;

/// What waits in front of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeReport {
    /// The component.
    pub id: ComponentId,
    /// Batches waiting.
    pub batches: u64,
    /// Bytes waiting.
    pub bytes: u64,
    /// In thousandths of the tighter limit.
    pub occupancy_permille: u32,
}

#[derive(Default)]
struct State {
    graph: Graph,
    zone: Zone,
    /// The way into each component that has inputs, or is a pivot.
    inlets: BTreeMap<ComponentId, Target>,
    /// What each component that has an output sends along.
    outlets: BTreeMap<ComponentId, Arc<Routes>>,
}

impl State {
    fn put_tables(&self) {
        for (id, outlet) in &self.outlets {
            outlet.put(routes::table(&self.graph, self.zone, id, &self.inlets));
        }
    }
}

/// Holds the wiring; shared by the topology, the zone driver and the control service.
#[derive(Default)]
pub struct Wiring(Mutex<State>);

impl Wiring {
    /// Follows the zone: `current` is asked under the lock, so that the last change wins.
    pub fn follow(&self, current: impl FnOnce() -> Zone) {
        let mut state = self.lock();
        let zone = current();
        if state.zone != zone {
            state.zone = zone;
            state.put_tables();
        }
    }

    /// Puts another graph in force: the named ways in and outputs replace or join those there are,
    /// and what the graph does not know is dropped, which closes its edge.
    pub(super) fn rewire(
        &self,
        graph: Graph,
        inlets: BTreeMap<ComponentId, Target>,
        outlets: BTreeMap<ComponentId, Arc<Routes>>,
    ) {
        let mut state = self.lock();
        state.graph = graph;
        state.inlets.extend(inlets);
        state.outlets.extend(outlets);
        let State { graph, inlets, outlets, .. } = &mut *state;
        inlets.retain(|id, _| graph.role(id).is_some());
        outlets.retain(|id, _| graph.role(id).is_some());
        state.put_tables();
    }

    /// Takes one way in out of force, for a component that must stop before its successor starts.
    pub(super) fn close_inlet(&self, id: &ComponentId) {
        let mut state = self.lock();
        state.inlets.remove(id);
        state.put_tables();
    }

    /// How full each edge and each vault is now.
    pub fn sense(&self, readings: &mut Readings) {
        for (id, target) in &self.lock().inlets {
            let (sense, permille) = match target {
                Target::Edge(edge) => (Sense::Edge, edge.occupancy_permille()),
                Target::Direct(intake) => (Sense::Vault, intake.fill_permille()),
            };
            readings.push(sense, id.shared(), permille);
        }
    }

    /// What waits in front of each component.
    #[must_use]
    pub fn edges(&self) -> Vec<EdgeReport> {
        let state = self.lock();
        let report = |(id, target): (&ComponentId, &Target)| {
            let Target::Edge(edge) = target else { return None };
            let (batches, bytes) = edge.used();
            let occupancy_permille = edge.occupancy_permille();
            Some(EdgeReport { id: id.clone(), batches, bytes, occupancy_permille })
        };
        state.inlets.iter().filter_map(report).collect()
    }

    /// The graph in force.
    #[must_use]
    pub fn graph(&self) -> Graph {
        self.lock().graph.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pressure for Wiring {
    fn occupancy_permille(&self) -> u32 {
        let state = self.lock();
        let occupancy = |target: &Target| match target {
            Target::Edge(edge) => edge.occupancy_permille(),
            Target::Direct(_) => 0,
        };
        state.inlets.values().map(occupancy).max().unwrap_or(0)
    }
}
