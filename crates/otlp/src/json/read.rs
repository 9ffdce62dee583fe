//! From JSON to the wire.
//!
//! Liberal as the mapping asks for, and a little beyond: numbers may be strings and 64-bit numbers may be
//! numbers, enumerations may be names, null is the same as nothing, unknown keys are ignored, and half a
//! character is U+FFFD.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::wire::{WireType, put_bytes, put_key, put_message, put_varint};
use super::count::count;
use super::enumerations::enumerated;
use super::key::KeyReader;
use super::reading::Reading;
use super::text::{read_base64, read_hex};

/// Of a text that is refused no more is shown.
const SHOWN_CHARS_MAX: usize = 64;

/// Reads an object and appends the fields of its message.
pub(super) struct MessageReader<'o> {
    pub(super) message: Message,
    pub(super) depth_left: u32,
    pub(super) reading: &'o Reading,
    pub(super) out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for MessageReader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with the fields of {:?}", self.message)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) =
            map.next_key_seed(KeyReader::new(self.message, Some(self.reading)))?
        {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(FieldReader {
                field,
                place: Place::Field,
                depth_left: self.depth_left,
                reading: self.reading,
                out: self.out,
            })?;
        }
        Ok(())
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Right behind its key.
    Field,
    /// In an array; written as a field of its own.
    Element,
    /// In an array of numbers; written without a key.
    Packed,
}

/// Reads a value and appends it as a field.
struct FieldReader<'o> {
    field: &'static FieldSchema,
    place: Place,
    depth_left: u32,
    reading: &'o Reading,
    out: &'o mut Vec<u8>,
}

impl FieldReader<'_> {
    /// Refuses a single value where there must be an array.
    fn check_single<E: Error>(&self) -> Result<(), E> {
        if self.field.presence == Presence::Repeated && self.place == Place::Field {
            return Err(E::custom(format_args!("{} must be a list", self.field.json)));
        }
        Ok(())
    }

    fn refuse<E: Error>(&self, value: impl fmt::Display) -> E {
        E::custom(format_args!("{value} is not {}", expected(self.field.kind)))
    }

    fn refuse_text<E: Error>(&self, text: &str) -> E {
        self.refuse(shown(text))
    }

    /// Reads an element for itself. One that cannot be read, or that lost its last record, is passed over;
    /// what is too large is an error all the same.
    fn salvage(self, message: Message, json: &RawValue) -> Result<(), serde_json::Error> {
        let Self { field, place, depth_left, reading, out } = self;
        let (len, before) = (out.len(), reading.counts());
        let mut deserializer = serde_json::Deserializer::from_str(json.get());
        let reader = FieldReader { field, place, depth_left, reading, out: &mut *out };
        let read = reader.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        match read {
            Ok(()) if message.is_record() => reading.keep(),
            Ok(()) if reading.counts().is_emptied_since(before) => out.truncate(len),
            Ok(()) => {}
            Err(error) if reading.refused().is_some() => return Err(error),
            Err(_) => {
                out.truncate(len);
                // What is a fault in itself is one record at least.
                reading.reject(before, count(message, json.get()).max(1));
            }
        }
        Ok(())
    }

    fn put_varint(self, value: u64) {
        if self.place != Place::Packed {
            put_key(self.out, self.field.number, 0);
        }
        put_varint(self.out, value);
    }

    fn put_fixed(self, wire_type: u8, bytes: &[u8]) {
        if self.place != Place::Packed {
            put_key(self.out, self.field.number, wire_type);
        }
        self.out.extend_from_slice(bytes);
    }

    fn put_integer<E: Error>(self, value: i128) -> Result<(), E> {
        self.check_single()?;
        let out_of_range = |_| self.refuse(value);
        match self.field.kind {
            Kind::Int32 => {
                let value = i32::try_from(value).map_err(out_of_range)?;
                self.put_varint(i64::from(value).cast_unsigned());
            }
            Kind::Uint32 => {
                let value = u32::try_from(value).map_err(out_of_range)?;
                self.put_varint(u64::from(value));
            }
            Kind::Sint32 => {
                let value = i32::try_from(value).map_err(out_of_range)?;
                self.put_varint(u64::from((value << 1 ^ value >> 31).cast_unsigned()));
            }
            Kind::Int64 => {
                let value = i64::try_from(value).map_err(out_of_range)?;
                self.put_varint(value.cast_unsigned());
            }
            Kind::Uint64 => {
                let value = u64::try_from(value).map_err(out_of_range)?;
                self.put_varint(value);
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(out_of_range)?;
                self.put_fixed(5, &value.to_le_bytes());
            }
            Kind::Fixed64 => {
                let value = u64::try_from(value).map_err(out_of_range)?;
                self.put_fixed(1, &value.to_le_bytes());
            }
            Kind::Sfixed64 => {
                let value = i64::try_from(value).map_err(out_of_range)?;
                self.put_fixed(1, &value.to_le_bytes());
            }
            Kind::Double => return self.put_double(nearest_double(value)),
            Kind::Bool | Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => {
                return Err(self.refuse(value));
            }
        }
        Ok(())
    }

    fn put_double<E: Error>(self, value: f64) -> Result<(), E> {
        self.check_single()?;
        if self.field.kind == Kind::Double {
            self.put_fixed(1, &value.to_le_bytes());
            return Ok(());
        }
        // JavaScript and others print large whole numbers with an exponent.
        match whole_number(value) {
            Some(whole) => self.put_integer(whole),
            None => Err(self.refuse(value)),
        }
    }
}

/// A text that is refused, in quotes, or how it begins.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let rest = if start.len() < text.len() { "..." } else { "" };
    format!("{start:?}{rest}")
}

/// What there must be in place of a value of another kind.
const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int32 | Kind::Sint32 => "a whole number of 32 bits",
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295",
        Kind::Int64 | Kind::Sfixed64 => "a whole number of 64 bits",
        Kind::Uint64 | Kind::Fixed64 => "a whole number from 0 to 18446744073709551615",
        Kind::Double => "a number",
        Kind::Text => "a text",
        Kind::Bytes => "a text in base64",
        Kind::Id => "a text of hexadecimal digits, two for each byte",
        Kind::Message(_) => "an object",
    }
}

#[expect(clippy::cast_precision_loss, reason = "JSON numbers read as the nearest double")]
fn nearest_double(value: i128) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the value is checked to be whole and small")]
fn whole_number(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

impl<'de> DeserializeSeed<'de> for FieldReader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.reading.check(self.out, 0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldReader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {:?} for {}", self.field.kind, self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match (self.place, self.field.kind) {
            (Place::Field, _) => Ok(()),
            // The empty message; lists in the wild have gaps.
            (Place::Element, Kind::Message(_)) => {
                put_bytes(self.out, self.field.number, &[]);
                Ok(())
            }
            _ => Err(self.refuse("null")),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.check_single()?;
        if self.field.kind != Kind::Bool {
            return Err(self.refuse(value));
        }
        self.put_varint(u64::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put_integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put_double(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.check_single()?;
        // The one value that is not small.
        self.reading.check(self.out, text.len())?;
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => put_bytes(self.out, number, text.as_bytes()),
            Kind::Bytes => match read_base64(text) {
                Some(bytes) => put_bytes(self.out, number, &bytes),
                None => return Err(self.refuse_text(text)),
            },
            Kind::Id => match read_hex(text) {
                Some(bytes) => put_bytes(self.out, number, &bytes),
                None => return Err(self.refuse_text(text)),
            },
            Kind::Bool | Kind::Message(_) => return Err(self.refuse_text(text)),
            Kind::Int32 if text.starts_with(|first: char| first.is_ascii_uppercase()) => {
                let enumeration = self.field.json;
                let Some(value) = enumerated(enumeration, text) else {
                    let name = shown(text);
                    return Err(E::custom(format_args!("{name} is not a name of {enumeration}")));
                };
                return self.put_integer(value.into());
            }
            _ => match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(value), _) => return self.put_integer(value),
                (Err(_), Ok(value)) => return self.put_double(value),
                (Err(_), Err(_)) => return Err(self.refuse_text(text)),
            },
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.check_single()?;
        let Kind::Message(message) = self.field.kind else {
            return Err(self.refuse("an object"));
        };
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(A::Error::custom("messages are nested too deep"));
        };
        let reading = self.reading;
        put_message(self.out, self.field.number, |out| {
            MessageReader { message, depth_left, reading, out }.visit_map(map)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.field.presence != Presence::Repeated || self.place != Place::Field {
            return Err(self.refuse("a list"));
        }
        let Self { field, depth_left, reading, out, .. } = self;
        if let Some(message) = reading.salvaged(field) {
            while let Some(json) = list.next_element::<&RawValue>()? {
                let element =
                    FieldReader { field, place: Place::Element, depth_left, reading, out };
                element.salvage(message, json).map_err(A::Error::custom)?;
            }
            return Ok(());
        }
        let mut elements = |out: &mut Vec<u8>, place| {
            loop {
                let element = FieldReader { field, place, depth_left, reading, out };
                if list.next_element_seed(element)?.is_none() {
                    return Ok(());
                }
            }
        };
        if field.kind.wire_type() == WireType::Len {
            elements(out, Place::Element)
        } else {
            put_message(out, field.number, |out| elements(out, Place::Packed))
        }
    }
}
