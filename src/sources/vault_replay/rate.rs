//! The `rate` option: the word `auto`, or a number.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde::de::Error;
use serde::de::Unexpected;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReplayRate {
    /// Scaled by the zone.
    #[default]
    Auto,
    /// Records per second.
    PerSecond(u32),
}

impl Serialize for ReplayRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::PerSecond(rate) => serializer.serialize_u32(*rate),
        }
    }
}

struct RateVisitor;

impl Visitor<'_> for RateVisitor {
    type Value = ReplayRate;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`auto`, or records per second")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ReplayRate, E> {
        match text.parse() {
            Ok(rate) => Ok(ReplayRate::PerSecond(rate)),
            Err(_) if text == "auto" => Ok(ReplayRate::Auto),
            Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: Error>(self, rate: u64) -> Result<ReplayRate, E> {
        let valid = u32::try_from(rate).map(ReplayRate::PerSecond);
        valid.map_err(|_| E::invalid_value(Unexpected::Unsigned(rate), &self))
    }
}

impl<'de> Deserialize<'de> for ReplayRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RateVisitor)
    }
}

impl JsonSchema for ReplayRate {
    fn schema_name() -> Cow<'static, str> {
        "ReplayRate".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto`, or records per second.",
            "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }],
        })
    }
}
