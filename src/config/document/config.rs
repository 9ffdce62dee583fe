//! The configuration of a pipeline, decoded and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::component::ComponentId;
use crate::component::FileStamp;
use crate::component::FileStamps;
use crate::component::OutputId;
use crate::component::SinkConfig;
use crate::component::SourceConfig;
use crate::component::TransformConfig;
use crate::config::diagnosis::ConfigError;
use crate::config::sections::BufferConfig;
use crate::config::sections::CONTROL_SOCKET;
use crate::config::sections::ControlConfig;
use crate::config::sections::MetricsConfig;
use crate::config::sections::Settings;
use crate::config::sections::ShutdownConfig;
use crate::config::sections::SomaticConfig;
use crate::config::sections::TestCase;
use crate::somatic::Zone;

/// The program itself, with its threads and what its allocator keeps: some 50 MiB.
const PROGRAM_BYTES: u64 = 64 << 20;
/// The program itself: its runtime, standard streams, listeners, files it reads now and then, and 64
/// connections each to the metrics listener, to the control socket and to `control.listen`.
const PROGRAM_DESCRIPTORS: u64 = 224;

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
    /// How pressure changes the zone.
    pub somatic: SomaticConfig,
    /// The management service.
    pub control: ControlConfig,
    /// Metrics and health over HTTP.
    pub metrics: MetricsConfig,
    /// How GopherShip stops.
    pub shutdown: ShutdownConfig,
    /// Cases for `gophership test`.
    pub tests: Vec<TestCase>,
    /// What is allowed, and should be known to whoever starts it.
    pub warnings: Vec<ConfigError>,
    /// The first 16 hexadecimal digits of the BLAKE3 hash of its text, before variables are filled in.
    pub hash: String,
    /// What the files were like that its components read.
    pub(super) file_stamps: FileStamps,
    /// The file that it was loaded from, and what that was like.
    pub(super) document: Option<(PathBuf, Option<FileStamp>)>,
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
    pub inputs: Vec<OutputId>,
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
    pub inputs: Vec<OutputId>,
    /// The limits of the edge in front of it.
    pub buffer: BufferConfig,
    /// Names that it had before.
    pub formerly: Vec<ComponentId>,
    /// Its own options.
    pub config: Box<dyn SinkConfig>,
}

impl Config {
    /// Returns what the process may use at most, in bytes: the memory budget, what components use beside
    /// it, and the program itself. Who uses more has a leak.
    #[must_use]
    pub fn memory_bytes_max(&self) -> u64 {
        let sources = self.sources.values().map(|entry| entry.config.beside_budget_bytes());
        let sinks = self.sinks.values().map(|entry| entry.config.beside_budget_bytes());
        let beside = sources.chain(sinks).fold(PROGRAM_BYTES, u64::saturating_add);
        self.somatic.memory.budget_bytes().saturating_add(beside)
    }

    /// How many connections all sources accept at the same time.
    #[must_use]
    pub fn connections_max(&self) -> u64 {
        let sources = self.sources.values().map(|entry| entry.config.connections_max());
        sources.fold(0, u64::saturating_add)
    }

    /// How many file descriptors everything else has open: sinks and vaults, and the program itself.
    #[must_use]
    pub fn descriptors_beside(&self) -> u64 {
        let sinks = self.sinks.values().map(|entry| entry.config.descriptors_max());
        sinks.fold(PROGRAM_DESCRIPTORS, u64::saturating_add)
    }

    /// Makes a configuration without components.
    pub(in crate::config) fn from_settings(settings: Settings) -> Self {
        let Settings { data_dir, somatic, control, metrics, shutdown, tests } = settings;
        Self {
            data_dir: data_dir.0,
            sources: BTreeMap::new(),
            transforms: BTreeMap::new(),
            sinks: BTreeMap::new(),
            somatic,
            control,
            metrics,
            shutdown,
            tests,
            warnings: Vec::new(),
            hash: String::new(),
            file_stamps: FileStamps::new(),
            document: None,
        }
    }

    /// Whether a source replays a vault.
    #[must_use]
    pub fn is_replayed(&self, vault: &ComponentId) -> bool {
        let mut all = self.sources.values().map(|source| source.config.replays());
        all.any(|name| name == Some(vault.as_str()))
    }

    /// Returns the path of the control socket: the option, or `control.sock` in `data_dir`.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.control.socket.clone().unwrap_or_else(|| self.data_dir.join(CONTROL_SOCKET))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_settings(Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;

    #[test]
    fn the_process_may_use_its_budget_and_what_stands_beside_it() {
        let mib = |sources: &str, sinks: &str| {
            let text = format!("sources: {{ {sources} }}\nsinks: {{ {sinks} }}");
            load_text("memory.yaml", &text, &|_| None).unwrap().memory_bytes_max() >> 20
        };
        assert_eq!(mib("a: { type: demo }", "b: { type: blackhole, inputs: [a] }"), 256 + 64);
        let connections = 2 * 1024 / 4;
        let (source, sink) = ("a: { type: otlp }", "b: { type: otlp, inputs: [a], ");
        let sink = format!("{sink}endpoint: 'http://localhost:4317' }}");
        assert_eq!(mib(source, &sink), 256 + 64 + connections + 32);
    }
}
