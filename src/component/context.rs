//! What components are given when they are built.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::component::id::ComponentId;
use crate::component::listeners::Listeners;
use crate::component::vaults::Vaults;
use crate::der;
use crate::event::Ledgers;
use crate::event::SinkTable;
use crate::flow::TopologyView;
use crate::metrics::Metrics;
use crate::metrics::ShownCertificate;
use crate::pool::Memory;
use crate::somatic::Brake;
use crate::somatic::Gauges;
use crate::somatic::Governor;
use crate::somatic::ZoneWatch;

/// What every component is given.
#[derive(Clone)]
pub struct Context {
    /// The component's own id.
    pub id: ComponentId,
    /// Where records are accounted for.
    pub ledgers: &'static Ledgers,
    /// Which sink has which lane.
    pub sink_set: Arc<SinkTable>,
    /// Where figures are kept.
    pub metrics: Arc<Metrics>,
    /// The pressure zone.
    pub zone: ZoneWatch,
    /// Where it tells how it is, for the controller.
    pub gauges: Arc<Gauges>,
    /// How much background work may be done.
    pub governor: Arc<Governor>,
    /// How long answers wait.
    pub brake: Arc<Brake>,
    /// The pipeline behind it.
    pub topology: Arc<dyn TopologyView>,
    /// The vaults of this process.
    pub vaults: Arc<Vaults>,
    /// The listening sockets of this process.
    pub listeners: Arc<Listeners>,
    /// The memory that components may use.
    pub memory: Arc<Memory>,
    /// Changes when the operator wants files that are written to be opened again.
    pub reopen: watch::Receiver<u64>,
    /// Where components keep what they must not lose.
    pub data_dir: PathBuf,
}

impl Context {
    /// Shows in the metrics when the certificate expires that the component presents, until the result is dropped.
    /// Its file is `cert` among the files of a group of TLS options.
    #[must_use]
    pub fn show_certificate<'a>(
        &self,
        group: &str,
        mut files: impl Iterator<Item = (&'static str, &'a Path)>,
    ) -> Option<ShownCertificate> {
        let (option, path) = files.find(|(option, _)| *option == "cert")?;
        let expires = der::first_expiry(path)?;
        Some(self.metrics.certificate(self.id.as_str(), &format!("{group}.{option}"), expires))
    }
}
