//! Generates the schema from what the options say of themselves.

use schemars::JsonSchema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::component::ComponentInfo;
use crate::component::Section;
use crate::component::list;
use crate::config::sections::Settings;
use crate::config::sections::SharedOptions;
use crate::config::sections::TYPE;
use crate::config::sections::shared_options;

/// A text with an interpolation, which may stand for a value of any type.
const VARIABLE_PATTERN: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

/// Returns the JSON Schema of the document, with every component of this program.
pub(in crate::config) fn generate() -> Value {
    let mut schema = document_schema();
    admit_variables(&mut schema);
    schema
}

/// Returns the schema without the alternative `${VAR}` for each value.
pub(super) fn document_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut document = Settings::json_schema(&mut generator).to_value();
    let mut components = Map::new();
    for section in Section::ALL {
        let mut references = Vec::new();
        for info in list().into_iter().filter(|info| info.section == section) {
            let name = definition_name(info);
            references.push(json!({ "$ref": format!("#/$defs/{name}") }));
            components.insert(name, component_schema(info, &mut generator));
        }
        let description = match section {
            Section::Source => "The sources, which receive data. Each has an id of your choice.",
            Section::Transform => {
                "The transforms, which process data. Each has an id of your choice."
            }
            Section::Sink => "The sinks, which deliver data. Each has an id of your choice.",
        };
        let properties = json!({
            "type": "object",
            "description": description,
            "propertyNames": { "pattern": "^[a-z0-9_][a-z0-9_.-]{0,63}$" },
            "additionalProperties": { "oneOf": references },
        });
        if let Some(known) = document.get_mut("properties").and_then(Value::as_object_mut) {
            known.insert(section.key().to_owned(), properties);
        }
    }
    components.extend(generator.take_definitions(true));
    if let Some(root) = document.as_object_mut() {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("GopherShip configuration"));
        root.insert("description".to_owned(), json!("The pipeline and its options."));
        root.insert("required".to_owned(), json!(["sinks", "sources"]));
        root.insert("$defs".to_owned(), Value::Object(components));
    }
    document
}

/// Returns the name of a component's definition.
pub(super) fn definition_name(info: &ComponentInfo) -> String {
    format!("{}_{}", info.section, info.name)
}

/// Returns the schema of one component: its own options and those of its section.
fn component_schema(info: &ComponentInfo, generator: &mut SchemaGenerator) -> Value {
    let mut own = info.schema(generator).to_value();
    let reference =
        own.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    if let Some(found) = reference.and_then(|name| generator.definitions().get(name)) {
        own = found.clone();
    }
    let shared = SharedOptions::json_schema(generator).to_value();
    let mut properties = Map::new();
    properties.insert(TYPE.to_owned(), json!({ "const": info.name, "description": info.summary }));
    let names = shared_options(info.section);
    for (name, property) in entries_at(&shared, "properties") {
        if names.contains(&name.as_str()) {
            properties.insert(name.clone(), property.clone());
        }
    }
    properties.extend(entries_at(&own, "properties").map(|(name, it)| (name.clone(), it.clone())));
    let mut required = vec![json!(TYPE)];
    if info.section == Section::Transform {
        required.push(json!("inputs"));
    }
    required.extend(own.get("required").and_then(Value::as_array).into_iter().flatten().cloned());
    json!({
        "type": "object",
        "title": format!("{} {}", info.name, info.section),
        "description": info.summary,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Returns the entries of a member that is an object; none if there is no such member.
pub(super) fn entries_at<'v>(
    value: &'v Value,
    key: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// Admits `${VAR}` wherever a schema would refuse such a text.
fn admit_variables(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    for key in ["properties", "$defs"] {
        for (_, inner) in object.get_mut(key).and_then(Value::as_object_mut).into_iter().flatten() {
            admit_variables(inner);
        }
    }
    for key in ["items", "additionalProperties"] {
        object.get_mut(key).map(admit_variables).unwrap_or_default();
    }
    if is_choice_of_names(object) || refuses_texts(object) {
        let mut plain = std::mem::take(object);
        for key in ["description", "default", "title"] {
            if let Some(note) = plain.remove(key) {
                object.insert(key.to_owned(), note);
            }
        }
        let variable = json!({ "type": "string", "pattern": VARIABLE_PATTERN });
        object.insert("anyOf".to_owned(), json!([plain, variable]));
        return;
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for inner in object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            admit_variables(inner);
        }
    }
}

/// Whether the schema is a list of names, each with its description.
fn is_choice_of_names(object: &Map<String, Value>) -> bool {
    let names = object.get("oneOf").and_then(Value::as_array);
    names.is_some_and(|names| {
        !names.is_empty()
            && names.iter().all(|name| name.get("const").is_some() || name.get("enum").is_some())
    })
}

/// Whether the schema is that of a scalar and does not take every text.
fn refuses_texts(object: &Map<String, Value>) -> bool {
    let types: Vec<&str> = match object.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return false,
    };
    let is_scalar = !types.iter().any(|name| matches!(*name, "object" | "array"))
        && types.iter().any(|name| *name != "null");
    let is_narrow = ["pattern", "enum", "format", "minLength", "maxLength"]
        .iter()
        .any(|key| object.contains_key(*key));
    is_scalar && !object.contains_key("const") && (is_narrow || !types.contains(&"string"))
}
