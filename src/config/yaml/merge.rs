//! Merge keys: `<<: *anchor` takes over what a mapping elsewhere says.

use std::collections::HashSet;

use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;

/// Resolves merge keys: entries of the mapping itself win over merged ones.
///
/// # Errors
///
/// The place of a merge key whose value is no mapping and no list of some.
pub(super) fn merge(node: &mut Node) -> Result<(), Mark> {
    match &mut node.value {
        NodeValue::Seq(items) => items.iter_mut().try_for_each(merge),
        NodeValue::Map(entries) => {
            entries.iter_mut().try_for_each(|entry| merge(&mut entry.node))?;
            let Some(position) = entries.iter().position(|entry| entry.key == "<<") else {
                return Ok(());
            };
            let merged = entries.remove(position);
            let sources = match merged.node.value {
                NodeValue::Seq(items) => items,
                _ => vec![merged.node],
            };
            let mut seen: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
            for source in sources {
                let NodeValue::Map(added) = source.value else { return Err(merged.key_mark) };
                entries.extend(added.into_iter().filter(|entry| seen.insert(entry.key.clone())));
            }
            Ok(())
        }
        NodeValue::Scalar(_) | NodeValue::StandIn(_) => Ok(()),
    }
}
