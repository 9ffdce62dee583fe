//! One configuration replaces another while data flows.
//!
//! ```text
//!   diff -> build what is new -> rewire (one swap) -> start -> drain what is old, with a deadline
//! ```
//!
//! If anything cannot be built, nothing has changed. The one exception is a component that must let
//! go of a directory or file before its successor can have it (a vault with other options): it is
//! stopped first, and built again as it was if its successor fails.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::builder::PieceError;
use super::graph::Graph;
use super::running::ComponentOutcome;
use super::running::Running;
use super::running::RunningTopology;
use super::running::finish_all;
use crate::component::ComponentId;
use crate::component::Resource;
use crate::component::Site;
use crate::config::Config;
use crate::config::ConfigDiff;
use crate::config::SectionDiff;

/// The outcome per component; one that was replaced has two lines.
#[derive(Debug)]
pub struct ReloadReport {
    /// In the order in which they were settled.
    pub outcomes: Vec<(ComponentId, ComponentOutcome)>,
}

/// The reload failed; the configuration in force is the old one.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A component could not be built.
    #[error("cannot build {0}")]
    Piece(#[from] PieceError),
    /// A component was stopped for its successor, which failed, and could not be built again.
    #[error("cannot build {failed}; cannot restore the old component: {restore}")]
    Lost {
        /// Why the new one failed.
        failed: PieceError,
        /// Why the old one failed.
        restore: PieceError,
    },
}

struct Plan {
    /// Built before anything is touched.
    build_first: Vec<ComponentId>,
    /// Built when those in `end_first` have ended.
    build_late: Vec<ComponentId>,
    /// Must have ended before their successors are built.
    end_first: BTreeSet<ComponentId>,
    /// Removed, or replaced by a successor that already runs.
    end_last: BTreeSet<ComponentId>,
}

impl Plan {
    fn new(old: &Config, new: &Config) -> Self {
        let diff = ConfigDiff::between(old, new);
        let sections = [&diff.sources, &diff.transforms, &diff.sinks];
        let all_of = |set: fn(&SectionDiff) -> &BTreeSet<ComponentId>| -> BTreeSet<ComponentId> {
            sections.iter().flat_map(|section| set(section).iter().cloned()).collect()
        };
        let (added, removed) = (all_of(|it| &it.added), all_of(|it| &it.removed));
        let mut changed = all_of(|it| &it.changed);
        // A vault is closed before another of its name is opened, be it elsewhere: whoever reads it must
        // not go on with the old one.
        let reopened: BTreeSet<ComponentId> =
            changed.iter().filter(|id| is_vault(old, id) || is_vault(new, id)).cloned().collect();
        let reads = |config: &Config, id: &ComponentId| {
            let source = config.sources.get(id).and_then(|source| source.config.replays());
            source.is_some_and(|vault| reopened.contains(vault))
        };
        changed.extend(old.sources.keys().filter(|id| reads(old, id)).cloned());
        changed.retain(|id| has(new, id));

        let build: BTreeSet<ComponentId> = added.union(&changed).cloned().collect();
        let ends: BTreeSet<ComponentId> =
            removed.union(&changed).filter(|id| has(old, id)).cloned().collect();
        // Two writers of one file, or two readers of one cursor, would not know of each other.
        let wanted: Vec<Resource> = build.iter().flat_map(|id| storage(new, id)).collect();
        let has_wanted = |id: &ComponentId| storage(old, id).iter().any(|it| wanted.contains(it));
        let is_first =
            |id: &&ComponentId| reopened.contains(*id) || replays(old, id) || has_wanted(id);
        let end_first: BTreeSet<ComponentId> = ends.iter().filter(is_first).cloned().collect();
        let freed: Vec<Resource> = end_first.iter().flat_map(|id| storage(old, id)).collect();
        let waits = |id: &&ComponentId| {
            end_first.contains(*id)
                || replays(new, id)
                || storage(new, id).iter().any(|it| freed.contains(it))
        };
        let build_late: Vec<ComponentId> = build.iter().filter(waits).cloned().collect();
        let build_first = build.into_iter().filter(|id| !build_late.contains(id)).collect();
        let end_last = ends.into_iter().filter(|id| !end_first.contains(id)).collect();
        Self { build_first, build_late, end_first, end_last }
    }
}

fn has(config: &Config, id: &ComponentId) -> bool {
    config.sources.contains_key(id)
        || config.transforms.contains_key(id)
        || config.sinks.contains_key(id)
}

/// The directories and files that a sink writes to.
fn storage(config: &Config, id: &ComponentId) -> Vec<Resource> {
    let resources = config.sinks.get(id).map(|sink| sink.config.resources(&site(config, id)));
    let is_storage = |resource: &Resource| !matches!(resource, Resource::Tcp(_));
    resources.unwrap_or_default().into_iter().filter(is_storage).collect()
}

fn is_vault(config: &Config, id: &ComponentId) -> bool {
    config.sinks.get(id).is_some_and(|sink| sink.config.is_vault())
}

fn site<'a>(config: &'a Config, id: &'a ComponentId) -> Site<'a> {
    Site { id: id.as_str(), data_dir: &config.data_dir }
}

fn replays(config: &Config, id: &ComponentId) -> bool {
    config.sources.get(id).is_some_and(|source| source.config.replays().is_some())
}

impl RunningTopology {
    /// Puts another configuration in force. A first start is a reload from the empty one.
    ///
    /// Returns when the old components have ended, at the latest `grace` after they were asked to.
    ///
    /// # Errors
    ///
    /// [`ReloadError`] when a component cannot be built; the old configuration runs on.
    pub async fn reload(
        &mut self,
        config: Arc<Config>,
        grace: Duration,
    ) -> Result<ReloadReport, ReloadError> {
        let plan = Plan::new(&self.config, &config);
        let blueprint = self.blueprint(&config);
        let mut outcomes = Vec::new();

        // What is built draws on the new limits already.
        self.shared.memory.set_limits(&config.somatic.memory.limits());
        let first = blueprint.build(&plan.build_first).await;
        let first = first.inspect_err(|_| self.keep_limits())?;
        let mut connected = self.connect(&config, first);
        self.end(&plan.end_first, grace, &mut outcomes).await;
        let late = match blueprint.build(&plan.build_late).await {
            Ok(pieces) => {
                self.rename_sinks(&config);
                self.prepare_places(&config).await.map(|()| pieces)
            }
            Err(failed) => Err(failed),
        };
        match late {
            Ok(pieces) => connected.join(self.connect(&config, pieces)),
            Err(failed) => {
                // What was built lets go of its directories and files first.
                drop(connected);
                self.keep_limits();
                return Err(self.restore(&plan.end_first, failed).await);
            }
        }

        let ending = self.take(&plan.end_last);
        let kept = self.components.keys().cloned();
        outcomes.extend(kept.map(|id| (id, ComponentOutcome::Kept)));
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        self.shared.wiring.rewire(
            Graph::new(&config),
            connected.inlets.clone(),
            connected.outlets.clone(),
        );
        let started = plan.build_first.iter().chain(&plan.build_late).cloned();
        outcomes.extend(started.map(|id| (id, ComponentOutcome::Started)));
        self.start(&blueprint, connected);
        self.shared.listeners.retain(&sockets(&config));
        stop_sources(&old, &ending);
        finish_all(ending, Instant::now() + grace, &mut outcomes).await;
        self.settle_places().await;
        Ok(ReloadReport { outcomes })
    }

    /// Puts the limits of the configuration that runs on in force again.
    fn keep_limits(&self) {
        self.shared.memory.set_limits(&self.config.somatic.memory.limits());
    }

    fn take(&mut self, ids: &BTreeSet<ComponentId>) -> BTreeMap<ComponentId, Running> {
        ids.iter().filter_map(|id| self.components.remove_entry(id)).collect()
    }

    /// Ends components before their successors are built.
    async fn end(
        &mut self,
        ids: &BTreeSet<ComponentId>,
        grace: Duration,
        outcomes: &mut Vec<(ComponentId, ComponentOutcome)>,
    ) {
        let ending = self.take(ids);
        let deadline = Instant::now() + grace;
        let (sources, sinks): (BTreeMap<_, _>, BTreeMap<_, _>) =
            ending.into_iter().partition(|(id, _)| self.config.sources.contains_key(id));
        stop_sources(&self.config, &sources);
        finish_all(sources, deadline, outcomes).await;
        for id in sinks.keys() {
            self.shared.wiring.close_inlet(id);
        }
        finish_all(sinks, deadline, outcomes).await;
    }

    /// Builds components of the old configuration again, after a successor failed.
    async fn restore(&mut self, ids: &BTreeSet<ComponentId>, failed: PieceError) -> ReloadError {
        let config = Arc::clone(&self.config);
        let blueprint = self.blueprint(&config);
        let ids: Vec<ComponentId> = ids.iter().cloned().collect();
        match blueprint.build(&ids).await {
            Ok(pieces) => {
                // The sinks of this configuration have places already: nothing new is written.
                if let Err(error) = self.prepare_places(&config).await {
                    tracing::error!(%error, "Cannot save the cursor of a sink in its vault.");
                }
                let connected = self.connect(&config, pieces);
                self.shared.wiring.rewire(
                    Graph::new(&config),
                    connected.inlets.clone(),
                    connected.outlets.clone(),
                );
                self.start(&blueprint, connected);
                self.settle_places().await;
                ReloadError::Piece(failed)
            }
            Err(restore) => ReloadError::Lost { failed, restore },
        }
    }
}

fn stop_sources(config: &Config, components: &BTreeMap<ComponentId, Running>) {
    for (id, component) in components {
        if config.sources.contains_key(id) {
            component.stop();
        }
    }
}

/// The addresses that the sources of a configuration listen on.
fn sockets(config: &Config) -> Vec<SocketAddr> {
    let resources =
        config.sources.iter().flat_map(|(id, source)| source.config.resources(&site(config, id)));
    let address = |resource| match resource {
        Resource::Tcp(address) => Some(address),
        Resource::Directory(_) | Resource::File(_) => None,
    };
    resources.filter_map(address).collect()
}
