//! The graph: who sends to whom in which zone. Pure; made from a configuration that was validated.

use std::collections::BTreeMap;

use crate::config::ComponentId;
use crate::config::Config;
use crate::somatic::Zone;

/// What a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes requests in.
    Source {
        /// The vault that takes over.
        pivot: Option<ComponentId>,
        /// Everything goes through the vault.
        is_journaled: bool,
    },
    /// Changes them.
    Transform {
        /// Left out from this zone on.
        shed_in: Option<Zone>,
    },
    /// Hands them on.
    Sink,
}

/// The components and their connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    roles: BTreeMap<ComponentId, Role>,
    /// Who reads whom: producer to consumers, in the order of their ids.
    consumers: BTreeMap<ComponentId, Vec<ComponentId>>,
}

impl Graph {
    /// Makes the graph of a validated configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut graph = Self::default();
        for (id, source) in &config.sources {
            let pivot = source.config.pivot().and_then(|vault| vault.parse().ok());
            let is_journaled = source.config.is_journaled();
            graph.roles.insert(id.clone(), Role::Source { pivot, is_journaled });
        }
        for (id, transform) in &config.transforms {
            graph.add(id, Role::Transform { shed_in: transform.shed_in }, &transform.inputs);
        }
        for (id, sink) in &config.sinks {
            graph.add(id, Role::Sink, &sink.inputs);
        }
        graph
    }

    fn add(&mut self, id: &ComponentId, role: Role, inputs: &[ComponentId]) {
        self.roles.insert(id.clone(), role);
        for input in inputs {
            self.consumers.entry(input.clone()).or_default().push(id.clone());
        }
    }

    /// Every component with its role.
    pub fn components(&self) -> impl Iterator<Item = (&ComponentId, &Role)> {
        self.roles.iter()
    }

    /// Who reads a component, as written in the configuration.
    #[must_use]
    pub fn readers(&self, id: &ComponentId) -> &[ComponentId] {
        self.consumers.get(id).map_or(&[], Vec::as_slice)
    }

    /// The role of a component.
    #[must_use]
    pub fn role(&self, id: &ComponentId) -> Option<&Role> {
        self.roles.get(id)
    }

    /// Who gets a component's batches in a zone: a transform that is left out in that zone is
    /// replaced by those who read it.
    #[must_use]
    pub fn destinations(&self, id: &ComponentId, zone: Zone) -> Vec<&ComponentId> {
        let mut found = Vec::new();
        self.collect(id, zone, &mut found);
        found
    }

    fn collect<'a>(&'a self, id: &ComponentId, zone: Zone, found: &mut Vec<&'a ComponentId>) {
        for reader in self.readers(id) {
            match self.roles.get(reader) {
                Some(Role::Transform { shed_in: Some(from) }) if zone >= *from => {
                    self.collect(reader, zone, found);
                }
                _ if !found.contains(&reader) => found.push(reader),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(id: &str, zone: Zone) -> Vec<String> {
        let yaml = "
sources:
  in: { type: demo }
transforms:
  a: { type: filter, inputs: [in], drop: [{ signal: logs }], shed_in: yellow }
  b: { type: filter, inputs: [a], drop: [{ signal: logs }], shed_in: red }
sinks:
  one: { type: blackhole, inputs: [b] }
  two: { type: blackhole, inputs: [a, b] }
";
        let config = crate::config::load_text("test", yaml, &|_| None).unwrap();
        let graph = Graph::new(&config);
        graph.destinations(&id.parse().unwrap(), zone).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn transforms_are_left_out_from_their_zone_on_and_nobody_is_sent_to_twice() {
        assert_eq!(destinations("in", Zone::Green), ["a"]);
        assert_eq!(destinations("a", Zone::Green), ["b", "two"]);
        assert_eq!(destinations("in", Zone::Yellow), ["b", "two"]);
        assert_eq!(destinations("in", Zone::Red), ["one", "two"]);
    }
}
