//! Random requests, valid but in every form the wire allows.

use super::super::demo::Random;
use super::super::schema::{FieldSchema, Kind, Message};
use super::super::signal::Signal;
use super::super::wire::{WireType, put_bytes, put_key, put_message, put_varint};

const WORDS: [&str; 6] = ["a", "b", "c", "service.name", "", "caf\u{e9}"];
/// Texts that a writer of JSON has to escape, or to count in bytes and not in characters.
const ODD_WORDS: [&str; 6] = [
    "\u{65e5}\u{672c}\u{8a9e}",
    "\u{1f600}\u{1f468}\u{200d}\u{1f469}",
    "\0\u{1}\u{1f}\u{7f}",
    "\"\\\r\n\t</script>",
    "\u{2028}\u{feff}\u{202e}",
    "e\u{301}\u{ffff}\u{10ffff}",
];
const DOUBLES: [f64; 12] = [
    0.0,
    -0.0,
    1.5,
    0.1,
    -2.25e300,
    f64::MAX,
    5e-324,
    1e21,
    9_007_199_254_740_993.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];
const VARINTS: [u64; 8] = [0, 1, 2, 127, 128, 300, u64::MAX, 0x8000_0000];
/// Ids as they are, of a wrong length, and of none.
const ID_BYTES: [usize; 8] = [16, 16, 16, 8, 8, 0, 3, 33];
const DEPTH_MAX: u32 = 10;
/// How deep a value may be inside a request that is 10 deep, for the decoder to take it.
const CHAIN_MAX: u64 = 50;

/// A request with fields in any order, given twice, unknown, packed and unpacked, with over-long
/// varints; it decodes.
pub(super) fn request(signal: Signal, seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut Random::new(seed), Message::request(signal), 0, &mut out);
    out
}

fn message(random: &mut Random, kind: Message, depth: u32, out: &mut Vec<u8>) {
    let fields = kind.fields();
    let count = match (depth, random.below(200)) {
        // One container of very many, most of which are cut short.
        (2, 0) => 300,
        (0..3, _) => 1 + random.below(4),
        _ => random.below(6),
    };
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
            if inner == Message::AnyValue && random.below(100) == 0 {
                chain(1 + random.below(CHAIN_MAX), &mut content);
            } else if depth < DEPTH_MAX {
                message(random, inner, depth + 1, &mut content);
            }
            put_long_varint(random, out, u64::from(number << 3 | 2));
            put_long_varint(random, out, content.len() as u64);
            out.extend(content);
        }
        Kind::Text => put_bytes(out, number, text(random).as_bytes()),
        Kind::Bytes => {
            let content = some_bytes(random, [0, 1, 2, 3, 40, 300]);
            put_bytes(out, number, &content);
        }
        Kind::Id => {
            let content = some_bytes(random, ID_BYTES);
            put_bytes(out, number, &content);
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

/// Mostly a word that others are, too; now and then a long one, or one that is hard to write.
fn text(random: &mut Random) -> String {
    match random.below(20) {
        0 => random.choose(&ODD_WORDS).to_owned(),
        1 => random.choose(&WORDS).repeat(random.index(100)),
        2 => random.choose(&ODD_WORDS).repeat(random.index(40)),
        _ => random.choose(&WORDS).to_owned(),
    }
}

/// Any bytes, as many as one of these lengths says.
fn some_bytes<const N: usize>(random: &mut Random, lengths: [usize; N]) -> Vec<u8> {
    let len = lengths[random.index(N)];
    (0..len).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// A value inside lists inside lists, twice as many messages deep.
fn chain(lists: u64, out: &mut Vec<u8>) {
    let mut value = Vec::new();
    put_bytes(&mut value, 1, b"a");
    for _ in 0..lists / 2 {
        let (inner, mut outer) = (std::mem::take(&mut value), Vec::new());
        put_message(&mut outer, 5, |out| put_bytes(out, 1, &inner));
        value = outer;
    }
    out.extend(value);
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
            out.extend(DOUBLES[pick % DOUBLES.len()].to_le_bytes());
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
