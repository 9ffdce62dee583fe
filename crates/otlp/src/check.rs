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

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with a length of one byte, or of two.
    fn field(key: u8, content: &[u8]) -> Vec<u8> {
        let len = u8::try_from(content.len() & 0x7f).unwrap();
        let more = u8::try_from(content.len() >> 7).unwrap();
        let len = if more == 0 { vec![len] } else { vec![len | 0x80, more] };
        [&[key], &*len, content].concat()
    }

    #[test]
    fn a_value_is_plain_if_it_is_one_whole_text_number_or_truth_value() {
        let (short, long) = (field(0x0a, &[b'a'; 127]), field(0x0a, &[b'a'; 300]));
        let nine = [0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        let double = [0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let (mut longer, mut ten) = (long.clone(), nine.to_vec());
        longer.push(b'a');
        ten.insert(1, 0x80);
        let plain: [&[u8]; 10] = [
            &[],
            &[0x0a, 0],
            &short,
            &long,
            &[0x0a, 0x81, 0, b'a'],
            &[0x10, 0x7f],
            &[0x18, 0x7f],
            &[0x18, 0x80, 1],
            &nine,
            &double,
        ];
        assert_eq!(plain.iter().find(|value| !is_plain_value(value)), None);
        let low_byte_alone = [&[0x0a, 0x80, 1][..], &[b'a'; 127]].concat();
        let other: [&[u8]; 17] = [
            &low_byte_alone,
            &[0x0a],
            &[0x0a, 2, b'a'],
            &[0x0a, 0, b'a'],
            &[0x0a, 0x80],
            &[0x0a, 0x81, 0x80, 0, b'a'],
            &long[..long.len() - 1],
            &longer,
            &[0x10],
            &[0x10, 0x80],
            &[0x10, 1, 1],
            &[0x18],
            &[0x18, 0x80],
            &[0x18, 1, 1],
            &ten,
            &double[..8],
            &[0x28, 0],
        ];
        assert_eq!(other.iter().find(|value| is_plain_value(value)), None);
    }

    #[test]
    fn an_attribute_is_plain_if_it_is_a_key_and_a_plain_value_in_either_order() {
        let (key, long_key) = (field(0x0a, b"key"), field(0x0a, &[b'k'; 128]));
        let (short, long) = (field(0x12, &[0x10, 1]), field(0x12, &field(0x0a, &[b'a'; 300])));
        let other = field(0x12, &[0x28, 0]);
        let is_plain = |first: &[u8], second: &[u8]| is_plain_attribute(&[first, second].concat());
        assert!(is_plain(&key, &short) && is_plain(&key, &long) && is_plain(&short, &key));
        assert!(is_plain(&field(0x0a, &[b'k'; 127]), &short));
        assert!(is_plain(&short, &field(0x0a, &[b'k'; 127])));
        assert!(!is_plain(&long_key, &short) && !is_plain(&short, &long_key));
        assert!(!is_plain(&key, &other) && !is_plain(&other, &key) && !is_plain(&long, &key));
        assert!(!is_plain(&key, &key) && !is_plain(&short, &short) && !is_plain(&key, &[]));
        // A length of two bytes, of which the first says 128 like the rest of the message is long.
        let rest = [&[0x01, 0x0a, 125][..], &[b'a'; 125]].concat();
        assert!(!is_plain(&key, &[&[0x12, 0x80][..], &rest].concat()));
        assert!(!is_plain(&short, &[&[0x0a, 0x80, 0x01][..], &[b'k'; 127]].concat()));
        for cut in 1..short.len() {
            assert!(!is_plain(&key, &short[..cut]), "{cut}");
        }
        for cut in 1..key.len() {
            assert!(!is_plain(&short, &key[..cut]), "{cut}");
        }
        assert!(!is_plain(&key, &[&*short, &[0]].concat()));
        assert!(!is_plain(&key, &[&*long, &[0]].concat()));
        assert!(!is_plain(&key, &long[..long.len() - 1]));
        assert!(!is_plain(&short, &[&*key, &[0]].concat()));
    }

    #[test]
    fn a_length_of_one_or_two_bytes_is_read_at_once() {
        assert_eq!(short_len(&[0, 0x0a, 0x7f], 1), Some((3, 127)));
        assert_eq!(short_len(&[0x0a, 0xac, 0x02], 0), Some((3, 300)));
        assert_eq!(short_len(&[0x0a, 0xff, 0x7f], 0), Some((3, 16_383)));
        for long_or_cut in [&[0x0a][..], &[0x0a, 0x80], &[0x0a, 0x80, 0x80, 0x01]] {
            assert_eq!(short_len(long_or_cut, 0), None, "{long_or_cut:?}");
        }
        assert_eq!(short_message(&[0x0a, 2, 0, 0], 0), Some((2, 4)));
        assert_eq!(short_message(&[0x0a, 2, 0, 0, 0], 0), Some((2, 4)));
        assert_eq!(short_message(&[0x0a, 3, 0, 0], 0), None);
    }
}
