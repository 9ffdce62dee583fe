//! Which taps there are on which components.

use std::sync::Arc;

use super::graph::ComponentRole;
use super::graph::Graph;
use crate::component::ComponentId;
use crate::flow::Tap;
use crate::flow::Taps;

/// The most taps at the same time.
pub const TAPS_MAX: usize = 8;

/// What a tap is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapPlace {
    /// What a source or transform sends on, or a sink takes.
    Component(ComponentId),
    /// What all sources send on, but for those that read a vault: what they send has been sent on before.
    Sources,
}

/// Why there is no tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapRefusal {
    /// There is no such component.
    Unknown,
    /// There are [`TAPS_MAX`] already.
    TooMany,
}

/// The taps in force.
#[derive(Debug, Default)]
pub(super) struct TapSet(Vec<(TapPlace, Arc<Tap>)>);

impl TapSet {
    /// Adds a tap.
    pub(super) fn add(
        &mut self,
        graph: &Graph,
        place: TapPlace,
        tap: &Arc<Tap>,
    ) -> Result<(), TapRefusal> {
        if !place.is_in(graph) {
            return Err(TapRefusal::Unknown);
        }
        if TAPS_MAX <= self.0.len() {
            return Err(TapRefusal::TooMany);
        }
        self.0.push((place, Arc::clone(tap)));
        Ok(())
    }

    /// Removes a tap.
    pub(super) fn remove(&mut self, tap: &Arc<Tap>) {
        self.0.retain(|(_, other)| !Arc::ptr_eq(tap, other));
    }

    /// Ends the taps on components that a graph does not have.
    pub(super) fn follow(&mut self, graph: &Graph) {
        for (_, tap) in self.0.extract_if(.., |(place, _)| !place.is_in(graph)) {
            tap.close();
        }
    }

    /// The taps on a component.
    pub(super) fn of(&self, graph: &Graph, id: &ComponentId) -> Taps {
        let is_here = |place: &TapPlace| match place {
            TapPlace::Component(wanted) => wanted == id,
            TapPlace::Sources => {
                matches!(graph.role(id), Some(ComponentRole::Source { is_replay: false, .. }))
            }
        };
        let here = self.0.iter().filter(|(place, _)| is_here(place));
        Taps::new(id.shared(), here.map(|(_, tap)| Arc::clone(tap)).collect())
    }

    /// The taps on a sink; none on another component, whose taps are at its output.
    pub(super) fn of_sink(&self, graph: &Graph, id: &ComponentId) -> Taps {
        match graph.role(id) {
            Some(ComponentRole::Sink) => self.of(graph, id),
            _ => Taps::default(),
        }
    }
}

impl TapPlace {
    fn is_in(&self, graph: &Graph) -> bool {
        match self {
            Self::Component(id) => graph.role(id).is_some(),
            Self::Sources => true,
        }
    }
}
