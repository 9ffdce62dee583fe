//! Options out of values that stand in no text.

use serde_json::Value;

use crate::component::AnyConfig;
use crate::component::Section;
use crate::component::find;
use crate::config::document::config::Config;
use crate::tree::Node;
use crate::tree::Trace;
use crate::tree::Trail;
use crate::tree::TreeDeserializer;

/// Decodes the options of a component; `None` if they are not valid, or there is no such component.
pub(super) fn from_values(section: Section, kind: &str, values: &Value) -> Option<AnyConfig> {
    let (node, trace) = (Node::from(values), Trace::default());
    find(section, kind)?.decode(TreeDeserializer::new(&node, &Trail::Root, &trace)).ok()
}

impl Config {
    /// Changes the options of every source and sink, each given with its defaults. `None` if the options of one
    /// are not valid afterwards; then those before it are changed.
    pub fn change_options(&mut self, mut change: impl FnMut(&mut Value)) -> Option<()> {
        let mut changed = |section, kind: &str, values: Option<Value>| {
            let mut values = values?;
            change(&mut values);
            from_values(section, kind, &values)
        };
        for entry in self.sources.values_mut() {
            match changed(Section::Source, &entry.kind, entry.config.values())? {
                AnyConfig::Source(config) => entry.config = config,
                AnyConfig::Transform(_) | AnyConfig::Sink(_) => return None,
            }
        }
        for entry in self.sinks.values_mut() {
            match changed(Section::Sink, &entry.kind, entry.config.values())? {
                AnyConfig::Sink(config) => entry.config = config,
                AnyConfig::Source(_) | AnyConfig::Transform(_) => return None,
            }
        }
        Some(())
    }
}
