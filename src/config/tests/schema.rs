//! The registry, typetag and the schema tell the same story.

use serde_json::Value;

use crate::component::Section;
use crate::component::SinkConfig;
use crate::component::SourceConfig;
use crate::component::TransformConfig;
use crate::component::list;
use crate::config::decode::Form;
use crate::config::decode::decode;
use crate::config::decode::failure::Failure;
use crate::config::decode::failure::FailureKind;
use crate::config::schema;
use crate::config::yaml::parse;

/// Returns the names that typetag knows for a trait.
fn typetag_names<T: serde::de::DeserializeOwned>() -> Vec<&'static str> {
    let (empty, _) = parse("{}").unwrap();
    let failures = decode::<T>(&empty, Form::Tagged("no such type")).map(|_| ()).unwrap_err();
    match &failures[0] {
        Failure { fault: FailureKind::UnknownVariant { expected, .. }, .. } => expected.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_registered_component_can_be_decoded_and_the_other_way_round() {
    for section in Section::ALL {
        let mut known = match section {
            Section::Source => typetag_names::<Box<dyn SourceConfig>>(),
            Section::Transform => typetag_names::<Box<dyn TransformConfig>>(),
            Section::Sink => typetag_names::<Box<dyn SinkConfig>>(),
        };
        known.sort_unstable();
        let components = list();
        let listed: Vec<&str> =
            components.iter().filter(|it| it.section == section).map(|it| it.name).collect();
        assert_eq!(listed, known, "{section}");
    }
}

#[test]
fn no_option_of_the_document_lacks_a_description() {
    fn visit(path: &str, value: &Value, bare: &mut Vec<String>) {
        let Some(object) = value.as_object() else { return };
        for (name, property) in
            object.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let path = format!("{path}.{name}");
            let has_words = |it: &Value| it.get("description").is_some();
            if !has_words(property) {
                bare.push(path.clone());
            }
            visit(&path, property, bare);
        }
    }

    let schema = schema();
    let mut bare = Vec::new();
    visit("", &schema, &mut bare);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        visit(name, definition, &mut bare);
    }
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn components_share_no_option_names_with_their_section() {
    let schema = schema();
    for info in list() {
        let component = &schema["$defs"][format!("{}_{}", info.section, info.name)];
        assert_eq!(component["properties"]["type"]["const"], info.name);
        assert_eq!(component["additionalProperties"], false);
        assert!(component["required"].as_array().unwrap().contains(&"type".into()));
        let mut generator = schemars::SchemaGenerator::default();
        let reference = (info.schema)(&mut generator).to_value();
        let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let own = &generator.definitions()[name];
        for name in ["type", "inputs", "shed_in", "buffer"] {
            assert!(own["properties"].get(name).is_none(), "{}.{name}", info.name);
        }
        assert_eq!(own["additionalProperties"], false, "{} accepts unknown options", info.name);
    }
}
