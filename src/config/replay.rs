//! The replay that a vault has without being told to: what sources pivot there comes to whoever reads
//! those sources.

use std::collections::BTreeSet;

use serde_json::json;

use crate::config::component::SourceConfig;
use crate::config::document::Config;
use crate::config::document::SinkEntry;
use crate::config::document::SourceEntry;
use crate::config::id::ComponentId;
use crate::config::output::OutputId;

/// The kind of source that replays a vault.
const KIND: &str = "vault_replay";

/// Adds a source for each vault that wants to be replayed and is not.
pub(super) fn add_missing(config: &mut Config) {
    let stands_by =
        |sink: &SinkEntry| sink.inputs.is_empty() && sink.config.is_replayed_by_default();
    let vaults = config.sinks.iter().filter(|(_, sink)| stands_by(sink));
    let ids: Vec<ComponentId> =
        vaults.map(|(id, _)| id.clone()).filter(|id| !config.is_replayed(id)).collect();
    for vault in ids {
        add(config, &vault);
    }
}

/// Lets whoever reads a source that pivots to the vault read a replay of it as well; without such a
/// reader, or if its name is taken, there is none.
fn add(config: &mut Config, vault: &ComponentId) -> Option<()> {
    let id: ComponentId = format!("{vault}_replay").parse().ok()?;
    let is_taken = config.sources.contains_key(&id)
        || config.transforms.contains_key(&id)
        || config.sinks.contains_key(&id);
    if is_taken {
        return None;
    }
    let pivots = config.sources.iter().filter(|(_, it)| it.config.pivot() == Some(vault.as_str()));
    let sources: BTreeSet<ComponentId> = pivots.map(|(id, _)| id.clone()).collect();
    let transforms = config.transforms.values_mut().map(|it| &mut it.inputs);
    let sinks = config.sinks.values_mut().map(|it| &mut it.inputs);
    let mut is_read = false;
    for inputs in transforms.chain(sinks) {
        if inputs.iter().any(|input| sources.contains(&input.component)) {
            inputs.push(OutputId::from(id.clone()));
            is_read = true;
        }
    }
    if is_read {
        let options = json!({ KIND: { "vault": vault.as_str() } });
        let options: Box<dyn SourceConfig> = serde_json::from_value(options).ok()?;
        config.sources.insert(id, SourceEntry { kind: KIND.to_owned(), config: options });
    }
    Some(())
}
