//! The registry and the schema tell the same story.

use serde_json::Value;

use crate::component::Section;
use crate::component::list;
use crate::component::type_names;
use crate::config::schema::generate;

#[test]
fn no_two_components_of_a_section_have_the_same_type() {
    for section in Section::ALL {
        let names = type_names(section);
        let mut distinct = names.clone();
        distinct.dedup();
        assert_eq!(names, distinct, "{section}");
        assert!(!names.is_empty(), "{section}");
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

    let schema = generate();
    let mut bare = Vec::new();
    visit("", &schema, &mut bare);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        visit(name, definition, &mut bare);
    }
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn components_share_no_option_names_with_their_section() {
    let schema = generate();
    for info in list() {
        let component = &schema["$defs"][format!("{}_{}", info.section, info.name)];
        assert_eq!(component["properties"]["type"]["const"], info.name);
        assert_eq!(component["additionalProperties"], false);
        assert!(component["required"].as_array().unwrap().contains(&"type".into()));
        let mut generator = schemars::SchemaGenerator::default();
        let reference = info.schema(&mut generator).to_value();
        let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let own = &generator.definitions()[name];
        for name in ["type", "inputs", "shed_in", "buffer"] {
            assert!(own["properties"].get(name).is_none(), "{}.{name}", info.name);
        }
        assert_eq!(own["additionalProperties"], false, "{} accepts unknown options", info.name);
    }
}
