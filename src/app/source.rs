//! Where the configuration comes from.

use std::fmt;
use std::path::PathBuf;

use crate::config;
use crate::config::Config;
use crate::config::ConfigErrors;
use crate::somatic::Roots;
use crate::somatic::memory_limit_bytes;

/// The configuration that is used when none is named.
pub const DEFAULT_CONFIG: &str = include_str!("../../config/default.yaml");
/// What error messages call it.
const DEFAULT_NAME: &str = "(built-in default)";

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file, read again at each reload.
    File(PathBuf),
    /// A file, read again at each reload; a change of it is one.
    Followed(PathBuf),
    /// The built-in default.
    Default,
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Followed(path) => path.display().fmt(formatter),
            Self::Default => formatter.write_str(DEFAULT_NAME),
        }
    }
}

impl ConfigSource {
    /// Loads and checks the configuration. What it leaves open follows the machine: the memory budget.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its position.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let environment = |name: &str| std::env::var(name).ok().or_else(|| of_system(name));
        let mut config = match self {
            Self::File(path) | Self::Followed(path) => config::load_file(path, &environment),
            Self::Default => config::load_text(DEFAULT_NAME, DEFAULT_CONFIG, &environment),
        }?;
        let limit = memory_limit_bytes(&Roots::default());
        config.somatic.memory.fit(limit.unwrap_or(u64::MAX));
        Ok(config)
    }
}

/// What shells know and do not pass on: bash does not export `HOSTNAME`.
fn of_system(name: &str) -> Option<String> {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    (name == "HOSTNAME").then(host).filter(|host| !host.is_empty())
}
