//! From configuration to pieces: components built, nothing spawned, nothing connected.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::wiring::Wiring;
use crate::config::ComponentId;
use crate::config::Config;
use crate::config::running::BuildError;
use crate::config::running::Context;
use crate::config::running::Listeners;
use crate::config::running::OnLoss;
use crate::config::running::Sink;
use crate::config::running::Source;
use crate::config::running::Transform;
use crate::config::running::Vaults;
use crate::event::LaneTable;
use crate::event::Ledgers;
use crate::flow::Outlook;
use crate::metrics::Metrics;
use crate::pool::Memory;
use crate::somatic::Brake;
use crate::somatic::Governor;
use crate::somatic::Vitals;
use crate::somatic::ZoneWatch;

/// What components of one process share.
#[derive(Clone)]
pub struct Shared {
    /// Where records are accounted for.
    pub ledgers: &'static Ledgers,
    /// Which sink has which lane.
    pub lanes: Arc<LaneTable>,
    /// Where figures are kept.
    pub metrics: Arc<Metrics>,
    /// The pressure zone.
    pub zone: ZoneWatch,
    /// Where components tell how they are.
    pub vitals: Arc<Vitals>,
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
}

impl Shared {
    /// What nothing is known of yet: no wiring, no open vault, no listener.
    #[must_use]
    pub fn new(zone: ZoneWatch, memory: Arc<Memory>, on_loss: OnLoss) -> Self {
        let wiring = Arc::new(Wiring::default());
        Self {
            ledgers: Ledgers::leak(),
            lanes: Arc::clone(wiring.lanes()),
            metrics: Metrics::new(),
            zone,
            vitals: Arc::default(),
            governor: Arc::default(),
            brake: Arc::default(),
            wiring,
            vaults: Arc::new(Vaults::new(on_loss)),
            listeners: Arc::default(),
            memory,
        }
    }

    /// What one component is built with.
    #[must_use]
    pub fn context(&self, id: &ComponentId, data_dir: &Path) -> Context {
        Context {
            id: id.clone(),
            ledgers: self.ledgers,
            lanes: Arc::clone(&self.lanes),
            metrics: Arc::clone(&self.metrics),
            zone: self.zone.clone(),
            vitals: Arc::clone(&self.vitals),
            governor: Arc::clone(&self.governor),
            brake: Arc::clone(&self.brake),
            outlook: Arc::clone(&self.wiring) as Arc<dyn Outlook>,
            vaults: Arc::clone(&self.vaults),
            listeners: Arc::clone(&self.listeners),
            memory: Arc::clone(&self.memory),
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
    pub shared: Shared,
}

/// Built components that do not run yet.
#[derive(Default)]
pub struct Pieces {
    pub(super) sources: BTreeMap<ComponentId, Box<dyn Source>>,
    pub(super) transforms: BTreeMap<ComponentId, Box<dyn Transform>>,
    pub(super) sinks: BTreeMap<ComponentId, Box<dyn Sink>>,
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

    /// Builds the named components: vaults first, because others read them, and sources last.
    ///
    /// # Errors
    ///
    /// The first component that cannot be built; those built before it are dropped.
    pub async fn build(&self, wanted: &[ComponentId]) -> Result<Pieces, PieceError> {
        let mut pieces = Pieces::default();
        let at = |id: &ComponentId| {
            let id = id.clone();
            move |source| PieceError { id, source }
        };
        let (vaults, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|id| self.is_vault(id));
        for id in vaults.into_iter().chain(others.iter().copied()) {
            if self.config.sinks.contains_key(id) {
                pieces.sinks.insert(id.clone(), self.sink(id).await.map_err(at(id))?);
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
