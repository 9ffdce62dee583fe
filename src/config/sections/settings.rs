//! The parts of the document that are not components.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use gophership_units::ByteSize;
use gophership_units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::component::OptionProblem;
use crate::config::sections::control::ControlConfig;
use crate::config::sections::listen;
use crate::config::sections::somatic::SomaticConfig;
use crate::config::sections::testing::TestCase;
use crate::flow::edge::BATCHES_MAX;

/// The control socket in `data_dir`, unless the document names another one.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The limits of the queue in front of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BufferConfig {
    /// The maximum number of batches in the queue, up to 524288.
    pub batches: NonZeroU32,
    /// The maximum bytes in the queue. If all buffers together exceed the `edges` share of
    /// `somatic.memory`, each is reduced by the same factor.
    pub bytes: ByteSize,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { batches: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN), bytes: ByteSize::mib(32) }
    }
}

impl BufferConfig {
    /// Returns what is wrong beyond types.
    pub(in crate::config) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.bytes.bytes() == 0 {
            let message = "must be more than 0";
            problems.push(OptionProblem::new("buffer.bytes", message));
        }
        if BATCHES_MAX < self.batches.get() {
            let message = format!("must be from 1 to {BATCHES_MAX}");
            problems.push(OptionProblem::new("buffer.batches", message));
        }
        problems
    }
}

/// The document without its components.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Settings {
    /// The directory for all files of GopherShip, created if it is missing.
    pub(in crate::config) data_dir: DataDir,
    /// How pressure changes the zone.
    pub(in crate::config) somatic: SomaticConfig,
    /// The management service.
    pub(in crate::config) control: ControlConfig,
    /// Metrics and health over HTTP.
    pub(in crate::config) metrics: MetricsConfig,
    /// How GopherShip stops.
    pub(in crate::config) shutdown: ShutdownConfig,
    /// Test cases for `gophership test`; a running GopherShip ignores them.
    pub(in crate::config) tests: Vec<TestCase>,
}

impl Settings {
    /// Returns what is wrong beyond types; paths are relative to the document.
    pub(in crate::config) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.somatic.problems();
        problems.extend(self.control.problems(&self.data_dir.0.join(CONTROL_SOCKET)));
        if self.data_dir.0.as_os_str().is_empty() {
            problems.push(OptionProblem::new("data_dir", "the path is empty"));
        }
        for (idx, case) in self.tests.iter().enumerate() {
            problems.extend(case.problems(&format!("tests.{idx}")));
        }
        problems
    }
}

/// The data directory, with its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(in crate::config) struct DataDir(pub(in crate::config) PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self(PathBuf::from("./gophership-data"))
    }
}

/// Metrics and health over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// The address to listen on, or `off`.
    #[serde(serialize_with = "listen::write", deserialize_with = "listen::read")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
    /// Whether `/` on this address serves a page that shows the process to people, and
    /// `/status.json` the same figures. The page changes nothing.
    pub page: PageMode,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9091))), page: PageMode::On }
    }
}

/// Whether there is a page for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PageMode {
    /// `/` and `/status.json` answer.
    #[default]
    On,
    /// Both answer 404.
    Off,
}

impl PageMode {
    /// Whether the page is served.
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// How GopherShip stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// How long a shutdown waits for accepted requests to be delivered or spilled to the vault.
    pub grace: HumanDuration,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { grace: HumanDuration::seconds(30) }
    }
}
