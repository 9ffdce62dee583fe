//! The wiring in force: graph, zone and the ways in, and the route tables that follow from them.
//!
//! Whatever changes any of the three puts new tables in force before it returns.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::graph::ComponentRole;
use super::graph::Graph;
use super::routes::RoutePlan;
use super::taps::TapPlace;
use super::taps::TapRefusal;
use super::taps::TapSet;
use crate::component::ComponentId;
use crate::component::OutputId;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::flow::Destination;
use crate::flow::EdgeSender;
use crate::flow::Routes;
use crate::flow::Switch;
use crate::flow::Tap;
use crate::flow::TopologyView;
use crate::metrics::Metrics;
use crate::somatic::Place;
use crate::somatic::Pressure;
use crate::somatic::PressureKind;
use crate::somatic::Readings;
use crate::somatic::Work;
use crate::somatic::WorkKind;
use crate::somatic::WorkSample;
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
    /// Sinks whose backends are out.
    out: Vec<Place>,
    /// The way into each component that has inputs, or is a pivot.
    inlets: BTreeMap<ComponentId, Destination>,
    /// Where else batches can go, for components where they can.
    relief: BTreeMap<ComponentId, Vec<Vec<ComponentId>>>,
    /// The sinks that a component leads to, for those that are passed by when these are out.
    passed_by: BTreeMap<ComponentId, Vec<Place>>,
    /// What is behind each component that has an output, and whom it leads to.
    behind: BTreeMap<ComponentId, Vec<(ComponentId, SinkSet)>>,
    /// What is sent along, by output.
    outlets: BTreeMap<OutputId, Arc<Routes>>,
    /// The transforms that are left out now.
    shed: BTreeSet<ComponentId>,
    taps: TapSet,
}

impl State {
    /// How full an edge counts as. One that leads to backends that are out takes nothing from a source:
    /// what is in it is what the vault has too, and it must not hold the zone until they are back.
    fn pressure_of(&self, id: &ComponentId, permille: u32) -> u32 {
        let is_out = |sinks: &Vec<Place>| sinks.iter().all(|sink| self.out.contains(sink));
        if !self.out.is_empty() && self.passed_by.get(id).is_some_and(is_out) {
            return 0;
        }
        self.relieved(id, permille)
    }

    fn relieved(&self, id: &ComponentId, permille: u32) -> u32 {
        let Some(sources) = self.relief.get(id) else { return permille };
        let occupancy = |id: &ComponentId| {
            self.inlets.get(id).and_then(edge_of).map_or(0, EdgeSender::occupancy_permille)
        };
        let emptiest =
            |others: &Vec<ComponentId>| others.iter().map(occupancy).min().unwrap_or(1000);
        permille.min(sources.iter().map(emptiest).max().unwrap_or(1000))
    }

    fn plan<'a>(&'a self, sink_set: &'a SinkTable, metrics: &'a Metrics) -> RoutePlan<'a> {
        let Self { graph, zone, out, inlets, taps, .. } = self;
        RoutePlan { graph, zone: *zone, out, inlets, taps, sink_set, metrics }
    }

    fn put_tables(&self, sink_set: &SinkTable, metrics: &Metrics) {
        let plan = self.plan(sink_set, metrics);
        for (output, outlet) in &self.outlets {
            outlet.put(plan.table(output));
        }
    }

    /// Notes what is left out now, and returns what is new in that.
    fn note_shed(&mut self, metrics: &Metrics) -> Shedding {
        let now: BTreeSet<ComponentId> = self.graph.shed(self.zone).cloned().collect();
        let before = std::mem::replace(&mut self.shed, now);
        let began: Vec<_> = self.shed.difference(&before).cloned().collect();
        let ended: Vec<ComponentId> = before.difference(&self.shed).cloned().collect();
        for (ids, value) in [(&began, 1), (&ended, 0)] {
            for id in ids {
                metrics.is_shed(id.as_str()).set(value);
            }
        }
        // Those that are gone are not back.
        let is_there = |id: &ComponentId| self.graph.role(id).is_some();
        let ended = ended.into_iter().filter(is_there).collect();
        Shedding { zone: self.zone, began, ended }
    }
}

/// Transforms that began to be left out, and that are back.
#[must_use]
pub struct Shedding {
    zone: Zone,
    began: Vec<ComponentId>,
    ended: Vec<ComponentId>,
}

impl Shedding {
    /// Says it in the log, a line for each: when everything is in force, for the log may have to wait.
    pub fn log(&self) {
        let names = |ids: &[ComponentId]| {
            ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", ")
        };
        let zone = self.zone;
        if !self.began.is_empty() {
            let transforms = names(&self.began);
            tracing::warn!(%zone, transforms, "Skipping optional transforms.");
        }
        if !self.ended.is_empty() {
            tracing::info!(
                %zone, transforms = names(&self.ended),
                "Optional transforms run again."
            );
        }
    }
}

/// Holds the wiring; shared by the topology, the zone driver and the control service.
pub struct Wiring {
    state: Mutex<State>,
    /// Thrown while the zone is Red.
    switch: Arc<Switch>,
    sink_set: Arc<SinkTable>,
    metrics: Arc<Metrics>,
}

impl Wiring {
    /// Makes a wiring of nothing.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let (state, switch, sink_set) = (Mutex::default(), Arc::default(), Arc::default());
        Self { state, switch, sink_set, metrics }
    }

    /// Follows the zone: `current` is asked under the lock, so that the last change wins. Returns what
    /// begins or ends to be left out with it.
    pub fn follow(&self, current: impl FnOnce() -> Zone) -> Shedding {
        let mut state = self.lock();
        let zone = current();
        if state.zone != zone {
            state.zone = zone;
            self.switch.set(zone == Zone::Red);
            state.put_tables(&self.sink_set, &self.metrics);
        }
        state.note_shed(&self.metrics)
    }

    /// Follows the circuits: sources pass by sinks whose backends are out, so that no request waits
    /// for one of them.
    pub fn follow_circuits(&self, readings: &Readings) {
        let is_out =
            |pressure: &&Pressure| pressure.kind == PressureKind::Circuit && 0 < pressure.permille;
        let mut state = self.lock();
        let mut count = 0;
        let is_known = |place: &Place| state.out.contains(place);
        let are_known = readings
            .iter()
            .filter(is_out)
            .inspect(|_| count += 1)
            .all(|pressure| is_known(&pressure.place));
        if are_known && count == state.out.len() {
            return;
        }
        state.out =
            readings.iter().filter(is_out).map(|pressure| Arc::clone(&pressure.place)).collect();
        state.put_tables(&self.sink_set, &self.metrics);
    }

    /// Which sink has which lane.
    pub(super) const fn sink_set(&self) -> &Arc<SinkTable> {
        &self.sink_set
    }

    /// The sinks that batches of a component come to in a graph, in force or not, with their lanes: one
    /// for each lane.
    pub(super) fn sinks_in<'g>(
        &self,
        graph: &'g Graph,
        id: &ComponentId,
    ) -> Vec<(&'g ComponentId, SinkSet)> {
        let mut seen = SinkSet::NONE;
        let with_lane = |sink: &'g ComponentId| (sink, self.sink_set.lane(sink.as_str()));
        let mut sinks: Vec<_> = graph.sinks(id).into_iter().map(with_lane).collect();
        sinks.retain(|(_, lane)| {
            let is_new = !lane.meets(seen);
            seen = seen.or(*lane);
            is_new
        });
        sinks
    }

    /// Lets sources refuse new requests, or take them again; the next request follows.
    pub fn drain(&self, is_draining: bool) {
        self.switch.drain(is_draining);
    }

    /// The emergency switch, for the sources.
    pub(super) fn switch(&self) -> Arc<Switch> {
        Arc::clone(&self.switch)
    }

    /// Puts another graph in force: the named ways in and outputs replace or join those there are,
    /// and what the graph does not know is dropped, which closes its edge.
    pub(super) fn rewire(
        &self,
        graph: Graph,
        inlets: BTreeMap<ComponentId, Destination>,
        outlets: BTreeMap<OutputId, Arc<Routes>>,
    ) {
        let mut state = self.lock();
        state.relief = relief(&graph);
        state.passed_by = passed_by(&graph);
        state.taps.follow(&graph);
        state.graph = graph;
        state.inlets.extend(inlets);
        state.outlets.extend(outlets);
        let senders = state.outlets.keys().map(|output| &output.component);
        state.behind = state.plan(&self.sink_set, &self.metrics).behind(senders);
        let State { graph, inlets, outlets, .. } = &mut *state;
        inlets.retain(|id, _| graph.role(id).is_some());
        // An output that its successor has not keeps its last routes, until what it has is sent.
        outlets.retain(|output, _| graph.outputs(&output.component).contains(output));
        state.put_tables(&self.sink_set, &self.metrics);
        let shedding = state.note_shed(&self.metrics);
        drop(state);
        shedding.log();
    }

    /// Takes one way in out of force, for a component that must stop before its successor starts.
    pub(super) fn close_inlet(&self, id: &ComponentId) {
        let mut state = self.lock();
        state.inlets.remove(id);
        state.put_tables(&self.sink_set, &self.metrics);
    }

    /// Puts a tap in force.
    pub(super) fn tap(&self, place: TapPlace, tap: &Arc<Tap>) -> Result<(), TapRefusal> {
        let mut state = self.lock();
        let State { taps, graph, .. } = &mut *state;
        taps.add(graph, place, tap)?;
        state.put_tables(&self.sink_set, &self.metrics);
        Ok(())
    }

    /// Ends a tap.
    pub(super) fn untap(&self, tap: &Arc<Tap>) {
        let mut state = self.lock();
        state.taps.remove(tap);
        state.put_tables(&self.sink_set, &self.metrics);
    }

    /// How full each edge and each vault is now. An edge is not fuller than the emptiest of the other
    /// ways that its batches have: while one of them has room, a source sends there, and gives the vault
    /// what is for the full one, and Red would only stop the others too.
    pub fn kind(&self, readings: &mut Readings) {
        let state = self.lock();
        for (id, target) in &state.inlets {
            let (kind, permille) = match target {
                Destination::Edge(edge) => {
                    (PressureKind::Edge, state.pressure_of(id, edge.occupancy_permille()))
                }
                Destination::Direct(intake) => (PressureKind::Vault, intake.fill_permille()),
            };
            readings.push(kind, id.shared(), permille);
        }
    }

    /// What each component has to do that has a queue in front of it.
    pub(super) fn work_probes(&self, work_probes: &mut Vec<WorkSample>) {
        for (id, target) in &self.lock().inlets {
            let Destination::Edge(edge) = target else { continue };
            let work = Work { waiting: edge.used().0, done: edge.taken(), refused: 0 };
            let place = Arc::clone(id.shared());
            work_probes.push(WorkSample {
                place,
                waits: "batches wait in its queue",
                part: WorkKind::Inside,
                work,
            });
        }
    }

    /// What waits in front of each component.
    #[must_use]
    pub fn edges(&self) -> Vec<EdgeReport> {
        let state = self.lock();
        let report = |(id, target): (&ComponentId, &Destination)| {
            let Destination::Edge(edge) = target else { return None };
            let (batches, bytes) = edge.used();
            let occupancy_permille = edge.occupancy_permille();
            Some(EdgeReport { id: id.clone(), batches, bytes, occupancy_permille })
        };
        state.inlets.iter().filter_map(report).collect()
    }

    /// The sinks that batches of a component come to, one for each lane.
    #[must_use]
    pub fn sink_names(&self, component: &str) -> Vec<String> {
        self.sinks(component).into_iter().map(|(sink, _)| sink).collect()
    }

    /// The graph in force.
    #[must_use]
    pub fn graph(&self) -> Graph {
        self.lock().graph.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl TopologyView for Wiring {
    fn sinks(&self, component: &str) -> Vec<(String, SinkSet)> {
        let Ok(id) = component.parse() else { return Vec::new() };
        let state = self.lock();
        self.sinks_in(&state.graph, &id)
            .into_iter()
            .map(|(sink, lane)| (sink.to_string(), lane))
            .collect()
    }

    fn sink_set_of(&self, sinks: &[String]) -> SinkSet {
        let state = self.lock();
        let is_there = |sink: &&String| {
            sink.parse().is_ok_and(|id| matches!(state.graph.role(&id), Some(ComponentRole::Sink)))
        };
        let there = sinks.iter().filter(is_there);
        there.fold(SinkSet::NONE, |sink_set, sink| sink_set.or(self.sink_set.lane(sink)))
    }

    fn occupancy_permille(&self, component: &str, sink_set: SinkSet) -> u32 {
        let state = self.lock();
        let behind = state.behind.get(component).into_iter().flatten();
        let on_the_way = behind.filter(|(_, reach)| reach.meets(sink_set));
        let edges = on_the_way.filter_map(|(id, _)| state.inlets.get(id).and_then(edge_of));
        edges.map(EdgeSender::occupancy_permille).max().unwrap_or(0)
    }
}

/// Where else batches can go, for components where they can.
fn relief(graph: &Graph) -> BTreeMap<ComponentId, Vec<Vec<ComponentId>>> {
    let owned = |others: Vec<&ComponentId>| others.into_iter().cloned().collect();
    let of = |id: &ComponentId| graph.relief(id).into_iter().map(owned).collect::<Vec<_>>();
    let components = graph.components().map(|(id, _)| (id.clone(), of(id)));
    components.filter(|(_, others)| !others.is_empty()).collect()
}

/// Which sinks each component leads to that a source with a vault passes by when they are out.
fn passed_by(graph: &Graph) -> BTreeMap<ComponentId, Vec<Place>> {
    let place = |sink: &ComponentId| Arc::clone(sink.shared());
    let of = |id: &ComponentId, role: &ComponentRole| match role {
        ComponentRole::Sink => vec![place(id)],
        _ => graph.sinks(id).into_iter().map(place).collect(),
    };
    let backed = graph.components().filter(|(id, _)| graph.is_backed(id));
    let with_sinks = backed.map(|(id, role)| (id.clone(), of(id, role)));
    with_sinks.filter(|(_, sinks)| !sinks.is_empty()).collect()
}

const fn edge_of(target: &Destination) -> Option<&EdgeSender> {
    match target {
        Destination::Edge(edge) => Some(edge),
        Destination::Direct(_) => None,
    }
}
