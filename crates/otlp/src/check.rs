//! The check of a message down to its last field, at the speed of the pre-scan.
//!
//! What passes, every parser takes: components that look inside attributes, and backends that decode. A
//! walk over the fields trusts a table of 256 entries for each message, indexed by the first byte of the
//! key: most OTLP fields have a key and a length of one byte each. What the table does not know (long
//! keys, long lengths, unknown fields, foreign wire types) takes the careful road. Most attributes are a
//! key and a single value, which are recognised at a glance.

use std::ops::Range;

use super::error::{LocatedFault, WireFaultKind};
use super::schema::{FieldSchema, Kind, MESSAGES, Message};
use super::wire::{Field, Fields, WireType, group_depth, varint};

/// Messages and groups may nest this deep in a request; the typed decoder gives up at 100 levels, of which
/// it uses a few for itself.
pub(super) const DEPTH_MAX: u32 = 96;

/// The levels of an attribute with a single value: the `KeyValue` and the `AnyValue` in it.
const PLAIN_LEVELS: u32 = 2;

/// Checks a message in which messages and groups may nest `levels` deep.
///
/// Allocates nothing; recurses no deeper than `levels`. Text is not checked to be UTF-8.
#[inline]
pub(super) fn check(
    bytes: &[u8],
    message: Message,
    span: Range<usize>,
    levels: u32,
) -> Result<(), LocatedFault> {
    Check { bytes: &bytes[..span.end], shape: &SHAPES[message as usize], levels }.fields(span.start)
}

/// Checks one field of a message that was read from `bytes`.
pub(super) fn check_field(
    bytes: &[u8],
    message: Message,
    field: &Field,
    levels: u32,
) -> Result<(), LocatedFault> {
    let check = Check { bytes: &bytes[..field.end], shape: &SHAPES[message as usize], levels };
    check.careful(field.start).map(drop)
}

/// Refuses an unknown field whose groups nest too deep.
pub(super) fn check_unknown(bytes: &[u8], field: &Field, levels: u32) -> Result<(), LocatedFault> {
    if field.wire_type == WireType::Group && (levels as usize) < group_depth(bytes, field) {
        return Err(LocatedFault { offset: field.start, kind: WireFaultKind::TooDeep });
    }
    Ok(())
}

/// One message that is checked.
struct Check<'a> {
    /// The request up to the end of the message.
    bytes: &'a [u8],
    shape: &'static Shape,
    levels: u32,
}

impl Check<'_> {
    /// Checks all fields from `start` on.
    fn fields(&self, start: usize) -> Result<(), LocatedFault> {
        let bytes = self.bytes;
        let mut at = start;
        while let Some(&key) = bytes.get(at) {
            at = match self.shape.steps[usize::from(key)] {
                Step::Len => match short_len(bytes, at) {
                    Some((value, len)) => value + len,
                    None => self.careful(at)?,
                },
                Step::Fixed64 => at + 9,
                Step::Varint => match bytes.get(at + 1) {
                    Some(&value) if value < 0x80 => at + 2,
                    _ => self.careful(at)?,
                },
                Step::Fixed32 => at + 5,
                step @ (Step::Attribute | Step::Value) => match short_message(bytes, at) {
                    Some((value, end))
                        if PLAIN_LEVELS <= self.levels && is_plain(step, &bytes[value..end]) =>
                    {
                        end
                    }
                    _ => self.careful(at)?,
                },
                Step::Careful => self.careful(at)?,
            };
        }
        if at > bytes.len() { Err(self.overrun(start)) } else { Ok(()) }
    }

    /// Checks the field at `at`, and what it contains; returns where it ends.
    #[inline(never)]
    fn careful(&self, at: usize) -> Result<usize, LocatedFault> {
        let Some(field) = Fields::new(self.bytes, at..self.bytes.len()).next()? else {
            return Ok(self.bytes.len());
        };
        let Some((_, schema)) = self.shape.message.field(field.number) else {
            check_unknown(self.bytes, &field, self.levels)?;
            return Ok(field.end);
        };
        if field.wire_type == WireType::Len && schema.may_be_packed() {
            self.packed(schema, &field)?;
            return Ok(field.end);
        }
        field.expect(schema.kind.wire_type())?;
        if let Kind::Message(inner) = schema.kind {
            let Some(levels) = self.levels.checked_sub(1) else {
                return Err(LocatedFault { offset: field.start, kind: WireFaultKind::TooDeep });
            };
            check(self.bytes, inner, field.span(), levels)?;
        }
        Ok(field.end)
    }

    /// Checks packed numbers.
    fn packed(&self, schema: &FieldSchema, field: &Field) -> Result<(), LocatedFault> {
        let fault = |kind| LocatedFault { offset: field.start, kind };
        if schema.kind.wire_type() == WireType::Fixed64 {
            let is_whole = field.varint.is_multiple_of(8);
            return if is_whole { Ok(()) } else { Err(fault(WireFaultKind::Truncated)) };
        }
        let values = &self.bytes[..field.end];
        let mut at = field.value;
        while at < field.end {
            at = varint(values, at).map_err(fault)?.1;
        }
        Ok(())
    }

    /// Finds the field that runs over the end of the message that starts at `start`.
    #[cold]
    fn overrun(&self, start: usize) -> LocatedFault {
        let mut fields = Fields::new(self.bytes, start..self.bytes.len());
        loop {
            match fields.next() {
                Ok(Some(_)) => {}
                Ok(None) => return LocatedFault { offset: start, kind: WireFaultKind::Truncated },
                Err(fault) => return fault,
            }
        }
    }
}

/// Where the value of the field at `at` starts and how long it is, if its length has one or two bytes. It
/// may be longer than the message.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn short_len(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match bytes.get(at + 1..) {
        Some(&[len, ..]) if len < 0x80 => Some((at + 2, usize::from(len))),
        Some(&[low, high, ..]) if high < 0x80 => {
            Some((at + 3, usize::from(low & 0x7f) | usize::from(high) << 7))
        }
        _ => None,
    }
}

/// Where the message in the field at `at` starts and ends, if its length has one or two bytes and it is
/// whole.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn short_message(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (value, len) = short_len(bytes, at)?;
    let end = value + len;
    (end <= bytes.len()).then_some((value, end))
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn is_plain(step: Step, content: &[u8]) -> bool {
    match step {
        Step::Attribute => is_plain_attribute(content),
        _ => is_plain_value(content),
    }
}

/// Whether a `KeyValue` is a short key and a single value, in this order or the Collector's.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn is_plain_attribute(content: &[u8]) -> bool {
    let [first @ (0x0a | 0x12), len, rest @ ..] = content else { return false };
    if *len >= 0x80 {
        return false;
    }
    let Some((head, tail)) = rest.split_at_checked(usize::from(*len)) else { return false };
    match (first, tail) {
        (0x0a, [0x12, len, value @ ..]) if *len < 0x80 => {
            usize::from(*len) == value.len() && is_plain_value(value)
        }
        (0x0a, [0x12, low, high, value @ ..]) if *high < 0x80 => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7) == value.len()
                && is_plain_value(value)
        }
        (0x12, [0x0a, len, key @ ..]) => {
            *len < 0x80 && usize::from(*len) == key.len() && is_plain_value(head)
        }
        _ => false,
    }
}

/// Whether an `AnyValue` is a single text, number or truth value, or empty.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn is_plain_value(content: &[u8]) -> bool {
    match content {
        [0x0a, len, text @ ..] if *len < 0x80 => usize::from(*len) == text.len(),
        [0x0a, low, high, text @ ..] if *high < 0x80 => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7) == text.len()
        }
        [0x10, value] => *value < 0x80,
        [0x18, value @ ..] => is_varint(value),
        [0x21, value @ ..] => value.len() == 8,
        [] => true,
        _ => false,
    }
}

/// Whether the bytes are one varint, of nine bytes at most: of ten, not all are a number of 64 bits.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan has it in its innermost loop")]
fn is_varint(bytes: &[u8]) -> bool {
    let Some((last, rest)) = bytes.split_last() else { return false };
    *last < 0x80 && rest.len() < 9 && rest.iter().all(|byte| *byte >= 0x80)
}

/// How to step over a field, told by the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Careful,
    Varint,
    Fixed32,
    Fixed64,
    Len,
    /// A `KeyValue`.
    Attribute,
    /// An `AnyValue`.
    Value,
}

/// The known fields of a message, by the first byte of their keys.
struct Shape {
    message: Message,
    steps: [Step; 256],
}

const fn shape(message: Message) -> Shape {
    let mut steps = [Step::Careful; 256];
    let fields = message.fields();
    let mut idx = 0;
    while idx < fields.len() {
        let field = &fields[idx];
        idx += 1;
        if field.number > 15 {
            continue;
        }
        let (step, wire_type) = match field.kind {
            Kind::Message(Message::KeyValue) => (Step::Attribute, 2),
            Kind::Message(Message::AnyValue) => (Step::Value, 2),
            Kind::Message(_) => continue,
            kind => match kind.wire_type() {
                WireType::Varint => (Step::Varint, 0),
                WireType::Fixed64 => (Step::Fixed64, 1),
                WireType::Fixed32 => (Step::Fixed32, 5),
                WireType::Len | WireType::Group => (Step::Len, 2),
            },
        };
        steps[(field.number << 3 | wire_type) as usize] = step;
    }
    Shape { message, steps }
}

static SHAPES: [Shape; MESSAGES.len()] = {
    let mut shapes = [const { shape(Message::LogsRequest) }; MESSAGES.len()];
    let mut idx = 0;
    while idx < MESSAGES.len() {
        shapes[idx] = shape(MESSAGES[idx]);
        idx += 1;
    }
    shapes
};
