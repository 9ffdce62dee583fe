//! Attribute values: those that edits write, and those that are read in place.

use std::borrow::Cow;

use super::error::LocatedFault;
use super::schema::{Kind, Message};
use super::wire::{Field, Fields, WireType, put_bytes, put_key, put_message, put_varint};

/// A value an edit gives to an attribute.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
}

/// An attribute value or body, read in place.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum AnyValueView<'a> {
    /// No value is set.
    Empty,
    /// Text.
    String(&'a str),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes; text that is not UTF-8 reads as bytes too.
    Bytes(&'a [u8]),
    /// A list; its elements are not shown.
    Array,
    /// A list of keys and values; its entries are not shown.
    KeyValueList,
}

impl<'a> AnyValueView<'a> {
    /// The text, when the value is text.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as text, if it is a single value that is text, a number, true or false.
    #[must_use]
    pub fn to_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::String(text) => Some(Cow::Borrowed(text)),
            Self::Bool(value) => Some(Cow::Owned(value.to_string())),
            Self::Int(value) => Some(Cow::Owned(value.to_string())),
            Self::Double(value) => Some(Cow::Owned(value.to_string())),
            _ => None,
        }
    }

    /// Whether the value is exactly this one; floating-point numbers are compared bit by bit.
    #[must_use]
    pub fn equals(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String(left), Value::String(right)) => left == right,
            (Self::Bool(left), Value::Bool(right)) => left == *right,
            (Self::Int(left), Value::Int(right)) => left == *right,
            (Self::Double(left), Value::Double(right)) => left.to_bits() == right.to_bits(),
            _ => false,
        }
    }

    /// Reads on in `fields`, the fields of an `AnyValue`: the last alternative counts.
    pub(super) fn read(
        self,
        bytes: &'a [u8],
        mut fields: Fields<'a>,
    ) -> Result<Self, LocatedFault> {
        let mut view = self;
        while let Some(field) = fields.next()? {
            let Some((_, schema)) = Message::AnyValue.field(field.number) else { continue };
            field.expect(schema.kind.wire_type())?;
            let value = &bytes[field.span()];
            view = match schema.kind {
                Kind::Text => std::str::from_utf8(value).map_or(Self::Bytes(value), Self::String),
                Kind::Bool => Self::Bool(field.varint != 0),
                Kind::Int64 => Self::Int(field.varint.cast_signed()),
                Kind::Double => Self::Double(double(bytes, &field)),
                Kind::Bytes => Self::Bytes(value),
                Kind::Message(Message::ArrayValue) => Self::Array,
                Kind::Message(_) => Self::KeyValueList,
                // An index into a table that requests of these signals do not have.
                _ => Self::Empty,
            };
        }
        Ok(view)
    }
}

impl<'a> From<&'a Value> for AnyValueView<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::String(text),
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Double(value) => Self::Double(*value),
        }
    }
}

/// The number an eight-byte field holds; 0 for a field of another wire type.
pub(super) fn fixed64(bytes: &[u8], field: &Field) -> u64 {
    let eight = bytes.get(field.span()).and_then(|value| value.try_into().ok());
    eight.map_or(0, u64::from_le_bytes)
}

/// The floating-point number an eight-byte field holds.
pub(super) fn double(bytes: &[u8], field: &Field) -> f64 {
    f64::from_bits(fixed64(bytes, field))
}

/// The key of the `KeyValue` in `entry`: the last one given.
pub(super) fn entry_key<'a>(bytes: &'a [u8], entry: &Field) -> Result<&'a [u8], LocatedFault> {
    let mut key: &[u8] = &[];
    let mut fields = Fields::new(bytes, entry.span());
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            field.expect(WireType::Len)?;
            key = &bytes[field.span()];
        }
    }
    Ok(key)
}

/// The value of the `KeyValue` in `entry`; values given twice are merged.
pub(super) fn entry_value<'a>(
    bytes: &'a [u8],
    entry: &Field,
) -> Result<AnyValueView<'a>, LocatedFault> {
    let mut view = AnyValueView::Empty;
    let mut fields = Fields::new(bytes, entry.span());
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            field.expect(WireType::Len)?;
            view = view.read(bytes, Fields::new(bytes, field.span()))?;
        }
    }
    Ok(view)
}

/// Appends an attribute as the field `number`.
pub(super) fn put_attribute(out: &mut Vec<u8>, number: u32, key: &[u8], value: &Value) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key);
        put_message(out, 2, |out| put_value(out, value));
    });
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => put_bytes(out, 1, text.as_bytes()),
        Value::Bool(value) => {
            put_key(out, 2, 0);
            put_varint(out, u64::from(*value));
        }
        Value::Int(value) => {
            put_key(out, 3, 0);
            put_varint(out, value.cast_unsigned());
        }
        Value::Double(value) => {
            put_key(out, 4, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}
