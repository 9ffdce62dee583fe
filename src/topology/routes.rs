//! Graph, zone and what is out make a route table. Pure: it only puts together what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::IntCounter;

use super::graph::ComponentRole;
use super::graph::Graph;
use super::taps::TapSet;
use crate::component::ComponentId;
use crate::component::OutputId;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::flow::Destination;
use crate::flow::Intake;
use crate::flow::Pivot;
use crate::flow::Route;
use crate::flow::RouteTable;
use crate::flow::TappedIntake;
use crate::metrics::Metrics;
use crate::somatic::Place;
use crate::somatic::Zone;

/// What a table is made of.
#[derive(Clone, Copy)]
pub(super) struct RoutePlan<'a> {
    pub(super) graph: &'a Graph,
    pub(super) zone: Zone,
    /// Sinks whose backends are out.
    pub(super) out: &'a [Place],
    /// The ways into the components.
    pub(super) inlets: &'a BTreeMap<ComponentId, Destination>,
    pub(super) taps: &'a TapSet,
    pub(super) sink_set: &'a SinkTable,
    pub(super) metrics: &'a Metrics,
}

impl RoutePlan<'_> {
    /// Returns where the batches of an output go.
    pub(super) fn table(&self, output: &OutputId) -> RouteTable {
        let id = &output.component;
        let destinations = self.graph.destinations(output, self.zone);
        let route = |to: &ComponentId| {
            let target = self.inlets.get(to)?;
            let taps = self.taps.of_sink(self.graph, to);
            Some(match target {
                Destination::Edge(_) => {
                    Route { target: target.clone(), reach: self.reach(to), taps }
                }
                Destination::Direct(vault) => {
                    let target = Destination::Direct(self.tapped(to, vault));
                    Route { reach: self.reach(to), ..Route::from(target) }
                }
            })
        };
        let routes: Vec<Route> = destinations.into_iter().filter_map(route).collect();
        let readers = self.graph.readers(output).iter();
        let behind =
            readers.fold(SinkSet::NONE, |sink_set, reader| sink_set.or(self.reach(reader)));
        RouteTable {
            multipath: self.multipath(id),
            pivot: self.pivot(id),
            behind,
            closed: routes.iter().fold(behind, |closed, route| closed.without(route.reach)),
            is_backed: self.graph.is_backed(id),
            shed: self.shed(output),
            backing: self.backing(id),
            taps: self.taps.of(self.graph, id),
            routes,
        }
    }

    /// The transforms that are left out behind an output.
    fn shed(&self, output: &OutputId) -> Vec<(SinkSet, IntCounter)> {
        let shed = self.graph.passed_by(output, self.zone).into_iter();
        shed.map(|id| (self.reach(id), self.metrics.shed_records(id.as_str()))).collect()
    }

    /// Whom the batches come to that are put in front of a component.
    pub(super) fn reach(&self, id: &ComponentId) -> SinkSet {
        match self.graph.role(id) {
            Some(ComponentRole::Sink) => self.sink_set.lane(id.as_str()),
            _ => self.sink_set_of(self.graph.sinks(id).into_iter()),
        }
    }

    /// All that is behind some components, and whom it leads to.
    pub(super) fn behind<'a>(
        &self,
        ids: impl Iterator<Item = &'a ComponentId>,
    ) -> BTreeMap<ComponentId, Vec<(ComponentId, SinkSet)>> {
        let with_reach = |id: &ComponentId| (id.clone(), self.reach(id));
        let of = |id: &ComponentId| self.graph.behind(id).into_iter().map(with_reach).collect();
        ids.map(|id| (id.clone(), of(id))).collect()
    }

    fn sink_set_of<'a>(&self, sinks: impl Iterator<Item = &'a ComponentId>) -> SinkSet {
        sinks.fold(SinkSet::NONE, |sink_set, sink| sink_set.or(self.sink_set.lane(sink.as_str())))
    }

    /// The sinks behind a component that more than one way leads to, and those without a lane of their
    /// own.
    fn multipath(&self, id: &ComponentId) -> SinkSet {
        let sinks = self.graph.sinks(id);
        let is_multipath = |sink: &&ComponentId| 1 < self.graph.routes(id, sink, self.zone);
        self.sink_set_of(sinks.into_iter().filter(is_multipath)).or(SinkSet::SHARED)
    }

    /// The vaults of the sources before a component; none unless each of them has one that is open.
    fn backing(&self, id: &ComponentId) -> Vec<Arc<dyn Intake>> {
        let open = |vault: &ComponentId| match self.inlets.get(vault) {
            Some(Destination::Direct(vault)) => Some(Arc::clone(vault)),
            Some(Destination::Edge(_)) | None => None,
        };
        let vaults = self.graph.backing(id);
        vaults.and_then(|vaults| vaults.into_iter().map(open).collect()).unwrap_or_default()
    }

    fn pivot(&self, id: &ComponentId) -> Option<Pivot> {
        let Some(ComponentRole::Source { pivot: Some(vault_id), is_journaled, .. }) =
            self.graph.role(id)
        else {
            return None;
        };
        match self.inlets.get(vault_id) {
            Some(Destination::Direct(vault)) => {
                let sinks = self.graph.sinks(id);
                let (out, there): (Vec<_>, Vec<_>) =
                    sinks.into_iter().partition(|sink| self.is_out(sink));
                let takes_all = *is_journaled || there.is_empty() && !out.is_empty();
                let out = self.sink_set_of(out.into_iter());
                Some(Pivot { vault: self.tapped(vault_id, vault), takes_all, out })
            }
            // The vault is not open: the pipeline is all there is.
            Some(Destination::Edge(_)) | None => None,
        }
    }

    /// A vault, behind its taps if it has some.
    fn tapped(&self, id: &ComponentId, vault: &Arc<dyn Intake>) -> Arc<dyn Intake> {
        let (taps, intake) = (self.taps.of_sink(self.graph, id), Arc::clone(vault));
        if taps.is_empty() { intake } else { Arc::new(TappedIntake { intake, taps }) }
    }

    /// Whether what is for a sink should not wait for it: its backend is out, or it is being replaced.
    fn is_out(&self, sink: &ComponentId) -> bool {
        self.out.contains(sink.shared()) || !self.inlets.contains_key(sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Batch;
    use crate::flow::EdgeLimits;
    use crate::flow::Full;
    use crate::flow::edge::edge;

    struct Vault;

    impl Intake for Vault {
        fn try_take(&self, batch: Batch) -> Result<(), Full> {
            Err(Full(batch))
        }

        fn fill_permille(&self) -> u32 {
            0
        }

        fn retry_after(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        fn has_room(&self) -> bool {
            false
        }
    }

    const YAML: &str = "
sources:
  both: { type: otlp, pivot: vault }
  one: { type: otlp, grpc: { listen: 127.0.0.1:1 }, http: { listen: 127.0.0.1:2 }, pivot: vault }
transforms:
  between: { type: enrich, inputs: [both] }
sinks:
  a: { type: otlp, endpoint: 'http://a:1', inputs: [between, one, both] }
  b: { type: otlp, endpoint: 'http://b:1', inputs: [between] }
  c: { type: otlp, endpoint: 'http://c:1', inputs: [both] }
  vault: { type: raw_vault, replay: off }
";

    /// The table of a source while some sinks are out and some have no way in.
    fn table(id: &str, out: &[&str], missing: &[&str], sink_set: &SinkTable) -> RouteTable {
        let config = crate::config::load_text("test", YAML, &|_| None).unwrap();
        let graph = Graph::new(&config);
        let mut inlets: BTreeMap<ComponentId, Destination> = BTreeMap::new();
        for id in ["between", "a", "b", "c"] {
            let (sender, _receiver) = edge(EdgeLimits { batches: 1, bytes: 1 });
            inlets.insert(id.parse().unwrap(), Destination::Edge(sender));
        }
        inlets.insert("vault".parse().unwrap(), Destination::Direct(Arc::new(Vault)));
        inlets.retain(|id, _| !missing.contains(&id.as_str()));
        let out: Vec<Place> = out.iter().map(|sink| Place::from(*sink)).collect();
        let (zone, metrics) = (Zone::Green, Metrics::new());
        let plan = RoutePlan {
            graph: &graph,
            zone,
            out: &out,
            inlets: &inlets,
            taps: &TapSet::default(),
            sink_set,
            metrics: &metrics,
        };
        let id: ComponentId = id.parse().unwrap();
        plan.table(&id.into())
    }

    #[test]
    fn only_when_every_sink_of_a_source_is_out_its_vault_takes_all() {
        let sink_set = SinkTable::default();
        let (a, b, c) = (sink_set.lane("a"), sink_set.lane("b"), sink_set.lane("c"));
        let pivot = |id, out: &[&str], missing: &[&str]| {
            let pivot = table(id, out, missing, &sink_set).pivot.unwrap();
            (pivot.takes_all, pivot.out)
        };
        assert_eq!(pivot("both", &[], &[]), (false, SinkSet::NONE));
        assert_eq!(pivot("one", &["b"], &[]), (false, SinkSet::NONE), "it does not send to b");
        assert_eq!(pivot("both", &["a"], &[]), (false, a));
        assert_eq!(pivot("both", &["a"], &["c"]), (false, a.or(c)), "c is being replaced");
        assert_eq!(pivot("both", &["a", "b", "c"], &[]), (true, a.or(b).or(c)));
        assert_eq!(pivot("one", &["a"], &[]), (true, a));
        assert!(table("a", &["a"], &[], &sink_set).routes.is_empty(), "a sink sends nothing");
    }

    #[test]
    fn routes_know_their_sinks_and_what_has_two_routes_is_multipath() {
        let sink_set = SinkTable::default();
        let (a, b, c) = (sink_set.lane("a"), sink_set.lane("b"), sink_set.lane("c"));
        let table = table("both", &[], &[], &sink_set);
        let reach: Vec<SinkSet> = table.routes.iter().map(|route| route.reach).collect();
        assert_eq!(reach, [a.or(b), a, c], "between, a, c");
        assert_eq!(table.multipath, a.or(SinkSet::SHARED));
    }

    #[test]
    fn a_sink_that_is_being_replaced_is_behind_a_transform_and_has_no_way() {
        let sink_set = SinkTable::default();
        let (a, b) = (sink_set.lane("a"), sink_set.lane("b"));
        let of = |missing: &[&str]| {
            let table = table("between", &[], missing, &sink_set);
            (table.behind, table.closed, table.is_backed)
        };
        assert_eq!(of(&[]), (a.or(b), SinkSet::NONE, true));
        assert_eq!(of(&["b"]), (a.or(b), b, true));
        assert_eq!(of(&["a", "b"]), (a.or(b), a.or(b), true));
    }

    #[test]
    fn a_transform_has_the_vaults_of_its_sources_behind_it_while_they_are_open() {
        let sink_set = SinkTable::default();
        assert_eq!(table("between", &[], &[], &sink_set).backing.len(), 1);
        assert!(table("between", &[], &["vault"], &sink_set).backing.is_empty());
    }
}
