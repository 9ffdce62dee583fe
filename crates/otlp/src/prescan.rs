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

use std::ops::Range;

use super::error::{LocatedFault, WireError, WireFaultKind};
use super::locate::malformed;
use super::schema::Message;
use super::signal::Signal;
use super::wire::{Field, Fields, WireType};

/// A resource or a scope that comes in more pieces than this is malformed. Protobuf merges the pieces of a
/// message that is given several times, and each reader of a request keeps a list of them; writers
/// give one.
const PIECES_MAX: u32 = 1_000;

/// What a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Log records, spans or metric data points.
    pub records: u64,
    /// Containers of resources: the outermost messages of a request.
    pub resources: u64,
    /// Containers of scopes, inside those of resources.
    pub scopes: u64,
}

/// Validates envelope and records of a request and counts its records.
///
/// Checks keys, wire types and lengths down to the top-level fields of each record. Allocates
/// nothing and recurses nowhere. Text is not checked to be UTF-8. Every request the typed decoder
/// takes passes, unless a resource or scope comes in more than 1,000 pieces; its counts equal those of
/// the decoded request.
///
/// # Errors
///
/// [`WireError::Malformed`] for bytes no parser would take, and for too many pieces.
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
    let mut scan = Scan::<RECORDS> { bytes, signal, summary: Summary::default() };
    match scan.request() {
        Ok(()) => Ok(scan.summary),
        Err(fault) => Err(malformed(signal, bytes, fault)),
    }
}

struct Scan<'a, const RECORDS: bool> {
    bytes: &'a [u8],
    signal: Signal,
    summary: Summary,
}

impl<const RECORDS: bool> Scan<'_, RECORDS> {
    fn request(&mut self) -> Result<(), LocatedFault> {
        let mut fields = Fields::new(self.bytes, 0..self.bytes.len());
        while let Some(field) = fields.next_message(1)? {
            self.summary.resources += 1;
            self.resource_container(field.span())?;
        }
        Ok(())
    }

    fn resource_container(&mut self, span: Range<usize>) -> Result<(), LocatedFault> {
        let mut fields = Fields::new(self.bytes, span);
        let (mut scopes, mut pieces) = (0, 0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    count_piece(&mut pieces, &field)?;
                    self.fields_of(&RESOURCE, &field)?;
                }
                2 => {
                    field.expect(WireType::Len)?;
                    scopes += 1;
                    self.scope_container(field.span())?;
                }
                3 => field.expect(WireType::Len)?,
                _ => {}
            }
        }
        self.summary.scopes += scopes;
        Ok(())
    }

    fn scope_container(&mut self, span: Range<usize>) -> Result<(), LocatedFault> {
        let mut fields = Fields::new(self.bytes, span);
        let (mut records, mut pieces) = (0, 0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    count_piece(&mut pieces, &field)?;
                    self.fields_of(&SCOPE, &field)?;
                }
                2 => {
                    field.expect(WireType::Len)?;
                    match self.signal {
                        Signal::Logs | Signal::Traces => records += 1,
                        Signal::Metrics => records += self.metric(field.span())?,
                    }
                    match self.signal {
                        Signal::Logs if RECORDS => self.fields_of(&LOG_RECORD, &field)?,
                        Signal::Traces if RECORDS => self.fields_of(&SPAN, &field)?,
                        _ => {}
                    }
                }
                3 => field.expect(WireType::Len)?,
                _ => {}
            }
        }
        self.summary.records += records;
        Ok(())
    }

    /// Counts the points of a metric. It holds one kind of data; where the wire has several, parsers
    /// keep the last and forget the points of the others.
    fn metric(&self, span: Range<usize>) -> Result<u64, LocatedFault> {
        let mut fields = Fields::new(self.bytes, span);
        let mut points = 0;
        let mut data = 0;
        while let Some(field) = fields.next()? {
            let shape = match field.number {
                5 | 7 => &NUMBER_POINT,
                9 => &HISTOGRAM_POINT,
                10 => &EXPONENTIAL_POINT,
                11 => &SUMMARY_POINT,
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
            points += self.data_points(&field, shape)?;
        }
        Ok(points)
    }

    fn data_points(&self, data: &Field, shape: &Shape) -> Result<u64, LocatedFault> {
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

    /// Checks the top-level fields of the message that `field` holds.
    #[inline]
    fn fields_of(&self, shape: &Shape, field: &Field) -> Result<(), LocatedFault> {
        field.expect(WireType::Len)?;
        let bytes = &self.bytes[..field.end];
        let mut at = field.value;
        while let Some(&key) = bytes.get(at) {
            at = match shape.steps[usize::from(key)] {
                Step::Len => match bytes.get(at + 1..) {
                    Some(&[len, ..]) if len < 0x80 => at + 2 + usize::from(len),
                    Some(&[low, high, ..]) if high < 0x80 => {
                        at + 3 + (usize::from(low & 0x7f) | usize::from(high) << 7)
                    }
                    _ => self.careful_field(shape, field.end, at)?,
                },
                Step::Fixed64 => at + 9,
                Step::Varint => match bytes.get(at + 1) {
                    Some(&value) if value < 0x80 => at + 2,
                    _ => self.careful_field(shape, field.end, at)?,
                },
                Step::Fixed32 => at + 5,
                Step::Careful => self.careful_field(shape, field.end, at)?,
            };
        }
        if at > bytes.len() {
            return Err(self.overrun(field));
        }
        Ok(())
    }

    /// Reads the field at `at` with all checks; returns where it ends.
    #[inline(never)]
    fn careful_field(&self, shape: &Shape, end: usize, at: usize) -> Result<usize, LocatedFault> {
        let Some(field) = Fields::new(self.bytes, at..end).next()? else { return Ok(end) };
        if let Some((_, schema)) = shape.message.field(field.number) {
            let is_packed = field.wire_type == WireType::Len && schema.may_be_packed();
            if !is_packed {
                field.expect(schema.kind.wire_type())?;
            }
        }
        Ok(field.end)
    }

    /// Finds the field that runs over the end of the message that `field` holds.
    #[cold]
    fn overrun(&self, field: &Field) -> LocatedFault {
        let mut fields = Fields::new(self.bytes, field.span());
        loop {
            match fields.next() {
                Ok(Some(_)) => {}
                Ok(None) => {
                    return LocatedFault { offset: field.start, kind: WireFaultKind::Truncated };
                }
                Err(fault) => return fault,
            }
        }
    }
}

/// Counts one more piece of the message that `field` holds.
fn count_piece(pieces: &mut u32, field: &Field) -> Result<(), LocatedFault> {
    *pieces += 1;
    if *pieces <= PIECES_MAX {
        return Ok(());
    }
    Err(LocatedFault { offset: field.start, kind: WireFaultKind::TooManyPieces })
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
        let (step, wire_type) = match field.kind.wire_type() {
            WireType::Varint => (Step::Varint, 0),
            WireType::Fixed64 => (Step::Fixed64, 1),
            WireType::Fixed32 => (Step::Fixed32, 5),
            WireType::Len | WireType::Group => (Step::Len, 2),
        };
        steps[(field.number << 3 | wire_type) as usize] = step;
    }
    Shape { message, steps }
}

static RESOURCE: Shape = shape(Message::Resource);
static SCOPE: Shape = shape(Message::Scope);
static LOG_RECORD: Shape = shape(Message::LogRecord);
static SPAN: Shape = shape(Message::Span);
static NUMBER_POINT: Shape = shape(Message::NumberDataPoint);
static HISTOGRAM_POINT: Shape = shape(Message::HistogramDataPoint);
static EXPONENTIAL_POINT: Shape = shape(Message::ExponentialHistogramDataPoint);
static SUMMARY_POINT: Shape = shape(Message::SummaryDataPoint);
