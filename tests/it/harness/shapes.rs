//! Requests of few bytes and extreme shape.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use gophership_otlp::Signal;

/// A field of bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |mut value: u64| {
        while 0x7f < value {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    };
    put(u64::from(number << 3 | 2));
    put(content.len() as u64);
    out.extend_from_slice(content);
    out
}

/// So many empty fields.
pub(crate) fn empties(number: u32, len: usize) -> Vec<u8> {
    field(number, &[]).repeat(len)
}

/// A request with one scope that holds these records.
pub(crate) fn around(records: &[u8]) -> Vec<u8> {
    field(1, &field(2, records))
}

/// Requests of many small things, so many or a part of that: what they are, and their bytes.
pub(crate) fn shapes(many: usize) -> Vec<(&'static str, Signal, Vec<u8>)> {
    let in_list = |len| field(5, &field(5, &empties(1, len)));
    let deep = (0..90).fold(field(1, b"x"), |inner, _| field(5, &field(1, &inner)));
    vec![
        ("records", Signal::Logs, around(&empties(2, many))),
        ("spans", Signal::Traces, around(&empties(2, many))),
        ("metrics", Signal::Metrics, around(&empties(2, many / 2))),
        ("points", Signal::Metrics, around(&field(2, &field(5, &empties(1, many))))),
        ("resources", Signal::Logs, empties(1, many)),
        ("scopes", Signal::Logs, field(1, &empties(2, many))),
        ("a resource for each record", Signal::Logs, around(&empties(2, 1)).repeat(many / 4)),
        ("attributes", Signal::Logs, around(&field(2, &empties(6, many)))),
        ("links", Signal::Traces, around(&field(2, &empties(13, many)))),
        ("values in a list", Signal::Logs, around(&field(2, &in_list(many)))),
        ("a deep value", Signal::Logs, around(&field(2, &field(5, &deep)).repeat(5_000))),
        ("a long key", Signal::Logs, around(&field(2, &field(6, &field(1, &[b'k'; 1 << 20]))))),
        (
            "addresses",
            Signal::Logs,
            around(&field(2, &field(5, &field(1, &b"1.2.3.4 ".repeat(200_000))))),
        ),
        (
            "a large scope",
            Signal::Logs,
            around(&[field(3, &[b'u'; 1 << 20]), empties(2, many / 2)].concat()),
        ),
    ]
}

/// Compresses with gzip.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
