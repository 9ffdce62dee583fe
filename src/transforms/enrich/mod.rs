//! The `enrich` transform: sets, renames and deletes attributes, on the wire form, without decoding
//! a record.

mod rule;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use gophership_otlp::Edit;
use gophership_otlp::Editor;
use gophership_otlp::Level;
use gophership_otlp::Operation;
use gophership_otlp::Retained;
use gophership_otlp::Table;
use gophership_otlp::WireError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::OptionProblem;
use crate::component::Section;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::settle;

use rule::Action;
use rule::Rule;

/// Sets, renames and deletes attributes.
///
/// Each key is the name of an attribute. Each value is an action; a plain value sets the attribute.
/// `resource` comes first, then `scope`, then `record`; within one, in the order of the names.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EnrichConfig {
    /// Attributes of the resource: host, service, deployment.
    resource: BTreeMap<String, Rule>,
    /// Attributes of the instrumentation scope.
    scope: BTreeMap<String, Rule>,
    /// Attributes of every log record, span and data point.
    record: BTreeMap<String, Rule>,
}

inventory::submit! {
    ComponentInfo {
        section: Section::Transform,
        name: "enrich",
        summary: "Sets, renames and deletes attributes.",
        schema: |generator| generator.subschema_for::<EnrichConfig>(),
    }
}

impl EnrichConfig {
    fn levels(&self) -> [(&'static str, Level, &BTreeMap<String, Rule>); 3] {
        [
            ("resource", Level::Resource, &self.resource),
            ("scope", Level::Scope, &self.scope),
            ("record", Level::Record, &self.record),
        ]
    }

    fn edits(&self) -> Result<Vec<Edit>, BuildError> {
        let mut tables: BTreeMap<PathBuf, Arc<Table>> = BTreeMap::new();
        let mut edits = Vec::new();
        for (_, level, rules) in self.levels() {
            for (key, rule) in rules {
                let operation = match rule.action() {
                    Action::Set(value) => Operation::Set(value.into()),
                    Action::SetIfAbsent(value) => Operation::SetIfAbsent(value.into()),
                    Action::Rename(to) => Operation::Rename { to },
                    Action::Delete(_) => Operation::Delete,
                    Action::Lookup(lookup) => {
                        let table = match tables.get(&lookup.table) {
                            Some(table) => Arc::clone(table),
                            None => Arc::new(table::load(&lookup.table)?),
                        };
                        tables.insert(lookup.table, Arc::clone(&table));
                        Operation::Lookup {
                            from: lookup.key,
                            table,
                            if_absent: lookup.if_absent,
                            default: lookup.default.map(Into::into),
                        }
                    }
                };
                edits.push(Edit { level, key: key.clone(), operation });
            }
        }
        Ok(edits)
    }
}

#[typetag::serde(name = "enrich")]
impl TransformConfig for EnrichConfig {
    fn protects(&self) -> Option<&'static str> {
        let levels = self.levels();
        let mut rules = levels.iter().flat_map(|(_, _, rules)| rules.values());
        rules
            .any(|rule| matches!(rule.action(), Action::Delete(_)))
            .then_some("attributes that it deletes")
    }

    fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        for (section, _, rules) in self.levels() {
            for (key, rule) in rules {
                let path = format!("{section}.{key}");
                if key.is_empty() {
                    problems.push(OptionProblem::new(section, "an attribute needs a name"));
                }
                if let Some(reason) = rule.problem(key) {
                    problems.push(OptionProblem::new(path, reason));
                }
            }
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Box<dyn Transform>, BuildError> {
        let editor = Editor::new(self.edits()?);
        Ok(Box::new(Enrich { id: context.id.clone(), editor }))
    }
}

struct Enrich {
    id: ComponentId,
    editor: Editor,
}

impl Transform for Enrich {
    fn apply(&mut self, batch: Batch) -> Option<Batch> {
        self.apply_within(batch, usize::MAX).unwrap_or_else(Some)
    }

    fn apply_within(&mut self, batch: Batch, room: usize) -> Result<Option<Batch>, Batch> {
        let (kept, dropped) = (batch.records(), 0);
        let left = match self.editor.apply(batch.signal(), batch.wire(), room) {
            Err(WireError::NoRoom { .. }) => return Err(batch),
            other => other.map(|bytes| Retained { bytes, kept, dropped }),
        };
        Ok(settle(&self.id, "enriched", batch, left))
    }
}
