//! The `enrich` transform: sets, renames and deletes attributes, on the wire form, without decoding
//! a record.

mod rule;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use gophership_otlp::Edit;
use gophership_otlp::EditOperation;
use gophership_otlp::Editor;
use gophership_otlp::Level;
use gophership_otlp::Retained;
use gophership_otlp::Table;
use gophership_otlp::WireError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::Transform;
use crate::component::TransformConfig;
use crate::event::Batch;
use crate::event::settle;

use rule::Action;
use rule::Rule;

/// Sets, renames and deletes attributes.
///
/// Each key is the name of an attribute. Each value is an action; a plain value sets the attribute.
/// `resource` comes first, then `scope`, then `record`; within one, in the order of the names, and
/// renames last, all at once: `a: {rename: b}` and `b: {rename: a}` swap the two.
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
    ComponentInfo::transform::<EnrichConfig>("enrich", "Sets, renames and deletes attributes.")
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
            let mut renames = Vec::new();
            for (key, rule) in rules {
                let operation = match rule.action() {
                    Action::Set(value) => EditOperation::Set(value.into()),
                    Action::SetIfAbsent(value) => EditOperation::SetIfAbsent(value.into()),
                    Action::Rename(to) => {
                        renames.push((key.as_str(), to));
                        continue;
                    }
                    Action::Delete(_) => EditOperation::Delete,
                    Action::Lookup(lookup) => {
                        let table = match tables.get(&lookup.table) {
                            Some(table) => Arc::clone(table),
                            None => Arc::new(table::load(&lookup.table)?),
                        };
                        tables.insert(lookup.table, Arc::clone(&table));
                        EditOperation::Lookup {
                            from: lookup.key,
                            table,
                            if_absent: lookup.if_absent,
                            default: lookup.default.map(Into::into),
                        }
                    }
                };
                edits.push(Edit { level, key: key.clone(), operation });
            }
            edits.extend(together(level, &renames));
        }
        Ok(edits)
    }
}

/// Renames that happen at once, as edits that happen one after the other: by way of names that nobody has,
/// where one attribute gets the name that another one gives up.
fn together(level: Level, renames: &[(&str, String)]) -> Vec<Edit> {
    let rename = |key: &str, to: &str| Edit {
        level,
        key: key.to_owned(),
        operation: EditOperation::Rename { to: to.to_owned() },
    };
    let is_given_up = |name: &String| renames.iter().any(|(from, _)| from == name);
    if !renames.iter().any(|(_, to)| is_given_up(to)) {
        return renames.iter().map(|(from, to)| rename(from, to)).collect();
    }
    let between = |idx: usize| format!("\0gophership.renamed.{idx}");
    let away = renames.iter().enumerate().map(|(idx, (from, _))| rename(from, &between(idx)));
    let back = renames.iter().enumerate().map(|(idx, (_, to))| rename(&between(idx), to));
    away.chain(back).collect()
}

/// An attribute before this one that is renamed to the same name.
fn rival<'r>(key: &str, rule: &Rule, rules: &'r BTreeMap<String, Rule>) -> Option<&'r str> {
    let to = rule.new_name()?;
    let mut before = rules.iter().take_while(|(name, _)| name.as_str() != key);
    let found = before.find(|(_, other)| other.new_name() == Some(to));
    found.map(|(name, _)| name.as_str())
}

impl TransformConfig for EnrichConfig {
    fn protects(&self) -> Option<&'static str> {
        let levels = self.levels();
        let mut rules = levels.iter().flat_map(|(_, _, rules)| rules.values());
        rules
            .any(|rule| matches!(rule.action(), Action::Delete(_)))
            .then_some("attributes that it deletes")
    }

    fn files(&self) -> Vec<NamedFile> {
        let mut files = Vec::new();
        for (section, _, rules) in self.levels() {
            for (key, rule) in rules {
                if let Action::Lookup(lookup) = rule.action() {
                    files.push(NamedFile::new(format!("{section}.{key}.lookup"), &lookup.table));
                }
            }
        }
        files
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
                } else if let Some(other) = rival(key, rule, rules) {
                    let reason = format!("`{other}` is renamed to the same name");
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use gophership_otlp::DecodeLimits;
    use gophership_otlp::Signal;
    use gophership_otlp::json_to_wire;
    use gophership_otlp::wire_to_json;
    use serde_json::json;

    use super::*;

    /// What becomes of the attributes of a record.
    fn enriched(rules: &serde_json::Value, attributes: &[(&str, serde_json::Value)]) -> String {
        let config: EnrichConfig = serde_json::from_value(json!({ "record": rules })).unwrap();
        assert!(config.problems().is_empty());
        let attributes: Vec<serde_json::Value> =
            attributes.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let record = json!({ "attributes": attributes });
        let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
        let limits = DecodeLimits::default();
        let wire = json_to_wire(Signal::Logs, body.as_bytes(), &limits).unwrap();
        let editor = Editor::new(config.edits().unwrap());
        let wire = editor.apply(Signal::Logs, &wire, usize::MAX).unwrap();
        let mut out = Vec::new();
        wire_to_json(Signal::Logs, &wire, &limits, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let list = &json["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"];
        let shown = |entry: &serde_json::Value| {
            let value = entry["value"].as_object().unwrap().values().next().unwrap();
            format!("{}={}", entry["key"].as_str().unwrap(), value.as_str().unwrap())
        };
        list.as_array().unwrap().iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    fn text(value: &str) -> serde_json::Value {
        json!({ "stringValue": value })
    }

    #[test]
    fn renames_happen_at_once() {
        let list = [("a", text("1")), ("b", text("2")), ("c", text("3"))];
        let rename = |to: &str| json!({ "rename": to });
        let swap = json!({ "a": rename("b"), "b": rename("a") });
        assert_eq!(enriched(&swap, &list), "b=1 a=2 c=3");
        assert_eq!(enriched(&swap, &list[..1]), "b=1");
        let chain = json!({ "a": rename("b"), "b": rename("c") });
        assert_eq!(enriched(&chain, &list), "b=1 c=2");
        let back = json!({ "b": rename("a"), "c": rename("b"), "a": {"delete": true} });
        assert_eq!(enriched(&back, &list), "a=2 b=3");
        let fallback = json!({ "a": rename("z"), "z": {"set_if_absent": "none"} });
        assert_eq!(enriched(&fallback, &list[..1]), "z=1");
        assert_eq!(enriched(&fallback, &[]), "z=none");
    }

    #[test]
    fn two_attributes_cannot_get_one_name() {
        let rules = json!({ "a": {"rename": "c"}, "b": {"rename": "c"} });
        let config: EnrichConfig = serde_json::from_value(json!({ "record": rules })).unwrap();
        let problems = config.problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("`a` is renamed to the same name"));
    }

    #[test]
    fn numbers_are_looked_up_as_text_and_a_table_has_a_key_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"code,meaning\n200,ok\ntrue,yes\n").unwrap();
        let lookup = json!({ "m": {"lookup": {"table": file.path(), "key": "code"}} });
        let list = |value: serde_json::Value| [("code", value)];
        let found = |value| enriched(&lookup, &list(value));
        assert_eq!(found(text("200")), "code=200 m=ok");
        assert_eq!(found(json!({"intValue": "200"})), "code=200 m=ok");
        file.write_all(b"200,again\n").unwrap();
        let error = gophership_http_client::chain(&table::load(file.path()).unwrap_err());
        assert!(error.contains("line 4 has a key that is there twice: 200"), "{error}");
    }
}
