//! The keys of a message in its JSON form.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::super::schema::{FieldSchema, Message};
use super::reading::Reading;

/// Reads a key; `None` for an unknown one.
pub(super) struct KeyReader<'o> {
    message: Message,
    /// Who notes unknown keys.
    reading: Option<&'o Reading>,
}

impl<'o> KeyReader<'o> {
    pub(super) const fn new(message: Message, reading: Option<&'o Reading>) -> Self {
        Self { message, reading }
    }
}

impl<'de> DeserializeSeed<'de> for KeyReader<'_> {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyReader<'_> {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let found = self.message.fields().iter().find(|field| field.json == key);
        if let (None, Some(reading)) = (found, self.reading) {
            reading.note_unknown(self.message, key);
        }
        Ok(found)
    }
}
