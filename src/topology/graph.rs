//! The graph: who sends to whom in which zone. Pure; made from a configuration that was validated.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::component::ComponentId;
use crate::component::OutputId;
use crate::config::Config;
use crate::somatic::Zone;

/// What a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentRole {
    /// Takes requests in.
    Source {
        /// The vault that takes over.
        pivot: Option<ComponentId>,
        /// Everything goes through the vault.
        is_journaled: bool,
        /// What it takes in is in a vault.
        is_replay: bool,
    },
    /// Changes them.
    Transform {
        /// Left out from this zone on.
        shed_in: Option<Zone>,
        /// Its outputs, if it has several.
        ports: Vec<Arc<str>>,
    },
    /// Hands them on.
    Sink,
}

/// The components and their connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    roles: BTreeMap<ComponentId, ComponentRole>,
    /// Who reads which output: to consumers, in the order of their ids.
    consumers: BTreeMap<OutputId, Vec<ComponentId>>,
}

impl Graph {
    /// Makes the graph of a validated configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut graph = Self::default();
        for (id, source) in &config.sources {
            let pivot = source.config.pivot().and_then(|vault| vault.parse().ok());
            let is_journaled = source.config.is_journaled();
            let is_replay = source.config.replays().is_some();
            graph
                .roles
                .insert(id.clone(), ComponentRole::Source { pivot, is_journaled, is_replay });
        }
        for (id, transform) in &config.transforms {
            let ports = transform.config.ports();
            let role = ComponentRole::Transform { shed_in: transform.shed_in, ports };
            graph.add(id, role, &transform.inputs);
        }
        for (id, sink) in &config.sinks {
            graph.add(id, ComponentRole::Sink, &sink.inputs);
        }
        graph
    }

    fn add(&mut self, id: &ComponentId, role: ComponentRole, inputs: &[OutputId]) {
        self.roles.insert(id.clone(), role);
        for input in inputs {
            self.consumers.entry(input.clone()).or_default().push(id.clone());
        }
    }

    /// Every component with its role.
    pub fn components(&self) -> impl Iterator<Item = (&ComponentId, &ComponentRole)> {
        self.roles.iter()
    }

    /// The outputs of a component.
    #[must_use]
    pub fn outputs(&self, id: &ComponentId) -> Vec<OutputId> {
        match self.roles.get(id) {
            None | Some(ComponentRole::Sink) => Vec::new(),
            Some(ComponentRole::Transform { ports, .. }) if !ports.is_empty() => {
                let output = |port: &Arc<str>| OutputId {
                    component: id.clone(),
                    port: Some(Arc::clone(port)),
                };
                ports.iter().map(output).collect()
            }
            Some(_) => vec![OutputId::from(id.clone())],
        }
    }

    /// Who reads an output, as written in the configuration.
    #[must_use]
    pub fn readers(&self, output: &OutputId) -> &[ComponentId] {
        self.consumers.get(output).map_or(&[], Vec::as_slice)
    }

    /// Who reads any output of a component; who reads several stands there as often.
    fn readers_of(&self, id: &ComponentId) -> impl Iterator<Item = &ComponentId> {
        let outputs = self.consumers.range(OutputId::from(id.clone())..);
        let id = id.clone();
        outputs.take_while(move |(output, _)| output.component == id).flat_map(|(_, ids)| ids)
    }

    /// The role of a component.
    #[must_use]
    pub fn role(&self, id: &ComponentId) -> Option<&ComponentRole> {
        self.roles.get(id)
    }

    /// The sinks that a component's batches come to, in any zone.
    #[must_use]
    pub fn sinks(&self, id: &ComponentId) -> BTreeSet<&ComponentId> {
        let is_sink = |id: &&ComponentId| matches!(self.roles.get(*id), Some(ComponentRole::Sink));
        self.behind(id).into_iter().filter(is_sink).collect()
    }

    /// All components that a component's batches come to, in any zone.
    #[must_use]
    pub fn behind(&self, id: &ComponentId) -> BTreeSet<&ComponentId> {
        let mut found: BTreeSet<&ComponentId> = BTreeSet::new();
        for reader in self.readers_of(id) {
            if found.insert(reader) {
                found.extend(self.behind(reader));
            }
        }
        found
    }

    /// How many ways lead from a component to a sink in a zone.
    #[must_use]
    pub fn routes(&self, id: &ComponentId, sink: &ComponentId, zone: Zone) -> usize {
        let routes = |to: &ComponentId| usize::from(to == sink) + self.routes(to, sink, zone);
        let of_output = |output: &OutputId| -> usize {
            self.destinations(output, zone).into_iter().map(routes).sum()
        };
        self.outputs(id).iter().map(of_output).sum()
    }

    /// Where else batches can go that come to a component: for each source before it that has a vault,
    /// those of its readers that do not lead there, and so at each transform on the way. Nothing if for
    /// one of them there is nobody else.
    #[must_use]
    pub fn relief(&self, id: &ComponentId) -> Vec<Vec<&ComponentId>> {
        let has_vault =
            |role: &ComponentRole| matches!(role, ComponentRole::Source { pivot: Some(_), .. });
        let sources = self.roles.iter().filter(|(_, role)| has_vault(role)).map(|(id, _)| id);
        let others = sources.filter(|source| self.leads_to(source, id)).map(|source| {
            let mut found = Vec::new();
            self.collect_others(source, id, &mut found);
            found
        });
        let others: Vec<Vec<&ComponentId>> = others.collect();
        if others.iter().any(Vec::is_empty) { Vec::new() } else { others }
    }

    fn collect_others<'a>(
        &'a self,
        from: &ComponentId,
        id: &ComponentId,
        found: &mut Vec<&'a ComponentId>,
    ) {
        let outputs = self.outputs(from);
        let is_source = matches!(self.roles.get(from), Some(ComponentRole::Source { .. }));
        let passes_by = is_source || self.is_backed(from);
        for output in &outputs {
            for reader in self.readers(output).iter().filter(|reader| *reader != id) {
                if self.leads_to(reader, id) {
                    self.collect_others(reader, id, found);
                } else if passes_by && !found.contains(&reader) {
                    found.push(reader);
                }
            }
        }
    }

    /// Whether batches of a component come to another one, or are there already.
    fn leads_to(&self, from: &ComponentId, id: &ComponentId) -> bool {
        from == id || self.routes(from, id, Zone::Green) != 0
    }

    /// Whether all that comes to a component can go to a vault instead, or is in one: that is so of
    /// every source before it.
    #[must_use]
    pub fn is_backed(&self, id: &ComponentId) -> bool {
        self.backing(id).is_some()
    }

    /// The vaults that all that comes to a component can go to instead; none if one of the sources before
    /// it has none.
    #[must_use]
    pub fn backing(&self, id: &ComponentId) -> Option<BTreeSet<&ComponentId>> {
        let before = self.roles.iter().filter(|(from, _)| self.leads_to(from, id));
        let vaults = before.filter_map(|(_, role)| match role {
            ComponentRole::Source { is_replay: true, .. }
            | ComponentRole::Transform { .. }
            | ComponentRole::Sink => None,
            ComponentRole::Source { pivot, .. } => Some(pivot.as_ref()),
        });
        vaults.collect()
    }

    /// Who gets the batches of an output in a zone: a transform that is left out in that zone is
    /// replaced by those who read it.
    #[must_use]
    pub fn destinations(&self, output: &OutputId, zone: Zone) -> Vec<&ComponentId> {
        let mut found = Vec::new();
        self.collect(output, zone, &mut found);
        found
    }

    fn collect<'a>(&'a self, output: &OutputId, zone: Zone, found: &mut Vec<&'a ComponentId>) {
        for reader in self.readers(output) {
            if self.is_shed(reader, zone) {
                self.collect(&OutputId::from(reader.clone()), zone, found);
            } else if !found.contains(&reader) {
                found.push(reader);
            }
        }
    }

    fn is_shed(&self, id: &ComponentId, zone: Zone) -> bool {
        let role = self.roles.get(id);
        matches!(role, Some(ComponentRole::Transform { shed_in: Some(from), .. }) if *from <= zone)
    }

    /// All transforms that are left out in a zone.
    pub fn shed(&self, zone: Zone) -> impl Iterator<Item = &ComponentId> {
        self.roles.keys().filter(move |id| self.is_shed(id, zone))
    }

    /// The transforms that the batches of an output pass by in a zone.
    #[must_use]
    pub fn passed_by(&self, output: &OutputId, zone: Zone) -> BTreeSet<&ComponentId> {
        let mut found = BTreeSet::new();
        for reader in self.readers(output).iter().filter(|reader| self.is_shed(reader, zone)) {
            found.insert(reader);
            found.extend(self.passed_by(&OutputId::from(reader.clone()), zone));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEDDING: &str = "
sources:
  in: { type: demo }
transforms:
  a: { type: enrich, inputs: [in], record: { x: y }, shed_in: yellow }
  b: { type: enrich, inputs: [a], record: { x: y }, shed_in: red }
sinks:
  one: { type: blackhole, inputs: [b] }
  two: { type: blackhole, inputs: [a, b] }
";

    fn destinations(id: &str, zone: Zone) -> Vec<String> {
        let config = crate::config::load_text("test", SHEDDING, &|_| None).unwrap();
        let graph = Graph::new(&config);
        graph
            .destinations(&id.parse::<ComponentId>().unwrap().into(), zone)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_comes_to_one_of_two_sinks_can_go_to_the_other() {
        let yaml = "
sources:
  two: { type: demo, pivot: vault }
  one: { type: demo, pivot: vault }
transforms:
  t: { type: filter, inputs: [two], drop: [{ signal: logs }] }
sinks:
  a: { type: blackhole, inputs: [t] }
  b: { type: blackhole, inputs: [two] }
  c: { type: blackhole, inputs: [two, one] }
  vault: { type: raw_vault, replay: off }
";
        let config = crate::config::load_text("test", yaml, &|_| None).unwrap();
        let graph = Graph::new(&config);
        let relief = |id: &str| {
            let id: ComponentId = id.parse().unwrap();
            let names =
                |routes: &Vec<&ComponentId>| routes.iter().map(ToString::to_string).collect();
            graph.relief(&id).iter().map(names).collect::<Vec<Vec<String>>>()
        };
        assert_eq!(relief("a"), [["b", "c"]]);
        assert_eq!(relief("t"), [["b", "c"]]);
        assert_eq!(relief("b"), [["t", "c"]]);
        assert!(relief("c").is_empty(), "what the source `one` sends can go nowhere else");
    }

    #[test]
    fn transforms_are_left_out_from_their_zone_on_and_nobody_is_sent_to_twice() {
        assert_eq!(destinations("in", Zone::Green), ["a"]);
        assert_eq!(destinations("a", Zone::Green), ["b", "two"]);
        assert_eq!(destinations("in", Zone::Yellow), ["b", "two"]);
        assert_eq!(destinations("in", Zone::Red), ["one", "two"]);
    }

    #[test]
    fn what_is_left_out_behind_what_is_left_out_is_passed_by_too() {
        let config = crate::config::load_text("test", SHEDDING, &|_| None).unwrap();
        let graph = Graph::new(&config);
        let passed_by = |id: &str, zone| -> Vec<String> {
            let output = OutputId::from(id.parse::<ComponentId>().unwrap());
            graph.passed_by(&output, zone).into_iter().map(ToString::to_string).collect()
        };
        assert!(passed_by("in", Zone::Green).is_empty());
        assert_eq!(passed_by("in", Zone::Yellow), ["a"]);
        assert_eq!(passed_by("in", Zone::Red), ["a", "b"]);
        assert_eq!(passed_by("a", Zone::Red), ["b"]);
    }

    const ROUTED: &str = "
sources:
  in: { type: demo, pivot: vault }
transforms:
  r:
    type: route
    inputs: [in]
    routes: [{ name: x, when: { signal: logs } }, { name: y, when: { signal: traces } }]
  t: { type: enrich, inputs: [r.y], shed_in: yellow }
sinks:
  a: { type: blackhole, inputs: [r.x] }
  b: { type: blackhole, inputs: [t, r.x, r.unmatched] }
  vault: { type: raw_vault, replay: off }
";

    #[test]
    fn of_several_outputs_each_has_its_readers() {
        let config = crate::config::load_text("test", ROUTED, &|_| None).unwrap();
        let graph = Graph::new(&config);
        let id = |name: &str| name.parse::<ComponentId>().unwrap();
        let outputs = graph.outputs(&id("r"));
        let names: Vec<String> = outputs.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["r.x", "r.y", "r.unmatched"]);
        let readers = |zone| -> Vec<String> {
            let names =
                |output| graph.destinations(output, zone).into_iter().map(ToString::to_string);
            outputs.iter().map(|output| names(output).collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(readers(Zone::Green), ["a b", "t", "b"]);
        assert_eq!(readers(Zone::Yellow), ["a b", "b", "b"]);
        assert_eq!(graph.behind(&id("in")).len(), 4, "r, t, a and b");
        assert_eq!(graph.routes(&id("in"), &id("a"), Zone::Green), 1);
        assert_eq!(graph.routes(&id("in"), &id("b"), Zone::Green), 3);
    }

    #[test]
    fn what_is_behind_other_outputs_is_a_relief_only_if_a_vault_stands_by() {
        let relief = |yaml: &str, id: &str| -> Vec<String> {
            let config = crate::config::load_text("test", yaml, &|_| None).unwrap();
            let graph = Graph::new(&config);
            let found = graph.relief(&id.parse().unwrap());
            found.iter().flatten().map(ToString::to_string).collect()
        };
        assert_eq!(relief(ROUTED, "a"), ["b", "t"]);
        assert!(relief(ROUTED, "r").is_empty(), "everything goes through it");
        let without = ROUTED
            .replace("  vault: { type: raw_vault, replay: off }", "")
            .replace(", pivot: vault", "");
        assert!(relief(&without, "a").is_empty());
        let both = ROUTED.replace("inputs: [in]", "inputs: [in, other]");
        let both = both.replace("transforms:", "  other: { type: demo, pivot: off }\ntransforms:");
        assert!(relief(&both, "a").is_empty(), "what `other` sends would have to wait");
    }
}
