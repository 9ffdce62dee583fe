//! Finds the vault that a command is about.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;

use gophership::app::ConfigSource;
use gophership::component::Resource;
use gophership::component::Site;
use gophership::config::Config;
use gophership_vault::SegmentId;

use super::Failure;
use super::archive::ArchiveTarget;
use super::archive::S3Args;
use super::archive::is_url;
use crate::exit;

/// Folder of the dead letters, a vault of its own.
pub(super) const DEAD_LETTERS: &str = "deadletter";

/// Which vault.
#[derive(Clone, Debug, Args)]
pub(crate) struct VaultPlace {
    /// The vault's directory (the one with `vault_id`), or one of its segments; for `ls`, `verify`,
    /// `cat` and `export` also an archive: `s3://BUCKET/PREFIX`.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Find the vault in this configuration instead of by PATH.
    #[arg(short, long, value_name = "FILE", env = "GOPHERSHIP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The id of the `raw_vault` sink, if the configuration has several.
    #[arg(long, value_name = "ID", env = "GOPHERSHIP_VAULT")]
    pub(crate) vault: Option<String>,
}

/// Which vault or archive, for commands that read.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReadPlace {
    #[command(flatten)]
    vault: VaultPlace,
    #[command(flatten)]
    s3: S3Args,
}

impl ReadPlace {
    /// Finds the vault, or the archive if PATH begins with `s3://`.
    pub(super) fn find(&self, is_deadletter: bool) -> Result<VaultTarget, Failure> {
        let Some(url) = self.vault.path.as_ref().filter(|path| is_url(path)) else {
            return self.vault.find(is_deadletter);
        };
        if is_deadletter {
            return Err(Failure::usage("an archive has no dead letters: leave out --deadletter"));
        }
        let archive = ArchiveTarget::open(url, &self.s3)?;
        let dir = archive.folder().to_owned();
        Ok(VaultTarget {
            path: dir.clone(),
            dir,
            segment: None,
            socket: None,
            data_dir: None,
            archive: Some(archive),
        })
    }

    /// As [`VaultPlace::load`].
    pub(super) fn load(&self) -> Result<Option<Config>, Failure> {
        self.vault.load()
    }
}

/// A vault, or one segment of it.
#[derive(Debug)]
pub(super) struct VaultTarget {
    /// The archive instead, if it is one; the folder is then where its segments are restored.
    pub(super) archive: Option<ArchiveTarget>,
    pub(super) dir: PathBuf,
    pub(super) segment: Option<SegmentId>,
    /// What was asked for: the directory or the segment's file.
    pub(super) path: PathBuf,
    /// The control socket of its server, where the configuration named the vault.
    pub(super) socket: Option<PathBuf>,
    /// The data folder of its server, likewise.
    pub(super) data_dir: Option<PathBuf>,
}

impl VaultPlace {
    /// Finds the vault by its path, or in the configuration.
    pub(super) fn find(&self, is_deadletter: bool) -> Result<VaultTarget, Failure> {
        if self.path.as_ref().is_some_and(|path| is_url(path)) {
            return Err(Failure::usage(
                "this command changes a vault; an archive can only be read (ls, verify, cat, export)",
            ));
        }
        let (path, socket, data_dir) = match &self.path {
            Some(path) => (path.clone(), None, None),
            None => self.configured()?,
        };
        let (dir, segment) = gophership_vault::split_path(&path);
        let no_input = |text: String| Failure { code: exit::NO_INPUT, text };
        if let Err(error) = std::fs::metadata(&path) {
            let advice = "give the directory that contains `vault_id`, or --config";
            return Err(no_input(format!("cannot read {}: {error}; {advice}", path.display())));
        }
        let target = match (is_deadletter, segment) {
            (true, Some(_)) => {
                return Err(Failure::usage("--deadletter needs a vault, not a segment"));
            }
            (true, None) => {
                let dir = dir.join(DEAD_LETTERS);
                VaultTarget {
                    path: dir.clone(),
                    dir,
                    segment: None,
                    socket,
                    data_dir,
                    archive: None,
                }
            }
            (false, segment) => VaultTarget { dir, segment, path, socket, data_dir, archive: None },
        };
        if gophership_vault::is_vault(&target.dir) {
            return Ok(target);
        }
        let dir = target.dir.display();
        Err(no_input(if is_deadletter {
            format!(
                "there is no dead-letter store at {dir}: no request has become a dead letter yet"
            )
        } else {
            let below = nearby(&target.dir);
            format!("{dir} is not a vault: it contains neither `vault_id` nor segments{below}")
        }))
    }

    /// Loads the configuration, if one is named, or no vault is named by its path.
    pub(super) fn load(&self) -> Result<Option<Config>, Failure> {
        if self.config.is_none() && self.path.is_some() {
            return Ok(None);
        }
        let source = self.config.clone().map_or(ConfigSource::Default, ConfigSource::File);
        crate::load(&source).map(Some).map_err(|_told| Failure {
            code: exit::CONFIG,
            text: "the configuration does not load".to_owned(),
        })
    }

    /// As [`VaultPlace::find`], for commands that are about a whole vault.
    pub(super) fn find_whole(&self) -> Result<VaultTarget, Failure> {
        let target = self.find(false)?;
        if target.segment.is_none() {
            return Ok(target);
        }
        let dir = target.dir.display();
        Err(Failure::usage(format!("this command needs a whole vault: give {dir}")))
    }

    /// The directory, and the control socket and data folder of the server that has it.
    fn configured(&self) -> Result<(PathBuf, Option<PathBuf>, Option<PathBuf>), Failure> {
        let source = self.config.clone().map_or(ConfigSource::Default, ConfigSource::File);
        let config = crate::load(&source).map_err(|_told| Failure {
            code: exit::CONFIG,
            text: "the configuration does not load, so it names no vault; give PATH".to_owned(),
        })?;
        let vaults = vaults(&config);
        let names: Vec<&str> = vaults.iter().map(|(id, _)| id.as_str()).collect();
        let wanted = |id: &str| self.vault.as_deref().is_none_or(|name| name == id);
        let mut found = vaults.iter().filter(|(id, _)| wanted(id));
        match (found.next(), found.next()) {
            (Some((_, dir)), None) => {
                Ok((dir.clone(), Some(config.control_socket()), Some(config.data_dir.clone())))
            }
            (Some(_), Some(_)) => {
                let names = names.join(", ");
                Err(Failure::usage(format!(
                    "there are several vaults: give --vault with one of {names}"
                )))
            }
            _ if names.is_empty() => {
                Err(Failure::usage("the configuration has no raw_vault sink; give PATH"))
            }
            _ => {
                let names = names.join(", ");
                Err(Failure::usage(format!(
                    "there is no vault with this id; the vaults are: {names}"
                )))
            }
        }
    }
}

/// Every vault of a configuration, with its directory.
fn vaults(config: &Config) -> Vec<(String, PathBuf)> {
    let mut vaults = Vec::new();
    for (id, entry) in config.sinks.iter().filter(|(_, entry)| entry.config.is_vault()) {
        let site = Site { id: id.as_str(), data_dir: &config.data_dir };
        for resource in entry.config.resources(&site) {
            if let Resource::Directory(dir) = resource {
                vaults.push((id.as_str().to_owned(), dir));
            }
        }
    }
    vaults
}

/// A vault one level below, for whoever named `data_dir`.
fn nearby(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found =
        entries.map(|entry| entry.path()).filter(|path| gophership_vault::is_vault(path));
    found.next().map_or_else(String::new, |path| format!("; did you mean {}?", path.display()))
}
