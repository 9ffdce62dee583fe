//! From JSON to the wire.
//!
//! Liberal as the mapping asks for, and a little beyond: numbers may be strings and 64-bit numbers may be
//! numbers, enumerations may be names, null is the same as nothing, unknown keys are ignored, and half a
//! character is U+FFFD.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::error::WireError;
use super::super::inspect::DecodeLimits;
use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::signal::Signal;
use super::super::wire::{WireType, put_bytes, put_key, put_message, put_varint};
use super::enumerations::enumerated;
use super::mend::mended;
use super::place;
use super::text::{read_base64, read_hex};

/// Converts a request from its JSON form to the wire form.
///
/// The result may have `decoded_bytes_max` bytes. As a rule it is smaller than `body`, but an array
/// of numbers can grow fourfold: `0,` is one that takes eight bytes. Nothing is built besides it.
///
/// # Errors
///
/// [`WireError::Json`] for what is not JSON or not a request of this signal, and for messages
/// nested deeper than the limit; [`WireError::TooLarge`] when the result would be larger than the
/// limit.
pub fn json_to_wire(
    signal: Signal,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<Bytes, WireError> {
    let error = match convert(signal, body, limits) {
        Err(Failure::Json(error)) => error,
        Err(Failure::TooLarge(error)) => return Err(error),
        Ok(wire) => return Ok(wire),
    };
    // Looked for only now: it is rare, and looking takes time.
    let again = mended(body).map(|mended| convert(signal, &mended, limits));
    let reason = match again {
        Some(Ok(wire)) => return Ok(wire),
        Some(Err(Failure::TooLarge(error))) => return Err(error),
        Some(Err(Failure::Json(reason))) => reason,
        None => error,
    };
    let path = place::path(body, reason.line(), reason.column());
    Err(WireError::Json { path, reason })
}

/// Why a conversion failed.
enum Failure {
    TooLarge(WireError),
    Json(serde_json::Error),
}

fn convert(signal: Signal, body: &[u8], limits: &DecodeLimits) -> Result<Bytes, Failure> {
    let limit = Limit { bytes: limits.decoded_bytes_max, refused: Cell::new(None) };
    // As much as the result may have, or as `body` has: no doubling, which would double the memory too.
    let capacity = usize::try_from(limit.bytes).unwrap_or(usize::MAX).min(body.len());
    let mut out = Vec::with_capacity(capacity);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = Message::request(signal);
    let reader =
        MessageReader { message, depth_left: limits.depth(), limit: &limit, out: &mut out };
    let read = deserializer
        .deserialize_map(reader)
        .and_then(|()| deserializer.end())
        .and_then(|()| limit.check(&out, 0));
    match (read, limit.refused.get()) {
        (Ok(()), _) => {
            out.shrink_to_fit();
            Ok(out.into())
        }
        (Err(_), Some(decoded_bytes)) => {
            let limit_bytes = limit.bytes;
            Err(Failure::TooLarge(WireError::TooLarge { decoded_bytes, limit_bytes }))
        }
        (Err(reason), None) => Err(Failure::Json(reason)),
    }
}

/// How large the result may be.
struct Limit {
    bytes: u64,
    /// The size that was too large: an error of the reader cannot say what it is.
    refused: Cell<Option<u64>>,
}

impl Limit {
    /// Refuses a result that has `more` bytes more than `out`.
    fn check<E: Error>(&self, out: &[u8], more: usize) -> Result<(), E> {
        let bytes = out.len() as u64 + more as u64;
        if bytes <= self.bytes {
            return Ok(());
        }
        self.refused.set(Some(bytes));
        Err(E::custom("the request is too large"))
    }
}

/// Reads an object and appends the fields of its message.
struct MessageReader<'o> {
    message: Message,
    depth_left: u32,
    limit: &'o Limit,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for MessageReader<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with the fields of {:?}", self.message)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(KeyReader { message: self.message })? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(FieldReader {
                field,
                place: Place::Field,
                depth_left: self.depth_left,
                limit: self.limit,
                out: self.out,
            })?;
        }
        Ok(())
    }
}

/// Reads a key; `None` for an unknown one.
struct KeyReader {
    message: Message,
}

impl<'de> DeserializeSeed<'de> for KeyReader {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyReader {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.message.fields().iter().find(|field| field.json == key))
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
    limit: &'o Limit,
    out: &'o mut Vec<u8>,
}

impl FieldReader<'_> {
    /// Refuses a single value where there must be an array.
    fn check_single<E: Error>(&self) -> Result<(), E> {
        if self.field.presence == Presence::Repeated && self.place == Place::Field {
            return Err(E::custom(format_args!("{} is not an array", self.field.json)));
        }
        Ok(())
    }

    fn refuse<E: Error>(&self, value: impl fmt::Display) -> E {
        let Self { field, .. } = self;
        E::custom(format_args!("{value} is not of type {:?} in {}", field.kind, field.json))
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
        self.limit.check(self.out, 0)?;
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
        self.limit.check(self.out, text.len())?;
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => put_bytes(self.out, number, text.as_bytes()),
            Kind::Bytes => match read_base64(text) {
                Some(bytes) => put_bytes(self.out, number, &bytes),
                None => return Err(self.refuse(text)),
            },
            Kind::Id => match read_hex(text) {
                Some(bytes) => put_bytes(self.out, number, &bytes),
                None => return Err(self.refuse(text)),
            },
            Kind::Bool | Kind::Message(_) => return Err(self.refuse(text)),
            Kind::Int32 if text.starts_with(|first: char| first.is_ascii_uppercase()) => {
                return match enumerated(self.field.json, text) {
                    Some(value) => self.put_integer(value.into()),
                    None => Err(self.refuse(text)),
                };
            }
            _ => match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(value), _) => return self.put_integer(value),
                (Err(_), Ok(value)) => return self.put_double(value),
                (Err(_), Err(_)) => return Err(self.refuse(text)),
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
        let limit = self.limit;
        put_message(self.out, self.field.number, |out| {
            MessageReader { message, depth_left, limit, out }.visit_map(map)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { field, depth_left, limit, out, .. } = self;
        if field.presence != Presence::Repeated || self.place != Place::Field {
            return Err(A::Error::custom(format_args!("{} is not a list", field.json)));
        }
        let mut elements = |out: &mut Vec<u8>, place| {
            loop {
                let element = FieldReader { field, place, depth_left, limit, out };
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
