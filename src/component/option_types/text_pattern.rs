//! A regular expression as an option: compiled when the configuration is read.

use std::borrow::Cow;

use regex::Regex;
use regex::RegexBuilder;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The memory of one expression: larger ones are refused.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A regular expression that a text matches if it matches anywhere in it.
#[derive(Clone, Debug)]
pub(super) struct TextPattern(Regex);

impl TextPattern {
    /// Whether a text matches.
    #[must_use]
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl<'de> Deserialize<'de> for TextPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let compiled = RegexBuilder::new(&text).size_limit(COMPILED_BYTES_MAX).build();
        compiled.map(Self).map_err(|error| {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            D::Error::custom(format!("is no regular expression: {reason}"))
        })
    }
}

impl Serialize for TextPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl JsonSchema for TextPattern {
    fn schema_name() -> Cow<'static, str> {
        "TextPattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex" })
    }
}
