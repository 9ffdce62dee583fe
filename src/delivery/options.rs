//! Options of the engine that no type of the document expresses: `auto` or a number.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de;

const AUTO: &str = "auto";

/// `auto`, or a number of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyOption {
    /// As many as are of use.
    #[default]
    Auto,
    /// Always so many.
    Fixed(u32),
}

impl Serialize for ConcurrencyOption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Fixed(requests) => serializer.serialize_u32(*requests),
        }
    }
}

impl<'de> Deserialize<'de> for ConcurrencyOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl de::Visitor<'_> for Form {
    type Value = ConcurrencyOption;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`auto` or a number of requests")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConcurrencyOption, E> {
        if text == AUTO {
            return Ok(ConcurrencyOption::Auto);
        }
        // A number from the environment is a text.
        let number = text.trim().parse().map(ConcurrencyOption::Fixed);
        number.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ConcurrencyOption, E> {
        let requests = u32::try_from(number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))?;
        Ok(ConcurrencyOption::Fixed(requests))
    }
}

impl schemars::JsonSchema for ConcurrencyOption {
    fn schema_name() -> Cow<'static, str> {
        "Concurrency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string", "enum": [AUTO] },
                { "type": "integer", "minimum": 1, "maximum": 1024 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_auto_or_a_number() {
        let read = |text: &str| serde_json::from_str::<ConcurrencyOption>(text);
        assert_eq!(read("\"auto\"").unwrap(), ConcurrencyOption::Auto);
        assert_eq!(read("16").unwrap(), ConcurrencyOption::Fixed(16));
        assert_eq!(read("\"16\"").unwrap(), ConcurrencyOption::Fixed(16));
        for text in ["\"fast\"", "-1", "1.5", "99999999999", "true", "null"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("`auto` or a number of requests"), "{error}");
        }
        for option in [ConcurrencyOption::Auto, ConcurrencyOption::Fixed(3)] {
            let text = serde_json::to_string(&option).unwrap();
            assert_eq!(read(&text).unwrap(), option);
        }
    }
}
