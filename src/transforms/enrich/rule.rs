//! What is done with one attribute, as written in the configuration.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use gophership_otlp::Value;

/// A plain value, which sets the attribute, or an action.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Rule(Action);

/// How an attribute is changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Sets the attribute, and replaces an existing value.
    Set(ScalarValue),
    /// Sets the attribute only if it is absent.
    SetIfAbsent(ScalarValue),
    /// Renames the attribute.
    Rename(String),
    /// Deletes the attribute; the value must be `true`.
    Delete(bool),
    /// Sets the attribute from a table, by the value of another attribute of the same level.
    Lookup(Lookup),
}

/// A look-up in a table.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lookup {
    /// CSV file with a header line; the first column is the key, the second the value. No key may be
    /// there twice. GopherShip reads it again when it changes.
    pub(super) table: PathBuf,
    /// The attribute whose value is the key; numbers and booleans are looked up as text.
    pub(super) key: String,
    /// Set the attribute only if it is absent.
    #[serde(default)]
    pub(super) if_absent: bool,
    /// The value for keys that are not in the table. Without it the attribute stays unchanged.
    #[serde(default)]
    pub(super) default: Option<ScalarValue>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ScalarValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    String(String),
}

impl From<ScalarValue> for Value {
    fn from(scalar: ScalarValue) -> Self {
        match scalar {
            ScalarValue::Bool(value) => Self::Bool(value),
            ScalarValue::Int(value) => Self::Int(value),
            ScalarValue::Double(value) => Self::Double(value),
            ScalarValue::String(value) => Self::String(value),
        }
    }
}

impl Rule {
    pub(super) fn action(&self) -> Action {
        self.0.clone()
    }

    /// The name that it gives the attribute, if it renames it.
    pub(super) fn new_name(&self) -> Option<&str> {
        match &self.0 {
            Action::Rename(to) => Some(to),
            _ => None,
        }
    }

    /// What is wrong with the rule for an attribute, if anything.
    pub(super) fn problem(&self, key: &str) -> Option<String> {
        match &self.0 {
            Action::Delete(false) => Some("`delete` must be true".to_owned()),
            Action::Rename(to) if to.is_empty() || to == key => {
                Some("`rename` needs a different name".to_owned())
            }
            Action::Lookup(lookup) if lookup.key.is_empty() => {
                Some("`lookup` needs the `key` of an attribute".to_owned())
            }
            _ => None,
        }
    }
}

/// Reads a plain value, and with `M` also a mapping.
struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = ScalarValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, a number, true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<ScalarValue, E> {
        i64::try_from(value)
            .map(ScalarValue::Int)
            .map_err(|_| E::custom(format!("{value} is too large for an attribute")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Double(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<ScalarValue, E> {
        Ok(ScalarValue::String(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ScalarValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = Rule;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value, or one of set, set_if_absent, rename, delete, lookup")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Rule, E> {
        ScalarVisitor.visit_bool(value).map(set)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Rule, E> {
        ScalarVisitor.visit_i64(value).map(set)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Rule, E> {
        ScalarVisitor.visit_u64(value).map(set)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Rule, E> {
        ScalarVisitor.visit_f64(value).map(set)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Rule, E> {
        ScalarVisitor.visit_str(value).map(set)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
        Action::deserialize(MapAccessDeserializer::new(map)).map(Rule)
    }
}

fn set(value: ScalarValue) -> Rule {
    Rule(Action::Set(value))
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

impl JsonSchema for Rule {
    fn schema_name() -> Cow<'static, str> {
        "AttributeRule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<ScalarValue>();
        let action = generator.subschema_for::<Action>();
        json_schema!({ "description": "A value to set, or an action.", "anyOf": [value, action] })
    }
}
