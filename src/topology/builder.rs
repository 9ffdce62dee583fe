//! From configuration to pieces: components built, nothing spawned, nothing connected.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::wiring::Wiring;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::Context;
use crate::component::Listeners;
use crate::component::OnLoss;
use crate::component::Sink;
use crate::component::Source;
use crate::component::Transform;
use crate::component::Vaults;
use crate::config::Config;
use crate::event::Ledgers;
use crate::event::SinkTable;
use crate::flow::TopologyView;
use crate::metrics::Metrics;
use crate::pool::Memory;
use crate::somatic::Brake;
use crate::somatic::Gauges;
use crate::somatic::Governor;
use crate::somatic::ZoneWatch;

/// What components of one process share.
#[derive(Clone)]
pub struct SharedParts {
    /// Where records are accounted for.
    pub ledgers: &'static Ledgers,
    /// Which sink has which lane.
    pub sink_set: Arc<SinkTable>,
    /// Where figures are kept.
    pub metrics: Arc<Metrics>,
    /// The pressure zone.
    pub zone: ZoneWatch,
    /// Where components tell how they are.
    pub gauges: Arc<Gauges>,
    /// How much background work may be done.
    pub governor: Arc<Governor>,
    /// How long answers wait.
    pub brake: Arc<Brake>,
    /// The wiring between them.
    pub wiring: Arc<Wiring>,
    /// The open vaults.
    pub vaults: Arc<Vaults>,
    /// The open listening sockets.
    pub listeners: Arc<Listeners>,
    /// The memory that they may use.
    pub memory: Arc<Memory>,
    /// Counts how often files that are written are to be opened again.
    pub reopen: Arc<watch::Sender<u64>>,
}

impl SharedParts {
    /// What nothing is known of yet: no wiring, no open vault, no listener.
    #[must_use]
    pub fn new(zone: ZoneWatch, memory: Arc<Memory>, on_loss: OnLoss) -> Self {
        Self::with_metrics(zone, memory, on_loss, Metrics::new())
    }

    /// The same, with figures that others show too.
    #[must_use]
    pub fn with_metrics(
        zone: ZoneWatch,
        memory: Arc<Memory>,
        on_loss: OnLoss,
        metrics: Arc<Metrics>,
    ) -> Self {
        let wiring = Arc::new(Wiring::new(Arc::clone(&metrics)));
        Self {
            ledgers: Ledgers::leak(),
            sink_set: Arc::clone(wiring.sink_set()),
            metrics,
            zone,
            gauges: Arc::default(),
            governor: Arc::default(),
            brake: Arc::default(),
            wiring,
            vaults: Arc::new(Vaults::new(on_loss)),
            listeners: Arc::default(),
            memory,
            reopen: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Lets every sink that writes files open them again.
    pub fn reopen_files(&self) {
        self.reopen.send_modify(|count| *count += 1);
    }

    /// What one component is built with.
    #[must_use]
    pub fn context(&self, id: &ComponentId, data_dir: &Path) -> Context {
        Context {
            id: id.clone(),
            ledgers: self.ledgers,
            sink_set: Arc::clone(&self.sink_set),
            metrics: Arc::clone(&self.metrics),
            zone: self.zone.clone(),
            gauges: Arc::clone(&self.gauges),
            governor: Arc::clone(&self.governor),
            brake: Arc::clone(&self.brake),
            topology: Arc::clone(&self.wiring) as Arc<dyn TopologyView>,
            vaults: Arc::clone(&self.vaults),
            listeners: Arc::clone(&self.listeners),
            memory: Arc::clone(&self.memory),
            reopen: self.reopen.subscribe(),
            data_dir: data_dir.to_owned(),
        }
    }
}

/// A component could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{id}: {source}")]
pub struct PieceError {
    /// The component.
    pub id: ComponentId,
    /// Why.
    pub source: BuildError,
}

/// A configuration with all that is needed to build any component of it, again if it must be.
#[derive(Clone)]
pub struct Blueprint {
    /// The configuration.
    pub config: Arc<Config>,
    /// What components share.
    pub shared: SharedParts,
}

/// Built components that do not run yet.
#[derive(Default)]
pub struct BuiltComponents {
    pub(super) sources: BTreeMap<ComponentId, Box<dyn Source>>,
    pub(super) transforms: BTreeMap<ComponentId, Box<dyn Transform>>,
    pub(super) sinks: BTreeMap<ComponentId, Box<dyn Sink>>,
    /// Sinks whose output is not there yet: they are tried again while everything else runs.
    pub(super) late: BTreeSet<ComponentId>,
}

impl Blueprint {
    fn context(&self, id: &ComponentId) -> Context {
        self.shared.context(id, &self.config.data_dir)
    }

    fn missing(id: &ComponentId) -> BuildError {
        BuildError::Option(format!("{id} is not in the configuration"))
    }

    /// Builds one source.
    pub(super) async fn source(&self, id: &ComponentId) -> Result<Box<dyn Source>, BuildError> {
        let entry = self.config.sources.get(id).ok_or_else(|| Self::missing(id))?;
        entry.config.build(&self.context(id)).await
    }

    /// Builds one transform.
    pub(super) fn transform(&self, id: &ComponentId) -> Result<Box<dyn Transform>, BuildError> {
        let entry = self.config.transforms.get(id).ok_or_else(|| Self::missing(id))?;
        entry.config.build(&self.context(id))
    }

    /// Builds one sink.
    pub(super) async fn sink(&self, id: &ComponentId) -> Result<Box<dyn Sink>, BuildError> {
        let entry = self.config.sinks.get(id).ok_or_else(|| Self::missing(id))?;
        entry.config.build(&self.context(id)).await
    }

    /// Whether a component is a vault.
    pub(super) fn is_vault(&self, id: &ComponentId) -> bool {
        self.config.sinks.get(id).is_some_and(|sink| sink.config.is_vault())
    }

    /// Builds the named components: vaults first, because others read them, and sources last. A sink, but
    /// no vault, that cannot be built for a reason that may pass is tried again later.
    ///
    /// # Errors
    ///
    /// The first component that cannot be built; those built before it are dropped.
    pub async fn build(&self, wanted: &[ComponentId]) -> Result<BuiltComponents, PieceError> {
        let mut pieces = BuiltComponents::default();
        let at = |id: &ComponentId| {
            let id = id.clone();
            move |source| PieceError { id, source }
        };
        let (vaults, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|id| self.is_vault(id));
        for id in vaults.into_iter().chain(others.iter().copied()) {
            if self.config.sinks.contains_key(id) {
                match self.sink(id).await {
                    Ok(sink) => drop(pieces.sinks.insert(id.clone(), sink)),
                    Err(error) if error.may_pass() && !self.is_vault(id) => {
                        tracing::error!(
                            component = %id, %error,
                            "Sink is not ready; GopherShip retries."
                        );
                        pieces.late.insert(id.clone());
                    }
                    Err(error) => return Err(at(id)(error)),
                }
            }
        }
        for id in &others {
            if self.config.transforms.contains_key(*id) {
                pieces.transforms.insert((*id).clone(), self.transform(id).map_err(at(id))?);
            }
        }
        for id in &others {
            if self.config.sources.contains_key(*id) {
                pieces.sources.insert((*id).clone(), self.source(id).await.map_err(at(id))?);
            }
        }
        Ok(pieces)
    }
}
