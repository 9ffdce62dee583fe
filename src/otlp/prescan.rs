//! The pre-scan: one pass over a request that decodes nothing.
//!
//! The hot path of the product. Every request goes through it before its bytes are handed on or
//! written to the vault, so it must cost a small part of what receiving the bytes costs. It walks
//! request, resources and scopes field by field and looks at the top-level fields of each record;
//! what is inside attributes and bodies is left to [`inspect`](super::inspect).
//!
//! The walk over a record's fields trusts a table of 256 entries, indexed by the first byte of the
//! key: most OTLP fields have a key and a length of one byte each. What the table does not know
//! (long keys, long lengths, unknown fields, foreign wire types) takes the careful road.

use std::mem::size_of;
use std::ops::Range;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::error::{Fault, FaultKind, WireError};
use super::locate::malformed;
use super::schema::{Kind, Message, Presence};
use super::signal::Signal;
use super::wire::{Field, Fields, WireType};

/// What a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Log records, spans or metric data points.
    pub records: u64,
    /// About how many bytes of memory the typed form takes.
    ///
    /// After a pre-scan: records, their attributes and all text, but not what is nested in
    /// attribute values. After [`inspect`](super::inspect) everything is counted.
    pub decoded_bytes: u64,
}

/// Validates envelope and records of a request and counts its records.
///
/// Checks keys, wire types and lengths down to the top-level fields of each record. Allocates
/// nothing and recurses nowhere. Text is not checked to be UTF-8. Every request the typed decoder
/// takes passes, and its count equals the count of the decoded records.
///
/// # Errors
///
/// [`WireError::Malformed`] for bytes no parser would take.
pub fn prescan(signal: Signal, bytes: &[u8]) -> Result<Summary, WireError> {
    scan::<true>(signal, bytes)
}

/// Like [`prescan`], but stops at the boundaries of the records and looks into none.
///
/// A fifth of the cost for logs; a record's insides may be anything.
///
/// # Errors
///
/// [`WireError::Malformed`] for an envelope no parser would take.
pub fn prescan_envelope(signal: Signal, bytes: &[u8]) -> Result<Summary, WireError> {
    scan::<false>(signal, bytes)
}

fn scan<const RECORDS: bool>(signal: Signal, bytes: &[u8]) -> Result<Summary, WireError> {
    let mut scan = Scan::<RECORDS> {
        bytes,
        signal,
        summary: Summary { records: 0, decoded_bytes: bytes.len() as u64 },
    };
    match scan.request() {
        Ok(()) => Ok(scan.summary),
        Err(fault) => Err(malformed(signal, bytes, fault)),
    }
}

/// How many bytes a vector that grew by pushing holds.
pub(super) fn vector_bytes(len: u64, element_bytes: usize) -> u64 {
    if len == 0 { 0 } else { len.next_power_of_two().max(4) * element_bytes as u64 }
}

struct Scan<'a, const RECORDS: bool> {
    bytes: &'a [u8],
    signal: Signal,
    summary: Summary,
}

impl<const RECORDS: bool> Scan<'_, RECORDS> {
    fn request(&mut self) -> Result<(), Fault> {
        let mut fields = Fields::new(self.bytes, 0..self.bytes.len());
        let mut containers = 0;
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                field.expect(WireType::Len)?;
                containers += 1;
                self.resource_container(field.span())?;
            }
        }
        self.charge(
            containers,
            match self.signal {
                Signal::Logs => size_of::<ResourceLogs>(),
                Signal::Traces => size_of::<ResourceSpans>(),
                Signal::Metrics => size_of::<metrics::ResourceMetrics>(),
            },
        );
        Ok(())
    }

    fn resource_container(&mut self, span: Range<usize>) -> Result<(), Fault> {
        let mut fields = Fields::new(self.bytes, span);
        let mut containers = 0;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.fields_of(&RESOURCE, &field)?,
                2 => {
                    field.expect(WireType::Len)?;
                    containers += 1;
                    self.scope_container(field.span())?;
                }
                3 => field.expect(WireType::Len)?,
                _ => {}
            }
        }
        self.charge(
            containers,
            match self.signal {
                Signal::Logs => size_of::<ScopeLogs>(),
                Signal::Traces => size_of::<ScopeSpans>(),
                Signal::Metrics => size_of::<metrics::ScopeMetrics>(),
            },
        );
        Ok(())
    }

    fn scope_container(&mut self, span: Range<usize>) -> Result<(), Fault> {
        let mut fields = Fields::new(self.bytes, span);
        let mut children = 0;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.fields_of(&SCOPE, &field)?,
                2 => {
                    field.expect(WireType::Len)?;
                    children += 1;
                    match self.signal {
                        Signal::Logs if RECORDS => self.fields_of(&LOG_RECORD, &field)?,
                        Signal::Traces if RECORDS => self.fields_of(&SPAN, &field)?,
                        Signal::Logs | Signal::Traces => {}
                        Signal::Metrics => self.metric(field.span())?,
                    }
                }
                3 => field.expect(WireType::Len)?,
                _ => {}
            }
        }
        match self.signal {
            Signal::Logs => self.charge(children, size_of::<LogRecord>()),
            Signal::Traces => self.charge(children, size_of::<Span>()),
            Signal::Metrics => {
                self.charge(children, size_of::<metrics::Metric>());
                children = 0;
            }
        }
        self.summary.records += children;
        Ok(())
    }

    /// A metric holds one kind of data; where the wire has several, parsers keep the last and
    /// forget the points of the others.
    fn metric(&mut self, span: Range<usize>) -> Result<(), Fault> {
        let mut fields = Fields::new(self.bytes, span);
        let mut points = 0;
        let mut data = 0;
        while let Some(field) = fields.next()? {
            let (shape, point_bytes) = match field.number {
                5 | 7 => (&NUMBER_POINT, size_of::<metrics::NumberDataPoint>()),
                9 => (&HISTOGRAM_POINT, size_of::<metrics::HistogramDataPoint>()),
                10 => (&EXPONENTIAL_POINT, size_of::<metrics::ExponentialHistogramDataPoint>()),
                11 => (&SUMMARY_POINT, size_of::<metrics::SummaryDataPoint>()),
                1..=3 | 12 => {
                    field.expect(WireType::Len)?;
                    continue;
                }
                _ => continue,
            };
            field.expect(WireType::Len)?;
            if field.number != data {
                points = 0;
                data = field.number;
            }
            let more = self.data_points(&field, shape)?;
            self.charge(more, point_bytes);
            points += more;
        }
        self.summary.records += points;
        Ok(())
    }

    fn data_points(&mut self, data: &Field, shape: &Shape) -> Result<u64, Fault> {
        let mut fields = Fields::new(self.bytes, data.span());
        let mut points = 0;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    field.expect(WireType::Len)?;
                    points += 1;
                    if RECORDS {
                        self.fields_of(shape, &field)?;
                    }
                }
                // Temporality and monotonicity, where the kind of data has them.
                2 if matches!(data.number, 7 | 9 | 10) => field.expect(WireType::Varint)?,
                3 if data.number == 7 => field.expect(WireType::Varint)?,
                _ => {}
            }
        }
        Ok(points)
    }

    /// Checks the top-level fields of the message that `field` holds. Its attributes are charged;
    /// events, links and exemplars count as attributes, they are of the same order.
    #[inline]
    fn fields_of(&mut self, shape: &Shape, field: &Field) -> Result<(), Fault> {
        field.expect(WireType::Len)?;
        let bytes = &self.bytes[..field.end];
        let mut at = field.value;
        let mut elements = 0;
        while let Some(&key) = bytes.get(at) {
            let entry = shape.entries[usize::from(key)];
            at = match entry.step {
                Step::Len => match bytes.get(at + 1..) {
                    Some(&[len, ..]) if len < 0x80 => {
                        elements += u64::from(entry.elements);
                        at + 2 + usize::from(len)
                    }
                    Some(&[low, high, ..]) if high < 0x80 => {
                        elements += u64::from(entry.elements);
                        at + 3 + (usize::from(low & 0x7f) | usize::from(high) << 7)
                    }
                    _ => self.careful_field(shape, field.end, at, &mut elements)?,
                },
                Step::Fixed64 => at + 9,
                Step::Varint => match bytes.get(at + 1) {
                    Some(&value) if value < 0x80 => at + 2,
                    _ => self.careful_field(shape, field.end, at, &mut elements)?,
                },
                Step::Fixed32 => at + 5,
                Step::Careful => self.careful_field(shape, field.end, at, &mut elements)?,
            };
        }
        if at > bytes.len() {
            return Err(self.overrun(field));
        }
        self.charge(elements, size_of::<KeyValue>());
        Ok(())
    }

    /// Reads the field at `at` with all checks; returns where it ends.
    #[inline(never)]
    fn careful_field(
        &self,
        shape: &Shape,
        end: usize,
        at: usize,
        elements: &mut u64,
    ) -> Result<usize, Fault> {
        let Some(field) = Fields::new(self.bytes, at..end).next()? else { return Ok(end) };
        if let Some((_, schema)) = shape.message.field(field.number) {
            let is_packed = field.wire_type == WireType::Len && schema.may_be_packed();
            if !is_packed {
                field.expect(schema.kind.wire_type())?;
            }
            if let (Kind::Message(_), Presence::Repeated) = (schema.kind, schema.presence) {
                *elements += 1;
            }
        }
        Ok(field.end)
    }

    /// Finds the field that runs over the end of the message that `field` holds.
    #[cold]
    fn overrun(&self, field: &Field) -> Fault {
        let mut fields = Fields::new(self.bytes, field.span());
        loop {
            match fields.next() {
                Ok(Some(_)) => {}
                Ok(None) => return Fault { offset: field.start, kind: FaultKind::Truncated },
                Err(fault) => return fault,
            }
        }
    }

    /// Adds a vector of this many elements to the estimate.
    fn charge(&mut self, len: u64, element_bytes: usize) {
        self.summary.decoded_bytes += vector_bytes(len, element_bytes);
    }
}

/// How to step over a field, told by the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Careful,
    Varint,
    Fixed32,
    Fixed64,
    Len,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    step: Step,
    /// 1 for an element of a vector, else 0.
    elements: u8,
}

/// The known fields of a message, by the first byte of their keys.
struct Shape {
    message: Message,
    entries: [Entry; 256],
}

const fn shape(message: Message) -> Shape {
    let mut entries = [Entry { step: Step::Careful, elements: 0 }; 256];
    let fields = message.fields();
    let mut idx = 0;
    while idx < fields.len() {
        let field = &fields[idx];
        idx += 1;
        if field.number > 15 {
            continue;
        }
        let (step, wire_type) = match field.kind.wire_type() {
            WireType::Varint => (Step::Varint, 0),
            WireType::Fixed64 => (Step::Fixed64, 1),
            WireType::Fixed32 => (Step::Fixed32, 5),
            WireType::Len | WireType::Group => (Step::Len, 2),
        };
        let is_element =
            matches!((field.kind, field.presence), (Kind::Message(_), Presence::Repeated));
        let elements = if is_element { 1 } else { 0 };
        entries[(field.number << 3 | wire_type) as usize] = Entry { step, elements };
    }
    Shape { message, entries }
}

static RESOURCE: Shape = shape(Message::Resource);
static SCOPE: Shape = shape(Message::Scope);
static LOG_RECORD: Shape = shape(Message::LogRecord);
static SPAN: Shape = shape(Message::Span);
static NUMBER_POINT: Shape = shape(Message::NumberDataPoint);
static HISTOGRAM_POINT: Shape = shape(Message::HistogramDataPoint);
static EXPONENTIAL_POINT: Shape = shape(Message::ExponentialHistogramDataPoint);
static SUMMARY_POINT: Shape = shape(Message::SummaryDataPoint);
