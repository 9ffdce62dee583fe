//! Every answer of `gs-ctl -o json` is what its published schema says.
//!
//! `answers.json` has the shape of each answer; the schema in `website/gs-ctl.schema.json` is made of it, and
//! `UPDATE_GOLDEN=1` writes that. A shape is one of
//!
//! ```text
//! "integer", "number", "string", "boolean", "zone", "time", "any"    "integer?" may be null, "integer: text" explains
//! [shape]             a list          { "key": shape }    an object with exactly these keys
//! { "*": shape }      a map           { "?": shape }      the shape or null
//! { "|": [shapes] }   one of several  "@name"             a shape that several answers share
//! ```
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shapes() -> Map<String, Value> {
    let text = include_str!("answers.json");
    serde_json::from_str(text).unwrap()
}

/// The schema of all answers, each under its name.
fn schema() -> Value {
    let definition = |(name, shape): (String, Value)| {
        (name.trim_start_matches('@').to_owned(), schema_of(&shape))
    };
    let definitions: Map<String, Value> = shapes().into_iter().map(definition).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of gs-ctl -o json",
        "description": "Each command has its answer under #/$defs: `gs-ctl vault ls` is vault_ls. \
            New versions may add keys, and change or remove none.",
        "$defs": definitions,
    })
}

fn schema_of(shape: &Value) -> Value {
    match shape {
        Value::String(text) => plain(text),
        Value::Array(items) => json!({ "type": "array", "items": schema_of(&items[0]) }),
        Value::Object(fields) => {
            if let Some(values) = fields.get("*") {
                return json!({ "type": "object", "additionalProperties": schema_of(values) });
            }
            if let Some(shape) = fields.get("?") {
                return json!({ "anyOf": [schema_of(shape), { "type": "null" }] });
            }
            if let Some(Value::Array(shapes)) = fields.get("|") {
                return json!({ "anyOf": shapes.iter().map(schema_of).collect::<Value>() });
            }
            let field = |(key, shape): (&String, &Value)| (key.clone(), schema_of(shape));
            let properties: Map<String, Value> = fields.iter().map(field).collect();
            let required: Vec<&String> = fields.keys().collect();
            json!({
                "type": "object",
                "properties": properties,
                "required": required,
            })
        }
        other => panic!("{other} is no shape"),
    }
}

fn plain(text: &str) -> Value {
    if let Some(name) = text.strip_prefix('@') {
        return json!({ "$ref": format!("#/$defs/{name}") });
    }
    let (kind, description) = text.split_once(": ").unwrap_or((text, ""));
    let (kind, is_nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
    let mut schema = match kind {
        "any" => json!({}),
        "zone" => json!({ "type": "string", "enum": ["green", "yellow", "red", "none"] }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "integer" | "number" | "string" | "boolean" => json!({ "type": kind }),
        other => panic!("{other} is no shape"),
    };
    if is_nullable {
        schema["type"] = json!([schema["type"], "null"]);
    }
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    schema
}

/// What is wrong with a value, by the part of JSON Schema that is used here. A key that the schema does not have is
/// wrong too: it is not documented.
fn problems(value: &Value, schema: &Value, root: &Value, path: &str, out: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return problems(value, &root["$defs"][name], root, path, out);
    }
    if let Some(schemas) = schema["anyOf"].as_array() {
        let fits = |schema: &Value| {
            let mut found = Vec::new();
            problems(value, schema, root, path, &mut found);
            found.is_empty()
        };
        if !schemas.iter().any(fits) {
            out.push(format!("{path} is none of the forms"));
        }
        return;
    }
    let is_kind = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    let is_right = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is_kind),
        kind => is_kind(kind),
    };
    if !is_right || schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        out.push(format!("{path} is {value}, which is not {schema}"));
    }
    for (idx, item) in value.as_array().into_iter().flatten().enumerate() {
        problems(item, &schema["items"], root, &format!("{path}[{idx}]"), out);
    }
    let Some(fields) = value.as_object() else { return };
    for (key, field) in fields {
        let path = format!("{path}.{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if schema["type"].is_null() => {}
            (Value::Null, Value::Null) => out.push(format!("{path} is not in the schema")),
            (Value::Null, schema) | (schema, _) => problems(field, schema, root, &path, out),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(key.as_str().unwrap()) {
            out.push(format!("{path}.{} is missing", key.as_str().unwrap()));
        }
    }
}

/// Guarantees: the published schema is made of the shapes.
#[test]
fn the_published_schema_is_that_of_the_answers() {
    let path = root().join("website/gs-ctl.schema.json");
    let text = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(published, text, "{}; UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// Guarantees: every answer that has a golden file is in the schema, and is as it says.
#[test]
fn every_golden_answer_is_as_the_schema_says() {
    let (schema, shapes) = (schema(), shapes());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let file = path.file_stem().unwrap().to_str().unwrap();
        let answers = shapes.keys().filter(|name| {
            file == *name || file.strip_prefix(*name).is_some_and(|rest| rest.starts_with('_'))
        });
        let Some(name) = answers.max_by_key(|name| name.len()) else {
            found.push(format!("{file}: add the shape of the answer to tests/answers.json"));
            continue;
        };
        let value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        problems(&value, &schema["$defs"][name], &schema, file, &mut found);
        seen += 1;
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(20 < seen, "{seen}");
}

#[test]
fn what_is_missing_wrong_or_undocumented_is_found() {
    let schema = schema();
    let found = |value: Value, name: &str| {
        let mut found = Vec::new();
        problems(&value, &schema["$defs"][name], &schema, "it", &mut found);
        found.join("; ")
    };
    assert_eq!(found(json!({ "ready": true, "zone": "red", "degraded": [] }), "health"), "");
    assert!(found(json!({ "ready": true }), "health").contains("it.zone is missing"));
    assert!(found(json!({ "ready": 1, "zone": "red" }), "health").contains("it.ready is 1"));
    assert!(found(json!({ "ready": true, "zone": "blue" }), "health").contains("blue"));
    let more = json!({ "ready": true, "zone": "red", "degraded": [], "more": 1 });
    assert!(found(more, "health").contains("it.more is not in the schema"));
    assert_eq!(found(json!([{ "unix_ms": 1, "edge": 2 }]), "flight_show"), "");
    let contexts = json!({ "current": null, "contexts": { "a": { "socket": 1 } } });
    assert!(found(contexts, "contexts").contains("it.contexts.a is none of the forms"));
}
