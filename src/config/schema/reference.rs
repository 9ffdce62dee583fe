//! The configuration reference in Markdown, written from the schema the program itself uses.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::component::ComponentInfo;
use crate::component::Section;
use crate::component::list;
use crate::config::schema::generate::definition_name;
use crate::config::schema::generate::document_schema;
use crate::config::schema::generate::entries_at;
use crate::config::sections::shared_options;

/// How deep nested options are listed.
const DEPTH_MAX: usize = 6;
/// A mapping that several components have, and whose options are listed once.
const SHARED_MAPPING: &str = "bucket";

/// What stands above the table of settings, a sentence a line.
const SETTINGS: &str = "\
# Configuration reference

This page is generated from the program: `gophership schema` prints the same as a [JSON Schema](gophership.schema.json), \
with which editors complete a configuration.

Sizes are written like `64MiB`, durations like `1m30s` and shares like `85%`.
In any value `${VAR}` and `${VAR:-default}` stand for environment variables, and `$$` for a dollar.
`${HOSTNAME}` is the name of the host where the environment does not have it.
Relative paths are relative to the working directory.
A component has an id of your choice under `sources`, `transforms` or `sinks`, and its `type` \
says which one it is.
The options that components share are on [a page of their own](components/common.md).
";

/// What stands above the tables of shared options.
const SHARED: &str = "\
# Common options

This page is generated from the program.
It has the options that several components share; the page of a component has only those of its own.
";

/// The reference in Markdown: what is on one page of the website each.
#[derive(Debug)]
pub(in crate::config) struct Reference {
    /// All components with links to their pages, and the table of settings.
    pub(in crate::config) settings: String,
    /// The options that several components share.
    pub(in crate::config) shared: String,
    /// For each component its options without the shared ones.
    pub(in crate::config) components: Vec<(&'static ComponentInfo, String)>,
}

/// Returns the reference.
pub(in crate::config) fn reference() -> Reference {
    let schema = document_schema();
    let definitions = schema.get("$defs").unwrap_or(&Value::Null);
    let components: Vec<_> = list()
        .into_iter()
        .filter_map(|info| Some((info, definitions.get(definition_name(info))?)))
        .collect();
    let mut rows = Rows::new(definitions);
    for (name, property) in entries_at(&schema, "properties") {
        if Section::ALL.iter().all(|section| section.key() != name) {
            rows.option(name, property, &Given::default(), 0);
        }
    }
    let links: String = Section::ALL.into_iter().map(links).collect();
    let settings = format!("{SETTINGS}{links}\n## Settings\n\n{}", rows.table());
    let tables = components.iter().map(|(info, component)| {
        (*info, own_options(info.section, component, definitions).table())
    });
    let tables = tables.collect();
    Reference { settings, shared: shared(&components, definitions), components: tables }
}

/// Lists the components of a section with links to their pages.
fn links(section: Section) -> String {
    let infos = list().into_iter().filter(|info| info.section == section);
    let rows = infos.map(|info| {
        let ComponentInfo { name, summary, .. } = info;
        format!("| [`{name}`](components/{}/{name}.md) | {summary} |\n", section.key())
    });
    let title = section.key();
    let (first, rest) = title.split_at(1);
    let title = format!("{}{rest}", first.to_uppercase());
    format!("\n## {title}\n\n| type | what it does |\n|---|---|\n{}", rows.collect::<String>())
}

/// Collects the options of a component that are not on the page of shared options.
fn own_options<'s>(section: Section, component: &'s Value, definitions: &'s Value) -> Rows<'s> {
    let mut rows = Rows::new(definitions);
    rows.left_out = shared_options(section);
    rows.elsewhere = SHARED_MAPPING;
    rows.options("", component, None, 0);
    rows
}

/// Writes the page of the options that components share.
fn shared(components: &[(&ComponentInfo, &Value)], definitions: &Value) -> String {
    let mut text = SHARED.to_owned();
    for section in [Section::Transform, Section::Sink] {
        let Some((_, component)) = components.iter().find(|(info, _)| info.section == section)
        else {
            continue;
        };
        let mut rows = Rows::new(definitions);
        for name in shared_options(section) {
            if let Some(property) = component.get("properties").and_then(|all| all.get(name)) {
                let is_required = array_at(component, "required").any(|it| it == name);
                rows.option(name, property, &Given { is_required, ..Given::default() }, 0);
            }
        }
        // Writing to a text cannot fail.
        let _written = write!(text, "\n## Of all {}\n\n{}", section.key(), rows.table());
    }
    let bucket = components
        .iter()
        .find_map(|(_, component)| component.get("properties")?.get(SHARED_MAPPING));
    if let Some(bucket) = bucket {
        let mut rows = Rows::new(definitions);
        rows.option(SHARED_MAPPING, bucket, &Given { is_required: true, ..Given::default() }, 0);
        let _written = write!(text, "\n## A bucket\n\n{}", rows.table());
    }
    text
}

/// What is known about an option from the mapping it stands in.
#[derive(Default)]
struct Given<'s> {
    /// The default of the whole mapping has this in it.
    default: Option<&'s Value>,
    is_required: bool,
    /// Said of the option where its own schema says nothing.
    description: Option<&'s Value>,
}

/// The rows of one table.
struct Rows<'s> {
    definitions: &'s Value,
    lines: Vec<String>,
    /// The option under which a definition was listed first.
    listed: HashMap<String, String>,
    /// Options that are on another page.
    left_out: &'static [&'static str],
    /// A mapping whose inner options are on another page; empty if there is none.
    elsewhere: &'static str,
}

impl<'s> Rows<'s> {
    fn new(definitions: &'s Value) -> Self {
        let (lines, listed) = (Vec::new(), HashMap::new());
        Self { definitions, lines, listed, left_out: &[], elsewhere: "" }
    }

    /// Puts the rows under the head of a table.
    fn table(&self) -> String {
        if self.lines.is_empty() {
            return "It has no options of its own.\n".to_owned();
        }
        let rows = self.lines.join("\n");
        format!("| option | type | default | description |\n|---|---|---|---|\n{rows}\n")
    }

    /// Adds the options of a mapping, the required ones first; `given` is the default of the whole
    /// mapping, if it has one.
    fn options(&mut self, prefix: &str, schema: &'s Value, given: Option<&'s Value>, depth: usize) {
        let names = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = names.filter_map(Value::as_str).collect();
        for is_required in [true, false] {
            for (name, property) in entries_at(schema, "properties") {
                let is_left_out = depth == 0 && self.left_out.contains(&name.as_str());
                if is_left_out || name == "type" {
                    continue;
                }
                if required.contains(&name.as_str()) == is_required {
                    let default = given.and_then(|given| given.get(name));
                    let given = Given { default, is_required, description: None };
                    self.option(&format!("{prefix}{name}"), property, &given, depth);
                }
            }
        }
        for choice in array_at(schema, "oneOf") {
            for (name, property) in entries_at(choice, "properties") {
                let given = Given { description: choice.get("description"), ..Given::default() };
                self.option(&format!("{prefix}{name}"), property, &given, depth);
            }
        }
    }

    /// Adds an option and those inside it.
    fn option(&mut self, name: &str, property: &'s Value, given: &Given<'s>, depth: usize) {
        let default = given.default.or_else(|| property.get("default"));
        let inner = self.inner(property);
        let is_mapping = inner.as_ref().is_some_and(|inner| inner.suffix == ".");
        let shown = match default {
            _ if given.is_required && given.default.is_none() => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(Value::Object(_)) if is_mapping => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
        };
        let own = property.get("description").or(given.description);
        let resolved = self.resolve(property);
        let description = own.or_else(|| resolved.get("description")).and_then(Value::as_str);
        let mut description = description.unwrap_or_default().to_owned();
        for choice in array_at(resolved, "oneOf") {
            if let (Some(choice), Some(words)) =
                (text_at(choice, "const"), text_at(choice, "description"))
            {
                let _written = write!(description, " `{choice}`: {words}");
            }
        }
        let inner = inner.filter(|_| depth < DEPTH_MAX);
        let mut listed =
            inner.as_ref().and_then(|inner| self.listed.get(&inner.definition).cloned());
        if let Some(first) = &listed {
            let _written = write!(description, " Its options are those of `{first}`.");
        }
        if name == self.elsewhere {
            description.push_str(" Its options are [common options](../common.md#a-bucket).");
            listed = Some(name.to_owned());
        }
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let cells = [format!("`{name}`"), self.kind(property), shown, description];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        self.lines.push(format!("| {} |", cells.join(" | ")));
        if let (Some(inner), None) = (inner, listed) {
            self.listed.insert(inner.definition, name.to_owned());
            let default = default.filter(|default| default.is_object() && is_mapping);
            self.options(&format!("{name}{}", inner.suffix), inner.schema, default, depth + 1);
        }
    }

    /// Finds the mapping of options in a value: the value itself, or what its list or mapping holds.
    fn inner(&self, property: &'s Value) -> Option<Inner<'s>> {
        let has_options = |schema: &&'s Value| {
            let is_choice = array_at(schema, "oneOf").any(|it| it.get("properties").is_some());
            is_choice || schema.get("properties").is_some()
        };
        let find = |schema: &'s Value, suffix| {
            let forms = self.forms(schema);
            let schema = forms.into_iter().find(has_options)?;
            Some(Inner { schema, suffix, definition: schema.to_string() })
        };
        let resolved = self.resolve(property);
        let items = || resolved.get("items").and_then(|items| find(items, "[]."));
        let values = || resolved.get("additionalProperties").and_then(|it| find(it, ".NAME."));
        find(property, ".").or_else(items).or_else(values)
    }

    /// Follows references, and passes over the alternative "nothing".
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        self.forms(schema).first().copied().unwrap_or(schema)
    }

    /// Returns the forms that a value may have, references followed, without "nothing".
    fn forms(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut forms = Vec::new();
        let mut open = vec![(schema, 0)];
        while let Some((schema, depth)) = open.pop() {
            let target = text_at(schema, "$ref")
                .and_then(|path| self.definitions.get(path.rsplit('/').next()?));
            let alternatives: Vec<&Value> = array_at(schema, "anyOf").collect();
            if depth == DEPTH_MAX || (target.is_none() && alternatives.is_empty()) {
                if text_at(schema, "type") != Some("null") {
                    forms.push(schema);
                }
                continue;
            }
            // The last one in comes out first.
            let next = target.into_iter().chain(alternatives.into_iter().rev());
            open.extend(next.map(|schema| (schema, depth + 1)));
        }
        forms
    }

    /// Names the type of a value.
    fn kind(&self, schema: &'s Value) -> String {
        let alternatives = array_at(schema, "anyOf").filter_map(|it| text_at(it, "$ref"));
        let references = text_at(schema, "$ref").into_iter().chain(alternatives);
        for reference in references {
            match reference.rsplit('/').next() {
                Some("Duration") => return "duration".to_owned(),
                Some("Size") => return "size".to_owned(),
                Some("Share") => return "share".to_owned(),
                Some("OutputId") => return "id".to_owned(),
                _ => {}
            }
        }
        let mut kinds: Vec<String> = Vec::new();
        for kind in self.forms(schema).into_iter().map(|form| self.kind_of_form(form)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.iter().any(|kind| kind == "number") {
            kinds.retain(|kind| kind != "whole number");
        }
        match kinds.split_last() {
            Some((last, others)) if !others.is_empty() => {
                format!("{} or {last}", others.join(", "))
            }
            _ => kinds.concat(),
        }
    }

    /// Names the type of a value that has one form only.
    fn kind_of_form(&self, schema: &'s Value) -> String {
        let constants = array_at(schema, "oneOf").filter_map(|it| it.get("const"));
        let choices: Vec<String> = constants
            .chain(array_at(schema, "enum"))
            .filter_map(Value::as_str)
            .map(|name| format!("`{name}`"))
            .collect();
        if !choices.is_empty() {
            return choices.join(", ");
        }
        let types = array_at(schema, "type").filter_map(Value::as_str);
        let type_name =
            text_at(schema, "type").or_else(|| types.into_iter().find(|it| *it != "null"));
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
            _ if schema.get("oneOf").is_some() => "mapping".to_owned(),
            _ => "any".to_owned(),
        }
    }
}

/// Options inside an option.
struct Inner<'s> {
    /// The schema with the options.
    schema: &'s Value,
    /// What stands between the name of the outer option and those inside.
    suffix: &'static str,
    /// Tells this schema from others.
    definition: String,
}

/// Returns the items of a member that is a list; none if there is no such member.
fn array_at<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Returns a member that is a text.
fn text_at<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}
