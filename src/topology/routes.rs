//! Graph and zone make a route table. Pure: it only puts together what it is given.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::graph::Role;
use crate::config::ComponentId;
use crate::flow::Pivot;
use crate::flow::RouteTable;
use crate::flow::Target;
use crate::somatic::Zone;

/// Returns where the batches of `id` go in `zone`; `inlets` are the ways into the components.
pub(super) fn table(
    graph: &Graph,
    zone: Zone,
    id: &ComponentId,
    inlets: &BTreeMap<ComponentId, Target>,
) -> RouteTable {
    let targets =
        graph.destinations(id, zone).into_iter().filter_map(|to| inlets.get(to).cloned()).collect();
    RouteTable { targets, pivot: pivot(graph, zone, id, inlets) }
}

fn pivot(
    graph: &Graph,
    zone: Zone,
    id: &ComponentId,
    inlets: &BTreeMap<ComponentId, Target>,
) -> Option<Pivot> {
    let Some(Role::Source { pivot: Some(vault), is_journaled }) = graph.role(id) else {
        return None;
    };
    match inlets.get(vault) {
        Some(Target::Direct(vault)) => {
            Some(Pivot { vault: vault.clone(), is_in_force: *is_journaled || zone == Zone::Red })
        }
        // The vault is not open: the pipeline is all there is.
        Some(Target::Edge(_)) | None => None,
    }
}
