//! Contexts: names for processes, in a small file of the user.

use std::collections::BTreeMap;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::error::CtlError;
use crate::target::Target;

/// A larger file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Contexts {
    /// The one that is used when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them.
    pub(crate) contexts: BTreeMap<String, Target>,
}

/// Where the file is: `GS_CONFIG`, or `gs-ctl/config.yaml` in the configuration folder of the user.
pub(crate) fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("GS_CONFIG") {
        return Some(path.into());
    }
    let folder = set("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")));
    folder.map(|folder| folder.join("gs-ctl/config.yaml"))
}

fn fault(path: &Path, reason: &dyn std::fmt::Display) -> CtlError {
    CtlError::Contexts { path: path.to_owned(), reason: reason.to_string() }
}

impl Contexts {
    /// Reads the file; one that is not there has no contexts.
    pub(crate) fn read(path: &Path) -> Result<Self, CtlError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fault(path, &error)),
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| fault(path, &error))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read = serde_yaml::from_str(&text);
        read.map_err(|error| fault(path, &error))
    }

    /// Writes the file at once, so that nobody reads half of it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CtlError> {
        let text = serde_yaml::to_string(self).map_err(|error| fault(path, &error))?;
        let write = || {
            if let Some(dir) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let fresh = path.with_extension("yaml.new");
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(fresh, path)
        };
        write().map_err(|source| CtlError::Write { path: path.to_owned(), source })
    }

    /// The context of this name.
    pub(crate) fn get(&self, name: &str, path: &Path) -> Result<&Target, CtlError> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            fault(path, &format!("there is no context {name:?}; there are: {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/config.yaml");
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        let target = Target::Socket { socket: "/run/x.sock".into() };
        let contexts = BTreeMap::from([("local".to_owned(), target)]);
        let contexts = Contexts { current: Some("local".to_owned()), contexts };
        contexts.write(&path).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), contexts);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let error = contexts.get("prod", &path).unwrap_err().to_string();
        assert!(error.contains("there is no context \"prod\"; there are: local"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_ours_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        for text in
            ["current: [1]", "contexts: { a: { socket: s, endpoint: e } }", "x: 1", "a: b: c"]
        {
            fs::write(&path, text).unwrap();
            let error = Contexts::read(&path).unwrap_err();
            assert_eq!(error.code(), 78, "{text}: {error}");
        }
        fs::write(&path, "\n").unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
    }
}
