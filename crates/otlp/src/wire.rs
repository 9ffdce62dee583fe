//! The protobuf wire format: fields, varints and groups, read in place and written back.
//!
//! ```text
//! field  = key value            key = varint of (number << 3 | wire type)
//! wire type 0 varint   1 eight bytes   2 length, then that many bytes
//!           3 start of a group         4 end of a group   5 four bytes
//! ```
//!
//! Readers take what the reference parsers take: varints of up to ten bytes for keys and lengths
//! too, unknown fields of each wire type, groups.
//!
//! Source: protobuf.dev, programming-guides/encoding.

use std::ops::Range;

use super::error::{LocatedFault, WireFaultKind};

/// Groups may nest this deep; the typed decoder gives up at the same depth.
pub(super) const GROUP_DEPTH_MAX: usize = 100;

/// How the value of a field is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Len,
    Group,
    Fixed32,
}

/// One field; all positions are absolute, in bytes from the start of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) wire_type: WireType,
    /// Where the key starts.
    pub(super) start: usize,
    /// Where the key ends: the length prefix of a `Len` field starts here.
    pub(super) key_end: usize,
    /// Where the value starts, behind the length prefix.
    pub(super) value: usize,
    /// Where the value ends.
    pub(super) end: usize,
    /// The value of a varint, the length of a `Len` field, else 0.
    pub(super) varint: u64,
}

impl Field {
    /// The value's bytes, as positions.
    #[inline]
    pub(super) fn span(&self) -> Range<usize> {
        self.value..self.end
    }

    /// Refuses a known field that does not have its wire type.
    #[inline]
    pub(super) fn expect(&self, wire_type: WireType) -> Result<(), LocatedFault> {
        if self.wire_type == wire_type {
            Ok(())
        } else {
            Err(LocatedFault { offset: self.start, kind: WireFaultKind::UnexpectedWireType })
        }
    }
}

/// The fields of one message, one after another.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    /// The request up to the end of the message.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message that takes up `span` of the request.
    ///
    /// # Panics
    ///
    /// When `span` ends behind `bytes`; spans come from fields that were read from `bytes`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], span: Range<usize>) -> Self {
        Self { bytes: &bytes[..span.end], at: span.start }
    }

    /// The next field, `None` at the end of the message.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the pre-scan takes twice as long without it")]
    pub(super) fn next(&mut self) -> Result<Option<Field>, LocatedFault> {
        let start = self.at;
        let bytes = self.bytes;
        let Some(&first) = bytes.get(start) else { return Ok(None) };
        let field = match first {
            0..=0x7f => read_value(bytes, start, u64::from(first), start + 1),
            _ => varint_slow(bytes, start)
                .and_then(|(key, key_end)| read_value(bytes, start, key, key_end)),
        };
        match field {
            Ok(field) => {
                self.at = field.end;
                Ok(Some(field))
            }
            Err(kind) => Err(LocatedFault { offset: start, kind }),
        }
    }

    /// The next field with this number, which is a message or bytes; others are passed over.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "retaining by an attribute takes 1.6 times as long without it"
    )]
    pub(super) fn next_message(&mut self, number: u32) -> Result<Option<Field>, LocatedFault> {
        while let Some(field) = self.next()? {
            if field.number == number {
                field.expect(WireType::Len)?;
                return Ok(Some(field));
            }
        }
        Ok(None)
    }
}

/// Reads what follows a key.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan takes twice as long without it")]
fn read_value(
    bytes: &[u8],
    start: usize,
    key: u64,
    key_end: usize,
) -> Result<Field, WireFaultKind> {
    let number = field_number(key)?;
    let field = |wire_type, value, end, varint| {
        Ok(Field { number, wire_type, start, key_end, value, end, varint })
    };
    let left = bytes.len() - key_end;
    match key & 7 {
        0 => {
            let (value, end) = varint(bytes, key_end)?;
            field(WireType::Varint, key_end, end, value)
        }
        1 if left >= 8 => field(WireType::Fixed64, key_end, key_end + 8, 0),
        2 => {
            let (len, value) = varint(bytes, key_end)?;
            match usize::try_from(len) {
                Ok(count) if count <= bytes.len() - value => {
                    field(WireType::Len, value, value + count, len)
                }
                _ => Err(WireFaultKind::Truncated),
            }
        }
        3 => {
            let end = skip_group(bytes, key_end, number)?;
            field(WireType::Group, key_end, end, 0)
        }
        4 => Err(WireFaultKind::UnbalancedGroup),
        5 if left >= 4 => field(WireType::Fixed32, key_end, key_end + 4, 0),
        1 | 5 => Err(WireFaultKind::Truncated),
        _ => Err(WireFaultKind::InvalidWireType),
    }
}

#[inline]
fn field_number(key: u64) -> Result<u32, WireFaultKind> {
    let key = u32::try_from(key).map_err(|_| WireFaultKind::InvalidKey)?;
    if key >> 3 == 0 { Err(WireFaultKind::InvalidKey) } else { Ok(key >> 3) }
}

/// Reads a varint, returns it and the position behind it. One and two bytes, the lengths of most
/// things, are read without a loop.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the pre-scan takes twice as long without it")]
pub(super) fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), WireFaultKind> {
    match bytes.get(at..) {
        Some(&[byte, ..]) if byte < 0x80 => Ok((u64::from(byte), at + 1)),
        Some(&[low, high, ..]) if high < 0x80 => {
            Ok((u64::from(low & 0x7f) | u64::from(high) << 7, at + 2))
        }
        _ => varint_slow(bytes, at),
    }
}

#[inline(never)]
fn varint_slow(bytes: &[u8], at: usize) -> Result<(u64, usize), WireFaultKind> {
    let mut value = 0;
    for (idx, &byte) in bytes[at..].iter().take(10).enumerate() {
        // The tenth byte holds the last bit of 64; more would be a number too large.
        if idx == 9 && byte > 1 {
            return Err(WireFaultKind::InvalidVarint);
        }
        value |= u64::from(byte & 0x7f) << (7 * idx);
        if byte < 0x80 {
            return Ok((value, at + idx + 1));
        }
    }
    Err(WireFaultKind::Truncated)
}

/// Finds the end of the group `number` whose content starts at `at`; returns the position behind
/// its end key. Nested groups are held on a stack of fixed size, not by recursion.
#[cold]
fn skip_group(bytes: &[u8], mut at: usize, number: u32) -> Result<usize, WireFaultKind> {
    let mut open = [0; GROUP_DEPTH_MAX];
    open[0] = number;
    let mut depth = 1;
    while depth > 0 {
        let (key, key_end) = varint(bytes, at)?;
        let number = field_number(key)?;
        match key & 7 {
            3 if depth == GROUP_DEPTH_MAX => return Err(WireFaultKind::GroupTooDeep),
            3 => {
                open[depth] = number;
                depth += 1;
                at = key_end;
            }
            4 if open[depth - 1] != number => return Err(WireFaultKind::UnbalancedGroup),
            4 => {
                depth -= 1;
                at = key_end;
            }
            _ => at = read_value(bytes, at, key, key_end)?.end,
        }
    }
    Ok(at)
}

/// How deep groups nest in the field that starts with the group key at `span.start`.
#[cold]
pub(super) fn group_depth(bytes: &[u8], field: &Field) -> usize {
    let (mut depth, mut deepest, mut at) = (1, 1, field.value);
    while depth > 0 && at < field.end {
        let Ok((key, key_end)) = varint(bytes, at) else { break };
        at = key_end;
        match key & 7 {
            3 => depth += 1,
            4 => depth -= 1,
            _ => match read_value(&bytes[..field.end], at, key, key_end) {
                Ok(inner) => at = inner.end,
                Err(_) => break,
            },
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// The lowest eight bits.
fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// How many bytes a varint takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the key of a field; `wire_type` is the number the format gives it.
pub(super) fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number << 3) | u64::from(wire_type));
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_key(out, number, 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a field whose value `write` appends; the length is put in front afterwards.
pub(super) fn put_message<T>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    put_key(out, number, 2);
    let len_at = out.len();
    out.push(0);
    let result = write(out);
    close_message(out, len_at);
    result
}

/// Turns the one byte kept free at `len_at` into the length of what follows it.
pub(super) fn close_message(out: &mut Vec<u8>, len_at: usize) {
    let value_at = len_at + 1;
    let mut len = (out.len() - value_at) as u64;
    let more = varint_len(len) - 1;
    if more > 0 {
        let end = out.len();
        out.resize(end + more, 0);
        out.copy_within(value_at..end, value_at + more);
    }
    for slot in &mut out[len_at..len_at + more] {
        *slot = low_byte(len) | 0x80;
        len >>= 7;
    }
    out[len_at + more] = low_byte(len);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, WireType, Range<usize>)>, LocatedFault> {
        let mut fields = Fields::new(bytes, 0..bytes.len());
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push((field.number, field.wire_type, field.span()));
        }
        Ok(found)
    }

    fn fault(bytes: &[u8]) -> (usize, WireFaultKind) {
        let fault = fields(bytes).unwrap_err();
        (fault.offset, fault.kind)
    }

    #[test]
    fn varints_survive_the_round_trip_in_their_shortest_form() {
        let ones = (0..64).map(|bits| u64::MAX >> bits);
        for value in ones.chain((0..64).map(|bit| 1 << bit)).chain([0]) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value), "{value}");
            assert_eq!(varint(&bytes, 0), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn over_long_varints_pass_up_to_ten_bytes() {
        let mut bytes = vec![0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        bytes.extend([0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 7]);
        assert_eq!(fields(&bytes).unwrap(), [(1, WireType::Len, 20..21)]);
        bytes[9] = 0x02;
        assert_eq!(fault(&bytes), (0, WireFaultKind::InvalidVarint));
        bytes[9] = 0x01;
        assert_eq!(fault(&bytes), (0, WireFaultKind::InvalidKey));
    }

    #[test]
    fn every_wire_type_is_read_and_groups_are_balanced() {
        let bytes = [0x08, 5, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 1, 9, 0x25, 1, 2, 3, 4, 0x2b]
            .into_iter()
            .chain([0x33, 0x08, 1, 0x34, 0x2c])
            .collect::<Vec<u8>>();
        let kinds = fields(&bytes).unwrap().into_iter().map(|field| field.1).collect::<Vec<_>>();
        let all = "[Varint, Fixed64, Len, Fixed32, Group]";
        assert_eq!(format!("{kinds:?}"), all);
        assert_eq!(fault(&[0x2b, 0x33, 0x2c, 0x34]), (0, WireFaultKind::UnbalancedGroup));
        assert_eq!(fault(&[0x08, 1, 0x2c]), (2, WireFaultKind::UnbalancedGroup));
        assert_eq!(fault(&[0x2b, 0x08, 1]), (0, WireFaultKind::Truncated));
        assert_eq!(fault(&[0x2b; 101]), (0, WireFaultKind::GroupTooDeep));
    }

    #[test]
    fn what_is_not_a_field_is_a_fault_at_its_key() {
        assert_eq!(fault(&[0x08, 1, 0x00, 1]), (2, WireFaultKind::InvalidKey));
        assert_eq!(fault(&[0x08, 1, 0x0a, 2, 1]), (2, WireFaultKind::Truncated));
        assert_eq!(fault(&[0x0f]), (0, WireFaultKind::InvalidWireType));
        assert_eq!(fault(&[0x09, 1, 2, 3]), (0, WireFaultKind::Truncated));
        assert_eq!(fault(&[0x0d, 1, 2, 3]), (0, WireFaultKind::Truncated));
        assert_eq!(fault(&[0x08]), (0, WireFaultKind::Truncated));
    }

    #[test]
    fn a_message_gets_its_length_whatever_it_is() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let value = vec![7; len];
            let (mut direct, mut closed) = (Vec::new(), Vec::new());
            put_bytes(&mut direct, 3, &value);
            put_message(&mut closed, 3, |out| out.extend_from_slice(&value));
            assert!(direct == closed, "{len}");
        }
    }
}
