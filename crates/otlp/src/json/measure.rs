//! How long the JSON form of a request may be, and whether it has one at all.

use std::ops::Range;

use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::value::fixed64;
use super::super::view::low_32_bits;
use super::super::wire::{Field, Fields, WireType};
use super::walk::{is_required, packed};

/// A message that is there once may be given in this many pieces: whoever puts it together keeps a list
/// of them.
pub(super) const PIECES_MAX: usize = 1_000;

/// No message of the schema has more fields.
const FIELDS_MAX: usize = 16;

/// Digits, sign and exponent of a finite floating-point number.
const DOUBLE_BYTES_MAX: u64 = 24;

/// Around the name of a field: quotes and a colon.
const AROUND_NAME_BYTES: u64 = 3;

/// Braces, brackets, or the quotes of a text.
const AROUND_VALUE_BYTES: u64 = 2;

/// Why a request that was inspected has no JSON form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasureError {
    /// The message with this piece has too many of them.
    Scattered { offset: usize },
}

/// Looks at every field of a request that was inspected, in the order of the wire; returns how long its
/// JSON form is at most. What is longer than it has to be: numbers with a point, control characters,
/// and what another value replaces.
pub(super) fn measure(message: Message, bytes: &[u8]) -> Result<u64, MeasureError> {
    let mut measure = Measure { bytes, bytes_max: 0 };
    measure.message(message, 0..bytes.len())?;
    Ok(measure.bytes_max)
}

struct Measure<'a> {
    bytes: &'a [u8],
    bytes_max: u64,
}

impl Measure<'_> {
    fn message(&mut self, message: Message, span: Range<usize>) -> Result<(), MeasureError> {
        let mut counts = [0_usize; FIELDS_MAX];
        let mut fields = Fields::new(self.bytes, span);
        while let Ok(Some(field)) = fields.next() {
            let Some((idx, schema)) = message.field(field.number) else { continue };
            if counts[idx] == 0 {
                let is_list = schema.presence == Presence::Repeated;
                self.bytes_max += named(schema) + if is_list { AROUND_VALUE_BYTES } else { 0 };
            }
            counts[idx] += 1;
            let is_single_message =
                schema.presence != Presence::Repeated && matches!(schema.kind, Kind::Message(_));
            if is_single_message && PIECES_MAX < counts[idx] {
                return Err(MeasureError::Scattered { offset: field.start });
            }
            self.value(schema, &field)?;
        }
        let all = message.fields().iter().zip(counts);
        let absent = all.filter(|(schema, count)| *count == 0 && is_required(message, schema));
        let absent = absent.map(|(schema, _)| named(schema) + AROUND_VALUE_BYTES + 1);
        self.bytes_max += absent.sum::<u64>() + AROUND_VALUE_BYTES;
        Ok(())
    }

    /// Adds a value, and the comma behind it.
    fn value(&mut self, schema: &FieldSchema, field: &Field) -> Result<(), MeasureError> {
        if let Kind::Message(inner) = schema.kind {
            self.bytes_max += 1;
            return self.message(inner, field.span());
        }
        if field.wire_type == WireType::Len && schema.may_be_packed() {
            self.packed(schema.kind, field);
            return Ok(());
        }
        let value = &self.bytes[field.span()];
        self.bytes_max += 1 + match schema.kind {
            // Each byte that is not UTF-8 may become a character of three bytes.
            Kind::Text if std::str::from_utf8(value).is_err() => {
                escaped(value) + value.len() as u64 * 2 + AROUND_VALUE_BYTES
            }
            Kind::Text => escaped(value) + AROUND_VALUE_BYTES,
            Kind::Bytes => value.len().div_ceil(3) as u64 * 4 + AROUND_VALUE_BYTES,
            Kind::Id => value.len() as u64 * 2 + AROUND_VALUE_BYTES,
            kind => number(kind, self.bytes, field),
        };
        Ok(())
    }

    fn packed(&mut self, kind: Kind, field: &Field) {
        for one in packed(kind, self.bytes, field) {
            self.bytes_max += 1 + number(kind, self.bytes, &one);
        }
    }
}

fn named(schema: &FieldSchema) -> u64 {
    schema.json.len() as u64 + AROUND_NAME_BYTES
}

fn number(kind: Kind, bytes: &[u8], field: &Field) -> u64 {
    match kind {
        Kind::Bool => 5,
        Kind::Int32 | Kind::Sint32 => 11,
        Kind::Uint32 => digits(u64::from(low_32_bits(field.varint).cast_unsigned())),
        Kind::Fixed32 => 10,
        Kind::Int64 => signed(field.varint.cast_signed()) + 2,
        Kind::Uint64 => digits(field.varint) + 2,
        Kind::Fixed64 => digits(fixed64(bytes, field)) + 2,
        Kind::Sfixed64 => signed(fixed64(bytes, field).cast_signed()) + 2,
        Kind::Double => DOUBLE_BYTES_MAX,
        // These are no numbers.
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => 0,
    }
}

fn digits(value: u64) -> u64 {
    u64::from(value.checked_ilog10().unwrap_or(0)) + 1
}

fn signed(value: i64) -> u64 {
    digits(value.unsigned_abs()) + u64::from(value < 0)
}

/// The length of a text with its escapes: at most five bytes more for a control character, one more
/// for a quote or a backslash.
fn escaped(text: &[u8]) -> u64 {
    let more =
        |byte: &u8| u8::from(*byte < b' ') * 5 + u8::from(*byte == b'"') + u8::from(*byte == b'\\');
    // Blocks so short that their sum fits into a byte: the compiler makes vectors of them.
    let (blocks, rest) = text.as_chunks::<32>();
    let of_blocks = blocks.iter().map(|block| u64::from(block.iter().map(more).sum::<u8>()));
    let of_rest = rest.iter().map(|byte| u64::from(more(byte)));
    text.len() as u64 + of_blocks.sum::<u64>() + of_rest.sum::<u64>()
}
