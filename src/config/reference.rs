//! The configuration reference in Markdown, written from the schema the program itself uses.

use std::fmt::Write as _;

use serde_json::Value;

use crate::config::registry;
use crate::config::registry::Section;
use crate::config::schema::definition_name;
use crate::config::schema::document_schema;
use crate::config::schema::entries_at;

/// How deep nested options are listed.
const DEPTH_MAX: usize = 6;

/// Returns the reference: a table of the settings, then one of each component.
#[must_use]
pub fn reference() -> String {
    let schema = document_schema();
    let definitions = schema.get("$defs").unwrap_or(&Value::Null);
    let mut text = "# Configuration reference\n\n".to_owned();
    text.push_str(
        "Sizes are written like `64MiB`, durations like `1m30s` and shares like `85%`. In any \
         value `${VAR}` and `${VAR:-default}` stand for environment variables, and `$$` for a \
         dollar. Relative paths are relative to the working directory.\n\n## Settings\n\n",
    );
    let mut rows = Rows { definitions, lines: Vec::new() };
    for (name, property) in entries_at(&schema, "properties") {
        if Section::ALL.iter().all(|section| section.key() != name) {
            rows.option(name, property, None, false, 0);
        }
    }
    text.push_str(&table(&rows.lines));
    for section in Section::ALL {
        let title = match section {
            Section::Source => "Sources",
            Section::Transform => "Transforms",
            Section::Sink => "Sinks",
        };
        let _written = write!(text, "\n## {title}\n");
        for info in registry::list().into_iter().filter(|info| info.section == section) {
            let _written = write!(text, "\n### `{}`\n\n{}\n\n", info.name, info.summary);
            let Some(component) = definitions.get(definition_name(info)) else { continue };
            let mut rows = Rows { definitions, lines: Vec::new() };
            rows.options("", component, None, 0);
            text.push_str(&table(&rows.lines));
        }
    }
    text
}

/// Puts rows under the head of a table.
fn table(rows: &[String]) -> String {
    if rows.is_empty() {
        return "It has no options.\n".to_owned();
    }
    format!("| option | type | default | description |\n|---|---|---|---|\n{}\n", rows.join("\n"))
}

/// The rows of one table.
struct Rows<'s> {
    definitions: &'s Value,
    lines: Vec<String>,
}

impl<'s> Rows<'s> {
    /// Adds the options of a mapping, the required ones first; `given` is the default of the whole
    /// mapping, if it has one.
    fn options(&mut self, prefix: &str, schema: &'s Value, given: Option<&Value>, depth: usize) {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for wants_required in [true, false] {
            for (name, property) in entries_at(schema, "properties") {
                let is_required = required.contains(&name.as_str());
                if is_required == wants_required && name != "type" {
                    let default = given.and_then(|given| given.get(name));
                    self.option(&format!("{prefix}{name}"), property, default, is_required, depth);
                }
            }
        }
    }

    /// Adds an option and those inside it.
    fn option(
        &mut self,
        name: &str,
        property: &'s Value,
        given: Option<&Value>,
        is_required: bool,
        depth: usize,
    ) {
        let resolved = self.resolve(property);
        let default = given.or_else(|| property.get("default"));
        let is_mapping = resolved.get("properties").is_some();
        let shown = match default {
            _ if is_required && given.is_none() => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(Value::Object(_)) if is_mapping => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
        };
        let description = [property, resolved].into_iter().find_map(|it| it.get("description"));
        let description = description.and_then(Value::as_str).unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = self.kind(property);
        let cells = [format!("`{name}`"), kind, shown, description];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        self.lines.push(format!("| {} |", cells.join(" | ")));
        if is_mapping && depth < DEPTH_MAX {
            let inner = default.filter(|default| default.is_object());
            self.options(&format!("{name}."), resolved, inner, depth + 1);
        }
    }

    /// Follows references, and passes over the alternative "nothing".
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        for _ in 0..DEPTH_MAX {
            let reference = schema.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|path| self.definitions.get(path.rsplit('/').next()?));
            let alternatives = schema.get("anyOf").and_then(Value::as_array);
            let is_something = |it: &&Value| it.get("type").and_then(Value::as_str) != Some("null");
            let something =
                alternatives.and_then(|alternatives| alternatives.iter().find(is_something));
            match target.or(something) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// Names the type of a value.
    fn kind(&self, schema: &'s Value) -> String {
        let reference = schema.to_string();
        for (definition, kind) in
            [("Duration", "duration"), ("Size", "size"), ("Share", "share"), ("ComponentId", "id")]
        {
            if reference.contains(&format!("\"#/$defs/{definition}\""))
                && schema.get("items").is_none()
            {
                return kind.to_owned();
            }
        }
        let schema = self.resolve(schema);
        let names = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
        let constants = names("oneOf").flat_map(|it| {
            it.get("const")
                .into_iter()
                .chain(it.get("enum").and_then(Value::as_array).into_iter().flatten())
        });
        let choices: Vec<String> = constants
            .chain(names("enum"))
            .filter_map(Value::as_str)
            .map(|name| format!("`{name}`"))
            .collect();
        if !choices.is_empty() {
            return choices.join(", ");
        }
        let first_type = names("type").filter_map(Value::as_str).find(|name| *name != "null");
        let type_name = schema.get("type").and_then(Value::as_str).or(first_type);
        match (type_name, schema.get("items"), schema.get("additionalProperties")) {
            (Some("array"), Some(items), _) => format!("list of {}", self.kind(items)),
            (Some("object"), _, Some(values @ Value::Object(_))) => {
                format!("mapping to {}", self.kind(values))
            }
            (Some("object"), ..) => "mapping".to_owned(),
            (Some("string"), ..) => "text".to_owned(),
            (Some("integer"), ..) => "whole number".to_owned(),
            (Some("number"), ..) => "number".to_owned(),
            (Some("boolean"), ..) => "`true`, `false`".to_owned(),
            _ => "any".to_owned(),
        }
    }
}
