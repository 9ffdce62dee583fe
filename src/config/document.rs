//! The configuration of a pipeline, decoded and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::component::SinkConfig;
use crate::config::component::SourceConfig;
use crate::config::component::TransformConfig;
use crate::config::id::ComponentId;
use crate::config::settings::BufferConfig;
use crate::config::settings::ControlConfig;
use crate::config::settings::MetricsConfig;
use crate::config::settings::Settings;
use crate::config::settings::ShutdownConfig;
use crate::config::somatic::SomaticConfig;
use crate::somatic::Zone;

/// A whole configuration. One that was loaded is valid: its inputs exist, it has no circles and
/// nothing is claimed twice. The default has no components, as before the first start.
#[derive(Debug)]
pub struct Config {
    /// The directory for everything the process keeps; default `./gophership-data`.
    pub data_dir: PathBuf,
    /// What brings data in.
    pub sources: BTreeMap<ComponentId, SourceEntry>,
    /// What changes data on its way.
    pub transforms: BTreeMap<ComponentId, TransformEntry>,
    /// What takes data out.
    pub sinks: BTreeMap<ComponentId, SinkEntry>,
    /// When pressure turns the zone.
    pub somatic: SomaticConfig,
    /// The management service.
    pub control: ControlConfig,
    /// Metrics and health over HTTP.
    pub metrics: MetricsConfig,
    /// How the process stops.
    pub shutdown: ShutdownConfig,
}

/// A source and its options.
#[derive(Debug)]
pub struct SourceEntry {
    /// The component's `type:`.
    pub kind: String,
    /// Its own options.
    pub config: Box<dyn SourceConfig>,
}

/// A transform, its place in the pipeline and its options.
#[derive(Debug)]
pub struct TransformEntry {
    /// The component's `type:`.
    pub kind: String,
    /// What it reads: sources and other transforms, each once, at least one.
    pub inputs: Vec<ComponentId>,
    /// The zone, yellow or red, from which on it is left out.
    pub shed_in: Option<Zone>,
    /// The limits of the edge in front of it.
    pub buffer: BufferConfig,
    /// Its own options.
    pub config: Box<dyn TransformConfig>,
}

/// A sink, its place in the pipeline and its options.
#[derive(Debug)]
pub struct SinkEntry {
    /// The component's `type:`.
    pub kind: String,
    /// What it reads: sources and transforms, each once; only a vault or the follower of one may
    /// have none.
    pub inputs: Vec<ComponentId>,
    /// The limits of the edge in front of it.
    pub buffer: BufferConfig,
    /// Its own options.
    pub config: Box<dyn SinkConfig>,
}

impl Config {
    /// Makes a configuration without components.
    pub(super) fn from_settings(settings: Settings) -> Self {
        let Settings { data_dir, somatic, control, metrics, shutdown } = settings;
        Self {
            data_dir: data_dir.0,
            sources: BTreeMap::new(),
            transforms: BTreeMap::new(),
            sinks: BTreeMap::new(),
            somatic,
            control,
            metrics,
            shutdown,
        }
    }

    /// Returns the path of the control socket: the option, or `control.sock` in `data_dir`.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.control.socket.clone().unwrap_or_else(|| self.data_dir.join("control.sock"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_settings(Settings::default())
    }
}
