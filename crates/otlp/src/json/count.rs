//! How many records there are in a part of a JSON request that cannot be read.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::schema::{Kind, Message};
use super::key::KeyReader;

/// Counts the records of a message, up to where it is not JSON.
pub(super) fn count(message: Message, json: &str) -> u64 {
    let records = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // What was counted before it went wrong is what there is to say.
    let _read = Counter { message, records: &records }.deserialize(&mut deserializer);
    records.get()
}

/// Reads an element, or a list of elements.
struct Counter<'c> {
    message: Message,
    records: &'c Cell<u64>,
}

impl Counter<'_> {
    /// Counts what is no list.
    fn element(&self) {
        self.records.set(self.records.get() + u64::from(self.message.is_record()));
    }
}

impl<'de> DeserializeSeed<'de> for Counter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counter<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.element();
        while let Some(field) = map.next_key_seed(KeyReader::new(self.message, None))? {
            match field.map(|field| field.kind) {
                Some(Kind::Message(message)) if message.is_record() || message.has_records() => {
                    map.next_value_seed(Counter { message, records: self.records })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { message, records } = self;
        while list.next_element_seed(Counter { message, records })?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.element();
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.element();
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.element();
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.element();
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.element();
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.element();
        Ok(())
    }
}
