//! The replay that a vault has without being told to: what sources pivot there comes to whoever reads
//! those sources.

use std::collections::BTreeSet;

use serde_json::json;

use crate::component::AnyConfig;
use crate::component::ComponentId;
use crate::component::OutputId;
use crate::component::Section;
use crate::config::document::config::Config;
use crate::config::document::config::SinkEntry;
use crate::config::document::config::SourceEntry;
use crate::config::document::values::from_values;

/// The kind of source that replays a vault.
const KIND: &str = "vault_replay";

/// Adds a source for each vault that wants to be replayed and is not.
pub(in crate::config) fn add_missing(config: &mut Config) {
    let stands_by =
        |sink: &SinkEntry| sink.inputs.is_empty() && sink.config.is_replayed_by_default();
    let vaults = config.sinks.iter().filter(|(_, sink)| stands_by(sink));
    let ids: Vec<ComponentId> =
        vaults.map(|(id, _)| id.clone()).filter(|id| !config.is_replayed(id)).collect();
    for vault in ids {
        add(config, &vault);
    }
}

/// Lets those who read the sources of a vault read a replay of it as well. There is none if nobody does,
/// if sources have different readers, to each of whom only some of it is to come, or if its name is taken.
fn add(config: &mut Config, vault: &ComponentId) -> Option<()> {
    let id: ComponentId = format!("{vault}_replay").parse().ok()?;
    let is_taken = config.sources.contains_key(&id)
        || config.transforms.contains_key(&id)
        || config.sinks.contains_key(&id);
    let pivots = config.sources.iter().filter(|(_, it)| it.config.pivot() == Some(vault.as_str()));
    let mut ways = pivots.map(|(source, _)| readers(config, source));
    let way = ways.next().filter(|way| !way.is_empty() && !is_taken)?;
    if !ways.all(|other| other == way) {
        return None;
    }
    drop(ways);
    let options = json!({ "vault": vault.as_str() });
    let AnyConfig::Source(options) = from_values(Section::Source, KIND, &options)? else {
        return None;
    };
    let transforms = config.transforms.iter_mut().map(|(id, it)| (id, &mut it.inputs));
    let sinks = config.sinks.iter_mut().map(|(id, it)| (id, &mut it.inputs));
    for (reader, inputs) in transforms.chain(sinks) {
        if way.contains(reader) {
            inputs.push(OutputId::from(id.clone()));
        }
    }
    config.sources.insert(id, SourceEntry { kind: KIND.to_owned(), config: options });
    Some(())
}

/// Who reads a source.
fn readers(config: &Config, source: &ComponentId) -> BTreeSet<ComponentId> {
    let transforms = config.transforms.iter().map(|(id, it)| (id, &it.inputs));
    let sinks = config.sinks.iter().map(|(id, it)| (id, &it.inputs));
    let reads = |inputs: &[OutputId]| inputs.iter().any(|input| input.component == *source);
    let all = transforms.chain(sinks).filter(|(_, inputs)| reads(inputs));
    all.map(|(id, _)| id.clone()).collect()
}
