//! From the wire to JSON.
//!
//! Fields come in the order of the schema, whatever their order on the wire. What is spread over
//! the wire is gathered: elements of a list, pieces of a message given several times.

use std::io::Write;
use std::ops::Range;

use super::super::error::WireError;
use super::super::inspect::{DecodeLimits, inspect};
use super::super::locate::not_utf8;
use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::signal::Signal;
use super::super::value::fixed64;
use super::super::view::low_32_bits;
use super::super::wire::{Field, Fields, WireType, varint};
use super::text::{put_base64, put_hex};

/// Appends a request in its JSON form, on one line and without a line end.
///
/// Default values of plain fields are left out, as are unknown fields. When this fails, `out` is
/// as it was.
///
/// # Errors
///
/// Those of [`inspect`], and [`WireError::NotUtf8`].
pub fn wire_to_json(
    signal: Signal,
    bytes: &[u8],
    limits: &DecodeLimits,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    inspect(signal, bytes, limits)?;
    let start = out.len();
    let whole = Field {
        number: 0,
        wire_type: WireType::Len,
        start: 0,
        key_end: 0,
        value: 0,
        end: bytes.len(),
        varint: 0,
    };
    let mut writer = Writer { signal, bytes, out, fields: vec![whole] };
    let result = writer.message(Message::request(signal), 0..1, 0);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

struct Writer<'a> {
    signal: Signal,
    bytes: &'a [u8],
    out: &'a mut Vec<u8>,
    /// The fields of all messages from the outermost to the current one, one after another.
    fields: Vec<Field>,
}

impl Writer<'_> {
    /// Writes the message whose pieces are the fields `number` among `owners`.
    fn message(
        &mut self,
        message: Message,
        owners: Range<usize>,
        number: u32,
    ) -> Result<(), WireError> {
        let first = self.fields.len();
        for idx in owners {
            let piece = self.fields[idx];
            if piece.number == number {
                let mut inner = Fields::new(self.bytes, piece.span());
                // The request was inspected: reading its fields does not fail.
                while let Ok(Some(field)) = inner.next() {
                    self.fields.push(field);
                }
            }
        }
        let all = first..self.fields.len();
        let (chosen, since) = self.chosen_alternative(message, all.clone());
        self.out.push(b'{');
        let mut is_first = true;
        for schema in message.fields() {
            let among = match schema.presence {
                Presence::Alternative if schema.number != chosen => continue,
                Presence::Alternative => since..all.end,
                _ => all.clone(),
            };
            let Some(last) = self.last(among.clone(), schema, message) else { continue };
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            self.out.push(b'"');
            self.out.extend_from_slice(schema.json.as_bytes());
            self.out.extend_from_slice(b"\":");
            match (schema.presence, schema.kind, last) {
                (Presence::Repeated, _, _) => self.list(schema, among)?,
                (_, Kind::Message(inner), _) => self.message(inner, among, schema.number)?,
                (_, _, Some(field)) => self.scalar(schema.kind, &field)?,
                (_, _, None) => self.out.extend_from_slice(b"\"\""),
            }
        }
        self.out.push(b'}');
        self.fields.truncate(first);
        Ok(())
    }

    /// The alternative that counts, 0 for none, and from which field on it does.
    fn chosen_alternative(&self, message: Message, all: Range<usize>) -> (u32, usize) {
        let (mut chosen, mut since) = (0, all.start);
        for idx in all {
            let number = self.fields[idx].number;
            let schema = message.field(number).map(|(_, schema)| schema);
            let is_alternative =
                schema.is_some_and(|schema| schema.presence == Presence::Alternative);
            if is_alternative && number != chosen {
                (chosen, since) = (number, idx);
            }
        }
        (chosen, since)
    }

    /// The last field of this number. `None` when nothing is to be written, `Some(None)` for what
    /// is always written though it is not there: readers in the field insist on keys and lists.
    #[expect(clippy::option_option, reason = "the two kinds of absence are told apart at once")]
    fn last(
        &self,
        among: Range<usize>,
        schema: &FieldSchema,
        message: Message,
    ) -> Option<Option<Field>> {
        let is_required = match message {
            Message::KeyValue | Message::ArrayValue | Message::KeyValueList => schema.number == 1,
            Message::EntityRef => true,
            _ => false,
        };
        let number = schema.number;
        let last = self.fields[among].iter().rfind(|field| field.number == number).copied();
        let is_default = schema.presence == Presence::Plain
            && last.is_some_and(|field| match field.wire_type {
                WireType::Fixed32 | WireType::Fixed64 => {
                    self.bytes[field.span()].iter().all(|&byte| byte == 0)
                }
                _ => field.varint == 0,
            });
        match last {
            Some(field) if !is_default || is_required => Some(Some(field)),
            None if is_required => Some(None),
            _ => None,
        }
    }

    fn list(&mut self, schema: &FieldSchema, among: Range<usize>) -> Result<(), WireError> {
        self.out.push(b'[');
        let mut is_first = true;
        for idx in among {
            let field = self.fields[idx];
            if field.number != schema.number {
                continue;
            }
            if field.wire_type == WireType::Len && schema.may_be_packed() {
                self.packed(schema.kind, &field, &mut is_first)?;
                continue;
            }
            self.separate(&mut is_first);
            match schema.kind {
                Kind::Message(inner) => self.message(inner, idx..idx + 1, field.number)?,
                kind => self.scalar(kind, &field)?,
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn packed(&mut self, kind: Kind, field: &Field, is_first: &mut bool) -> Result<(), WireError> {
        let mut at = field.value;
        while at < field.end {
            let (value, end) = match kind.wire_type() {
                WireType::Varint => match varint(self.bytes, at) {
                    Ok(value) => value,
                    Err(_) => break,
                },
                _ => (0, at + 8),
            };
            self.separate(is_first);
            self.scalar(kind, &Field { value: at, end, varint: value, ..*field })?;
            at = end;
        }
        Ok(())
    }

    fn separate(&mut self, is_first: &mut bool) {
        if !*is_first {
            self.out.push(b',');
        }
        *is_first = false;
    }

    fn scalar(&mut self, kind: Kind, field: &Field) -> Result<(), WireError> {
        let value = &self.bytes[field.span()];
        let out = &mut *self.out;
        match kind {
            Kind::Bool => put(out, field.varint != 0),
            Kind::Int32 => put(out, low_32_bits(field.varint)),
            Kind::Uint32 => put(out, low_32_bits(field.varint).cast_unsigned()),
            Kind::Sint32 => {
                let bits = low_32_bits(field.varint).cast_unsigned();
                put(out, (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
            Kind::Int64 => put_quoted(out, field.varint.cast_signed()),
            Kind::Uint64 => put_quoted(out, field.varint),
            Kind::Fixed32 => {
                put(out, value.try_into().map_or(0, u32::from_le_bytes));
            }
            Kind::Fixed64 => put_quoted(out, fixed64(self.bytes, field)),
            Kind::Sfixed64 => put_quoted(out, fixed64(self.bytes, field).cast_signed()),
            Kind::Double => put_double(out, f64::from_bits(fixed64(self.bytes, field))),
            Kind::Text => match std::str::from_utf8(value) {
                Ok(text) => put_text(out, text),
                Err(_) => return Err(not_utf8(self.signal, self.bytes, field.value)),
            },
            Kind::Bytes | Kind::Id => {
                out.push(b'"');
                if kind == Kind::Id {
                    put_hex(out, value);
                } else {
                    put_base64(out, value);
                }
                out.push(b'"');
            }
            // Messages are written where their pieces are known.
            Kind::Message(_) => {}
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("memory takes every write");
}

fn put_quoted(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "\"{value}\"").expect("memory takes every write");
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes every write");
}

fn put_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        serde_json::to_writer(out, &value).expect("memory takes every write");
    } else if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    }
}
