//! Runs a configuration where it can do no harm: loopback only, everything on disk in one directory.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gophership::component::OnLoss;
use gophership::config::Config;
use gophership::config::ConfigErrors;
use gophership::config::load_text;
use gophership::flow::Pulse;
use gophership::pool::Memory;
use gophership::somatic::Somatic;
use gophership::topology::RunningTopology;
use gophership::topology::SharedParts;
use gophership_units::ByteSize;
use serde_json::Value;
use tempfile::TempDir;

/// Segments are allocated when a vault is opened, and its staging memory is touched.
const SEGMENT_BYTES_MAX: u64 = 1 << 20;
const STAGING_BYTES_MAX: u64 = 1 << 20;

/// A directory for one configuration, and the ports it may listen on.
pub(super) struct Stage {
    dir: TempDir,
    ports: Vec<u16>,
}

/// A configuration that runs.
pub(super) struct Running {
    topology: RunningTopology,
    /// Where it listens, in the order of the sources.
    pub(super) addresses: Vec<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ports: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Rewrites listeners, backends, paths and sizes of a valid configuration.
    pub(super) fn tame(&mut self, config: &mut Config) {
        config.data_dir = self.inside(&config.data_dir);
        config.change_options(|options| self.visit("", options)).unwrap();
    }

    fn visit(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::Object(entries) => {
                entries.iter_mut().for_each(|(key, value)| self.visit(key, value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.visit("", item)),
            Value::String(text) => match key {
                "listen" => *text = format!("127.0.0.1:{}", self.free_port()),
                "endpoint" => {
                    let scheme = if text.starts_with("https") { "https" } else { "http" };
                    // Nobody listens on the discard port.
                    *text = format!("{scheme}://127.0.0.1:9");
                }
                "path" => {
                    let inside = self.inside(Path::new(&*text));
                    inside.to_str().unwrap().clone_into(text);
                }
                "segment_size" => cap(text, SEGMENT_BYTES_MAX),
                "staging" => cap(text, STAGING_BYTES_MAX),
                _ => {}
            },
            _ => {}
        }
    }

    /// Moves a path into the directory; what is odd about it stays.
    fn inside(&self, path: &Path) -> PathBuf {
        if path.starts_with(self.path()) {
            return path.to_owned();
        }
        let harmless = path
            .components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        self.path().join("disk").join(harmless.collect::<PathBuf>())
    }

    fn free_port(&mut self) -> u16 {
        // All stay bound until the last is chosen, so that no port is chosen twice.
        let bound: Vec<_> =
            self.ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port))).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        drop(bound);
        self.ports.push(port);
        port
    }
}

fn cap(text: &mut String, max: u64) {
    let size: ByteSize = text.parse().unwrap();
    if max < size.bytes() {
        *text = ByteSize(max).to_string();
    }
}

/// Loads a text with nothing but the given variables in the environment.
pub(super) fn load(
    name: &str,
    text: &str,
    variables: &[(&str, &str)],
) -> Result<Config, ConfigErrors> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    load_text(name, text, &|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// Starts what a configuration describes, the way the program does; or says why it does not start.
pub(super) async fn start(config: Config) -> Result<Running, String> {
    std::fs::create_dir_all(&config.data_dir).map_err(|error| error.to_string())?;
    let policy = config.somatic.policy();
    let somatic = Somatic::new(policy);
    let memory = Memory::new(&config.somatic.memory.limits());
    let shared = SharedParts::new(somatic.watch(), memory, OnLoss::default());
    let check_every = config.somatic.check_every.get();
    let pulse = Pulse::new(check_every, 850, somatic.alarm());
    let addresses = listeners(&config);
    let mut topology = RunningTopology::empty(shared, pulse);
    let started = topology.reload(Arc::new(config), Duration::from_secs(1)).await;
    started.map_err(|error| error.to_string())?;
    Ok(Running { topology, addresses })
}

fn listeners(config: &Config) -> Vec<String> {
    use gophership::component::Resource;
    use gophership::component::Site;

    let resources = config.sources.iter().flat_map(|(id, source)| {
        source.config.resources(&Site { id: id.as_str(), data_dir: &config.data_dir })
    });
    let tcp = |resource| match resource {
        Resource::Tcp(address) => Some(address.to_string()),
        _ => None,
    };
    resources.filter_map(tcp).collect()
}

impl Running {
    /// Ends everything, and returns how many components had to be cut short.
    pub(super) async fn shut_down(self, grace: Duration) -> usize {
        use gophership::topology::ComponentOutcome::CutShort;

        let outcomes = self.topology.shut_down(grace).await;
        outcomes.iter().filter(|(_, outcome)| *outcome == CutShort).count()
    }
}
