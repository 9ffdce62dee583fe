//! Log records with a number each: made by copying, and found again by a walk over the bytes.
//!
//! A client has 512 shapes of made-up records. Its record number `n` is shape `n % 512` with the number
//! written into it, so a request costs one copy, and whoever gets it can tell whether it was altered.

use std::ops::Range;

use bytes::Bytes;
use gophership_units::unix_ns;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use prost::encoding::decode_varint;
use prost::encoding::encode_varint;
use prost::encoding::encoded_len_varint;

use gophership_otlp::demo::demo_logs;

/// Shapes of records, and records in a full export.
pub(crate) const SHAPES: usize = 512;
/// The attribute that holds a record's number: 4 bytes of the client, 4 bytes that count.
const KEY: &str = "gophership.drill";
/// Stands where the number will be. Nothing that is made up looks like it.
const MARKER: [u8; 8] = [0xd1, 0x11, 0xff, 0xfe, 0xfd, 0x0c, 0xad, 0xe5];
/// Tags of fields 1 and 2 with a length.
const FIRST: u8 = 0x0a;
const SECOND: u8 = 0x12;

/// Makes the requests of one client.
pub(crate) struct Shapes {
    client: u32,
    /// The resource, as the first field of its container.
    resource: Vec<u8>,
    /// The scope, likewise.
    scope: Vec<u8>,
    records: Vec<Shape>,
}

/// One record.
struct Shape {
    bytes: Vec<u8>,
    number_at: usize,
}

/// A record that was found in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRecord<'a> {
    /// Whose record it is.
    pub client: u32,
    /// Which of that client's records.
    pub seq: u32,
    bytes: &'a [u8],
    content: Content<'a>,
}

/// A client and the number of one of its records.
type Number = (u32, u32);

/// What of a record must come as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intact {
    /// Every byte of it.
    #[default]
    Bytes,
    /// What transforms do not change: body, time and ids.
    Content,
    /// What not even `redact` changes: time and ids.
    Stamp,
}

/// What no transform changes; `redact` changes the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content<'a> {
    time: &'a [u8],
    body: &'a [u8],
    trace_id: &'a [u8],
    span_id: &'a [u8],
}

impl Shapes {
    /// Makes the shapes of a client's records.
    pub(crate) fn new(client: u32) -> Self {
        let wire = demo_logs(SHAPES, client.into(), unix_ns());
        let mut request = ExportLogsServiceRequest::decode(wire).unwrap_or_default();
        let mut container = request.resource_logs.pop().unwrap_or_default();
        let mut scoped = container.scope_logs.pop().unwrap_or_default();
        container.scope_logs.clear();
        let shape = |mut record: opentelemetry_proto::tonic::logs::v1::LogRecord| {
            let value = Some(AnyValue { value: Some(Value::BytesValue(MARKER.to_vec())) });
            let number = KeyValue { key: KEY.to_owned(), value, ..KeyValue::default() };
            record.attributes.push(number);
            let bytes = record.encode_to_vec();
            let found = bytes.windows(MARKER.len()).position(|bytes| bytes == MARKER);
            Shape { number_at: found.expect("it was put there just now"), bytes }
        };
        let records = std::mem::take(&mut scoped.log_records).into_iter().map(shape).collect();
        Self { client, resource: container.encode_to_vec(), scope: scoped.encode_to_vec(), records }
    }

    fn shape(&self, seq: u32) -> &Shape {
        &self.records[seq as usize % SHAPES]
    }

    /// Makes the request with these records.
    pub(crate) fn request(&self, seqs: &[Range<u32>]) -> Bytes {
        let seqs = || seqs.iter().cloned().flatten();
        let field = |len: usize| 1 + encoded_len_varint(len as u64) + len;
        let records: usize = seqs().map(|seq| field(self.shape(seq).bytes.len())).sum();
        let scoped = self.scope.len() + records;
        let container = self.resource.len() + field(scoped);
        let mut wire = Vec::with_capacity(field(container));
        let begin = |wire: &mut Vec<u8>, tag, len: usize| {
            wire.push(tag);
            encode_varint(len as u64, wire);
        };
        begin(&mut wire, FIRST, container);
        wire.extend_from_slice(&self.resource);
        begin(&mut wire, SECOND, scoped);
        wire.extend_from_slice(&self.scope);
        for seq in seqs() {
            let Shape { bytes, number_at } = self.shape(seq);
            begin(&mut wire, SECOND, bytes.len());
            let at = wire.len() + number_at;
            wire.extend_from_slice(bytes);
            wire[at..at + 4].copy_from_slice(&self.client.to_be_bytes());
            wire[at + 4..at + 8].copy_from_slice(&seq.to_be_bytes());
        }
        wire.into()
    }

    /// Whether a record is as it was sent, or what must be of it.
    pub(crate) fn is_intact(&self, found: &FoundRecord<'_>, intact: Intact) -> bool {
        let Shape { bytes, number_at } = self.shape(found.seq);
        let (before, after) = (..*number_at, number_at + MARKER.len()..);
        let is_same = found.bytes.len() == bytes.len()
            && found.bytes[before] == bytes[before]
            && found.bytes[after.clone()] == bytes[after];
        let sent = || read(bytes).map(|(_, content)| content);
        is_same
            || match intact {
                Intact::Bytes => false,
                Intact::Content => sent() == Some(found.content),
                Intact::Stamp => {
                    let found = found.content;
                    sent().is_some_and(|sent| found == Content { body: found.body, ..sent })
                }
            }
    }
}

/// Finds the records of a logs request; returns how many have no number, or `None` if it cannot be read.
pub fn find<'a>(wire: &'a [u8], mut visit: impl FnMut(FoundRecord<'a>)) -> Option<u64> {
    let mut strangers = 0;
    for field in Fields(wire) {
        let (1, container) = field? else { continue };
        for field in Fields(container) {
            let (2, scoped) = field? else { continue };
            for field in Fields(scoped) {
                let (2, bytes) = field? else { continue };
                match read(bytes)? {
                    (Some((client, seq)), content) => {
                        visit(FoundRecord { client, seq, bytes, content });
                    }
                    (None, _) => strangers += 1,
                }
            }
        }
    }
    Some(strangers)
}

/// Reads a record's number and what no transform changes.
fn read(record: &[u8]) -> Option<(Option<Number>, Content<'_>)> {
    let mut number = None;
    let mut content = Content::default();
    for field in Fields(record) {
        match field? {
            (1, bytes) => content.time = bytes,
            (5, bytes) => content.body = bytes,
            (6, attribute) => number = number.or(number_in(attribute)),
            (9, bytes) => content.trace_id = bytes,
            (10, bytes) => content.span_id = bytes,
            _ => {}
        }
    }
    Some((number, content))
}

/// Reads an attribute's value if it is the number. Some programs write a field before those with smaller numbers.
fn number_in(attribute: &[u8]) -> Option<Number> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(attribute) {
        match field? {
            (1, bytes) => key = bytes,
            (2, bytes) => value = bytes,
            _ => {}
        }
    }
    if key != KEY.as_bytes() {
        return None;
    }
    let (7, bytes) = Fields(value).next()?? else { return None };
    let (client, seq) = bytes.split_at_checked(4)?;
    let half = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    Some((half(client)?, half(seq)?))
}

/// The fields of a message: number and bytes; those of a varint are none. `None` where it is broken.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u32, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, &'a [u8])> {
        let tag = decode_varint(&mut self.0).ok()?;
        let len = match tag & 7 {
            0 => {
                decode_varint(&mut self.0).ok()?;
                0
            }
            1 => 8,
            2 => usize::try_from(decode_varint(&mut self.0).ok()?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some((u32::try_from(tag >> 3).ok()?, bytes))
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "an export is a list of ranges, often of one")]
mod tests {
    use super::*;

    fn found(wire: &[u8]) -> Vec<FoundRecord<'_>> {
        let mut all = Vec::new();
        assert_eq!(find(wire, |found| all.push(found)), Some(0));
        all
    }

    #[test]
    fn what_is_made_is_found_with_its_numbers_and_intact() {
        let shapes = Shapes::new(7);
        let wire = shapes.request(&[510..513, 9_000..9_001]);
        assert_eq!(
            gophership_otlp::prescan(gophership_otlp::Signal::Logs, &wire).unwrap().records,
            4
        );
        let found = found(&wire);
        let numbers: Vec<(u32, u32)> = found.iter().map(|one| (one.client, one.seq)).collect();
        assert_eq!(numbers, [(7, 510), (7, 511), (7, 512), (7, 9_000)]);
        assert!(found.iter().all(|one| shapes.is_intact(one, Intact::Bytes)));
    }

    #[test]
    fn behind_transforms_another_attribute_is_allowed_and_behind_redact_another_body_too() {
        let shapes = Shapes::new(1);
        let wire = shapes.request(&[3..4]);
        let altered = |change: &dyn Fn(&mut opentelemetry_proto::tonic::logs::v1::LogRecord)| {
            let mut request = ExportLogsServiceRequest::decode(&wire[..]).unwrap();
            change(&mut request.resource_logs[0].scope_logs[0].log_records[0]);
            let wire = request.encode_to_vec();
            let one = found(&wire)[0];
            let kinds = [Intact::Bytes, Intact::Content, Intact::Stamp];
            kinds.map(|intact| shapes.is_intact(&one, intact))
        };
        assert_eq!(altered(&|_| {}), [true; 3]);
        assert_eq!(altered(&|record| record.attributes.swap(0, 1)), [false, true, true]);
        assert_eq!(altered(&|record| record.time_unix_nano += 1), [false; 3]);
        let body = |text: &str| Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
        assert_eq!(altered(&|record| record.body = body("other")), [false, false, true]);
    }

    #[test]
    fn the_number_is_read_in_every_order_of_the_fields() {
        let number = [0, 0, 0, 7, 0, 0, 2, 1];
        let key = [&[FIRST, u8::try_from(KEY.len()).unwrap()], KEY.as_bytes()].concat();
        let value = [&[SECOND, 10, 0x3a, 8][..], &number].concat();
        for attribute in [[&key[..], &value], [&value, &key]] {
            assert_eq!(number_in(&attribute.concat()), Some((7, 513)));
        }
        assert_eq!(number_in(&value), None);
    }

    #[test]
    fn strangers_are_counted_and_broken_bytes_are_told() {
        assert_eq!(find(&demo_logs(5, 1, 1), |_| panic!("none of ours")), Some(5));
        let wire = Shapes::new(1).request(&[0..2]);
        assert_eq!(find(&wire[..wire.len() - 1], |_| {}), None);
    }
}
