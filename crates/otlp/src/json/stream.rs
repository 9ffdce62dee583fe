//! The parts of the JSON form, gathered and handed on piece by piece.

use std::io;
use std::io::Write;

use super::super::schema::Kind;
use super::super::value::fixed64;
use super::super::view::low_32_bits;
use super::super::wire::Field;
use super::text::{put_base64, put_hex, put_text};

/// Texts are converted in parts of this length, which becomes six times as long at most. A multiple
/// of three, so that parts in base64 fit together.
const PART_BYTES: usize = 30_000;

/// Writes the parts of the JSON form, in their order.
pub(super) struct JsonWriter<'o, W> {
    /// What was not handed on yet.
    buffer: &'o mut Vec<u8>,
    /// Handed on when there is so much of it.
    piece_bytes: usize,
    out: &'o mut W,
}

impl<'o, W: Write> JsonWriter<'o, W> {
    /// Gathers in `buffer`, and hands on to `out` whenever that has `piece_bytes`.
    pub(super) const fn new(buffer: &'o mut Vec<u8>, piece_bytes: usize, out: &'o mut W) -> Self {
        Self { buffer, piece_bytes, out }
    }

    /// Appends punctuation.
    pub(super) fn put(&mut self, json: &'static [u8]) {
        self.buffer.extend_from_slice(json);
    }

    /// Appends the name of a field.
    pub(super) fn key(&mut self, name: &'static str) {
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }

    /// Appends a single value, which is no message.
    pub(super) fn scalar(&mut self, kind: Kind, bytes: &[u8], field: &Field) -> io::Result<()> {
        let value = &bytes[field.span()];
        match kind {
            Kind::Bool => self.put(if field.varint != 0 { b"true" } else { b"false" }),
            Kind::Int32 => self.number(low_32_bits(field.varint)),
            Kind::Uint32 => self.number(low_32_bits(field.varint).cast_unsigned()),
            Kind::Sint32 => {
                let bits = low_32_bits(field.varint).cast_unsigned();
                self.number((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
            Kind::Int64 => self.quoted_number(field.varint.cast_signed()),
            Kind::Uint64 => self.quoted_number(field.varint),
            Kind::Fixed32 => self.number(value.try_into().map_or(0, u32::from_le_bytes)),
            Kind::Fixed64 => self.quoted_number(fixed64(bytes, field)),
            Kind::Sfixed64 => self.quoted_number(fixed64(bytes, field).cast_signed()),
            Kind::Double => self.double(f64::from_bits(fixed64(bytes, field))),
            Kind::Text => self.text(value)?,
            Kind::Bytes => self.quoted(value, put_base64)?,
            Kind::Id => self.quoted(value, put_hex)?,
            // Messages are written where their pieces are known.
            Kind::Message(_) => {}
        }
        self.rest()
    }

    /// Hands on what there is, if it is enough.
    pub(super) fn rest(&mut self) -> io::Result<()> {
        if self.buffer.len() < self.piece_bytes {
            return Ok(());
        }
        self.out.write_all(self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Appends a text, with U+FFFD in place of what is not UTF-8: senders cut texts in the middle of a
    /// character, and the rest of the request is worth as much as before.
    fn text(&mut self, value: &[u8]) -> io::Result<()> {
        if std::str::from_utf8(value).is_ok() {
            return self.quoted(value, put_text);
        }
        self.buffer.push(b'"');
        for chunk in value.utf8_chunks() {
            for part in chunk.valid().as_bytes().chunks(PART_BYTES) {
                put_text(self.buffer, part);
                self.rest()?;
            }
            if !chunk.invalid().is_empty() {
                self.buffer.extend_from_slice("\u{fffd}".as_bytes());
                self.rest()?;
            }
        }
        self.buffer.push(b'"');
        Ok(())
    }

    /// Appends a value between quotes, part by part.
    fn quoted(&mut self, value: &[u8], put: impl Fn(&mut Vec<u8>, &[u8])) -> io::Result<()> {
        self.buffer.push(b'"');
        for part in value.chunks(PART_BYTES) {
            put(self.buffer, part);
            self.rest()?;
        }
        self.buffer.push(b'"');
        Ok(())
    }

    fn number(&mut self, value: impl serde::Serialize) {
        serde_json::to_writer(&mut *self.buffer, &value).expect("memory takes every write");
    }

    fn quoted_number(&mut self, value: impl serde::Serialize) {
        self.buffer.push(b'"');
        self.number(value);
        self.buffer.push(b'"');
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.number(value);
        } else if value.is_nan() {
            self.put(b"\"NaN\"");
        } else {
            self.put(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
    }
}
