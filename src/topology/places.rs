//! The places of sinks in vaults: made before a wiring is in force that needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gophership_vault::Log;
use gophership_vault::is_copy_cursor;

use super::builder::PieceError;
use super::graph::Graph;
use super::running::RunningTopology;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::CursorOwner;
use crate::component::SinkCursors;
use crate::component::copy_cursor_name;
use crate::config::Config;
use crate::config::SinkEntry;

/// Which sinks each vault is to be replayed to.
type Owners = BTreeMap<ComponentId, Vec<CursorOwner>>;

impl RunningTopology {
    /// Lets sinks that were renamed keep what is on its way for their former names.
    pub(super) fn rename_sinks(&self, config: &Config) {
        for (sink, entry) in &config.sinks {
            for former in &entry.formerly {
                self.shared.sink_set.rename(former.as_str(), sink.as_str());
            }
        }
    }

    /// Gives every sink its place in each vault that is replayed to it, on disk, as a configuration says
    /// that is not in force yet. From then on no vault lets go of what such a sink needs.
    ///
    /// # Errors
    ///
    /// [`PieceError`] when a place cannot be written. At a first start that is only told: nothing is
    /// replayed to anybody before all have their places.
    pub(super) async fn prepare_places(&self, config: &Config) -> Result<(), PieceError> {
        let is_first_start = self.config.sinks.is_empty();
        for (vault, owners) in self.owners(config) {
            let Some(cursors) = self.cursors(&vault) else { continue };
            let prepared = tokio::task::spawn_blocking(move || cursors.prepare(&owners)).await;
            let failed = match prepared {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => BuildError::Vault(error),
                Err(panic) => BuildError::Option(panic.to_string()),
            };
            if !is_first_start {
                return Err(PieceError { id: vault, source: failed });
            }
            tracing::warn!(
                %vault,
                error = %failed,
                "Cannot save the cursor of a sink in the vault; the replay retries."
            );
        }
        Ok(())
    }

    /// Tells the vaults that sinks which left have handed back all they had, and lets go of what only copies
    /// needed that are no longer made.
    pub(super) async fn settle_places(&self) {
        for (vault, copies) in self.copies() {
            let Some(handle) = self.shared.vaults.find(vault.as_str()) else { continue };
            let forget = move || forget_copies(&vault, &handle.log, &copies);
            if let Err(panic) = tokio::task::spawn_blocking(forget).await {
                tracing::error!(%panic, "Cannot remove the cursors of former archives.");
            }
        }
        for vault in self.owners(&self.config).keys() {
            if let Some(cursors) = self.cursors(vault) {
                cursors.settle();
            }
        }
    }

    /// The vaults, each with the names of the cursors of those who copy it.
    fn copies(&self) -> BTreeMap<ComponentId, Vec<String>> {
        let sinks = &self.config.sinks;
        let vaults = sinks.iter().filter(|(_, sink)| sink.config.is_vault());
        let copies = |vault: &ComponentId| {
            let is_copy = |sink: &SinkEntry| sink.config.copies() == Some(vault.as_str());
            let found = sinks.iter().filter(|(_, sink)| is_copy(sink));
            found.map(|(id, _)| copy_cursor_name(id)).collect()
        };
        vaults.map(|(vault, _)| (vault.clone(), copies(vault))).collect()
    }

    fn cursors(&self, vault: &ComponentId) -> Option<Arc<SinkCursors>> {
        self.shared.vaults.find(vault.as_str()).map(|handle| handle.cursors)
    }

    fn owners(&self, config: &Config) -> Owners {
        let graph = Graph::new(config);
        let mut owners = Owners::new();
        for (replay, source) in &config.sources {
            let vault = source.config.replays().and_then(|vault| vault.parse().ok());
            let Some(vault) = vault else { continue };
            let sinks = self.shared.wiring.sinks_in(&graph, replay).into_iter();
            let owner = |sink: &ComponentId| {
                let formerly = config.sinks.get(sink).map(|entry| entry.formerly.as_slice());
                let formerly = formerly.unwrap_or_default().iter().map(ToString::to_string);
                CursorOwner {
                    replay: replay.clone(),
                    sink: sink.to_string(),
                    formerly: formerly.collect(),
                }
            };
            owners.entry(vault).or_default().extend(sinks.map(|(sink, _)| owner(sink)));
        }
        owners
    }
}

/// Removes the cursors of copies that are no longer made, so that they hold nothing back.
fn forget_copies(vault: &ComponentId, log: &Log, copies: &[String]) {
    let is_former = |name: &String| is_copy_cursor(name) && !copies.contains(name);
    for name in log.cursors().into_iter().filter(is_former) {
        match log.remove_cursor(&name) {
            Ok(()) => tracing::warn!(
                %vault, cursor = name,
                "A sink that archived this vault is no longer in the configuration. The vault no longer \
                 keeps segments for it."
            ),
            Err(error) => tracing::error!(%vault, cursor = name, %error, "Cannot remove a cursor."),
        }
    }
}
