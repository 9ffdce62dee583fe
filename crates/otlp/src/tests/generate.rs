//! Random requests, valid but in every form the wire allows.

use super::super::demo::Random;
use super::super::schema::{FieldSchema, Kind, Message};
use super::super::signal::Signal;
use super::super::wire::{WireType, put_bytes, put_key, put_message, put_varint};

const WORDS: [&str; 6] = ["a", "b", "c", "service.name", "", "caf\u{e9}"];
const DOUBLES: [f64; 5] = [0.0, 1.5, -2.25e300, 5e-324, f64::INFINITY];
const VARINTS: [u64; 8] = [0, 1, 2, 127, 128, 300, u64::MAX, 0x8000_0000];
const DEPTH_MAX: u32 = 10;

/// A request with fields in any order, given twice, unknown, packed and unpacked, with over-long
/// varints; it decodes.
pub(super) fn request(signal: Signal, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut Random::new(seed), Message::request(signal), 0, &mut out);
    out
}

fn message(random: &mut Random, kind: Message, depth: u32, out: &mut Vec<u8>) {
    let fields = kind.fields();
    let count = if depth < 3 { 1 + random.below(4) } else { random.below(6) };
    for _ in 0..count {
        if random.below(10) == 0 {
            unknown(random, out, 0);
            continue;
        }
        let idx = random.index(fields.len());
        field(random, &fields[idx], depth, out);
    }
}

fn field(random: &mut Random, schema: &FieldSchema, depth: u32, out: &mut Vec<u8>) {
    let number = schema.number;
    if schema.may_be_packed() && random.below(2) == 0 {
        put_message(out, number, |out| {
            for _ in 0..random.below(4) {
                scalar(random, schema.kind, out);
            }
        });
        return;
    }
    match schema.kind {
        Kind::Message(inner) => {
            let mut content = Vec::new();
            if depth < DEPTH_MAX {
                message(random, inner, depth + 1, &mut content);
            }
            put_long_varint(random, out, u64::from(number << 3 | 2));
            put_long_varint(random, out, content.len() as u64);
            out.extend(content);
        }
        Kind::Text | Kind::Bytes | Kind::Id => {
            put_bytes(out, number, random.choose(&WORDS).as_bytes());
        }
        kind => {
            let wire_type = match kind.wire_type() {
                WireType::Varint => 0,
                WireType::Fixed64 => 1,
                _ => 5,
            };
            put_long_varint(random, out, u64::from(number << 3 | wire_type));
            scalar(random, kind, out);
        }
    }
}

fn scalar(random: &mut Random, kind: Kind, out: &mut Vec<u8>) {
    let pick = random.index(64);
    match kind.wire_type() {
        WireType::Varint => {
            let value = VARINTS[pick % 8];
            put_long_varint(random, out, value);
        }
        WireType::Fixed32 => {
            out.extend([random.next().to_le_bytes()[0] & 1, 0, 0, random.next().to_le_bytes()[0]]);
        }
        _ if kind == Kind::Double => {
            out.extend(DOUBLES[pick % 5].to_le_bytes());
        }
        _ => out.extend((random.next() >> pick).to_le_bytes()),
    }
}

/// A varint that is sometimes longer than it need be.
fn put_long_varint(random: &mut Random, out: &mut Vec<u8>, value: u64) {
    put_varint(out, value);
    if random.below(20) == 0 && value < 1 << 56 {
        *out.last_mut().unwrap() |= 0x80;
        out.push(0);
    }
}

fn unknown(random: &mut Random, out: &mut Vec<u8>, depth: u32) {
    let number = [17, 99, 20_000][random.index(3)];
    match random.below(5) {
        0 => {
            put_key(out, number, 0);
            put_varint(out, random.next());
        }
        1 => {
            put_key(out, number, 1);
            out.extend([0x0a; 8]);
        }
        2 => put_bytes(out, number, &[0x0a, 0xff]),
        3 if depth < 3 => {
            put_key(out, number, 3);
            for _ in 0..random.below(3) {
                unknown(random, out, depth + 1);
            }
            put_key(out, number, 4);
        }
        _ => {
            put_key(out, number, 5);
            out.extend([0x12; 4]);
        }
    }
}
