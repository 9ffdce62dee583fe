//! The full structural check: every nested message, its depth and its cost when decoded.

use std::mem::size_of;
use std::ops::Range;

use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::trace::v1 as trace;

use super::error::{LocatedFault, WireError, WireFaultKind};
use super::locate::{malformed, path};
use super::prescan::Summary;
use super::schema::{FieldSchema, Kind, Message, Presence};
use super::signal::Signal;
use super::wire::{Field, Fields, WireType, group_depth, varint};

/// What a request may cost before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Memory of the decoded request, in bytes, as estimated; of what is made from JSON, its size.
    /// Default: 32 MiB.
    pub decoded_bytes_max: u64,
    /// Nesting of messages and groups; a log record is level 3, a plain attribute value level 5.
    /// Default: 32. More than 96 counts as 96: the typed decoder goes no deeper.
    pub depth_max: u32,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { decoded_bytes_max: 32 << 20, depth_max: 32 }
    }
}

/// The typed decoder gives up at 100 levels, of which it uses a few for itself.
const DEPTH_CEILING: u32 = 96;

/// What an allocation costs beyond the bytes asked for: header and rounding.
const ALLOCATION_BYTES: u64 = 16;

/// Most fields of any message in the schema.
const FIELDS_MAX: usize = 16;

impl DecodeLimits {
    /// The depth limit in force.
    pub(super) fn depth(&self) -> u32 {
        self.depth_max.min(DEPTH_CEILING)
    }
}

/// Checks a request in full depth and says what decoding it will cost.
///
/// When this succeeds, the typed decoder succeeds too unless a text field is not UTF-8, which is
/// not looked at here. Allocates nothing; recurses no deeper than the depth limit.
///
/// # Errors
///
/// [`WireError::Malformed`] for bytes no parser would take, [`WireError::TooDeep`] and
/// [`WireError::TooLarge`] for a request beyond the limits.
pub fn inspect(signal: Signal, bytes: &[u8], limits: &DecodeLimits) -> Result<Summary, WireError> {
    let mut inspection = Inspection {
        bytes,
        depth_max: limits.depth(),
        summary: Summary::default(),
        decoded_bytes: 0,
    };
    let request = Message::request(signal);
    if let Err(refusal) = inspection.message(request, 0..bytes.len(), 0) {
        return Err(match refusal {
            InspectFault::LocatedFault(fault) => malformed(signal, bytes, fault),
            InspectFault::TooDeep { offset } => WireError::TooDeep {
                offset,
                path: path(signal, bytes, offset),
                depth_max: inspection.depth_max,
            },
        });
    }
    let decoded_bytes = inspection.decoded_bytes;
    if decoded_bytes > limits.decoded_bytes_max {
        let limit_bytes = limits.decoded_bytes_max;
        return Err(WireError::TooLarge { decoded_bytes, limit_bytes });
    }
    Ok(inspection.summary)
}

enum InspectFault {
    LocatedFault(LocatedFault),
    TooDeep { offset: usize },
}

impl From<LocatedFault> for InspectFault {
    fn from(fault: LocatedFault) -> Self {
        Self::LocatedFault(fault)
    }
}

struct Inspection<'a> {
    bytes: &'a [u8],
    depth_max: u32,
    summary: Summary,
    /// About how many bytes of memory the typed form takes.
    decoded_bytes: u64,
}

impl Inspection<'_> {
    fn message(
        &mut self,
        message: Message,
        span: Range<usize>,
        depth: u32,
    ) -> Result<(), InspectFault> {
        let records_before = self.summary.records;
        let mut alternative = 0;
        let mut counts = [0_u32; FIELDS_MAX];
        let mut fields = Fields::new(self.bytes, span);
        while let Some(field) = fields.next()? {
            let Some((idx, schema)) = message.field(field.number) else {
                self.unknown(&field, depth)?;
                continue;
            };
            if schema.presence == Presence::Alternative && alternative != field.number {
                // Another alternative came before: parsers forget it, and its data points.
                alternative = field.number;
                self.summary.records = records_before;
            }
            let elements = self.value(schema, &field, depth)?;
            if schema.presence == Presence::Repeated {
                // A request has fewer than 2^32 bytes, so no list has as many elements.
                self.grow(u64::from(counts[idx]), elements, schema.kind);
                counts[idx] =
                    counts[idx].saturating_add(u32::try_from(elements).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }

    /// Checks one known field; returns how many values it holds.
    fn value(
        &mut self,
        schema: &FieldSchema,
        field: &Field,
        depth: u32,
    ) -> Result<u64, InspectFault> {
        if field.wire_type == WireType::Len && schema.may_be_packed() {
            return Ok(self.packed(schema, field)?);
        }
        field.expect(schema.kind.wire_type())?;
        match schema.kind {
            Kind::Message(inner) => {
                if depth + 1 > self.depth_max {
                    return Err(InspectFault::TooDeep { offset: field.start });
                }
                match inner {
                    Message::ResourceLogs | Message::ResourceSpans | Message::ResourceMetrics => {
                        self.summary.resources += 1;
                    }
                    Message::ScopeLogs | Message::ScopeSpans | Message::ScopeMetrics => {
                        self.summary.scopes += 1;
                    }
                    _ if inner.is_record() => self.summary.records += 1,
                    _ => {}
                }
                self.message(inner, field.span(), depth + 1)?;
            }
            Kind::Text | Kind::Bytes | Kind::Id if field.varint > 0 => {
                self.decoded_bytes += field.varint.max(8) + ALLOCATION_BYTES;
            }
            _ => {}
        }
        Ok(1)
    }

    /// Checks packed numbers; returns how many there are.
    fn packed(&self, schema: &FieldSchema, field: &Field) -> Result<u64, LocatedFault> {
        let fault = |kind| LocatedFault { offset: field.start, kind };
        if schema.kind.wire_type() == WireType::Fixed64 {
            let is_whole = field.varint.is_multiple_of(8);
            return if is_whole {
                Ok(field.varint / 8)
            } else {
                Err(fault(WireFaultKind::Truncated))
            };
        }
        let values = &self.bytes[..field.end];
        let (mut at, mut count) = (field.value, 0);
        while at < field.end {
            at = varint(values, at).map_err(fault)?.1;
            count += 1;
        }
        Ok(count)
    }

    fn unknown(&self, field: &Field, depth: u32) -> Result<(), InspectFault> {
        if field.wire_type == WireType::Group {
            let levels = u32::try_from(group_depth(self.bytes, field)).unwrap_or(u32::MAX);
            if levels > self.depth_max - depth {
                return Err(InspectFault::TooDeep { offset: field.start });
            }
        }
        Ok(())
    }

    /// Charges a vector of `len` elements for `more` of them: it doubles whenever it is full.
    fn grow(&mut self, len: u64, more: u64, kind: Kind) {
        let capacity = |len: u64| if len == 0 { 0 } else { len.next_power_of_two().max(4) };
        let grown = capacity(len + more) - capacity(len);
        if grown > 0 {
            let allocation = if len == 0 { ALLOCATION_BYTES } else { 0 };
            self.decoded_bytes += grown * element_bytes(kind) + allocation;
        }
    }
}

/// How many bytes one element of a repeated field takes in its vector.
fn element_bytes(kind: Kind) -> u64 {
    let Kind::Message(message) = kind else {
        return if kind == Kind::Text { size_of::<String>() as u64 } else { 8 };
    };
    let bytes = match message {
        Message::ResourceLogs => size_of::<logs::ResourceLogs>(),
        Message::ScopeLogs => size_of::<logs::ScopeLogs>(),
        Message::LogRecord => size_of::<logs::LogRecord>(),
        Message::ResourceSpans => size_of::<trace::ResourceSpans>(),
        Message::ScopeSpans => size_of::<trace::ScopeSpans>(),
        Message::Span => size_of::<trace::Span>(),
        Message::Event => size_of::<trace::span::Event>(),
        Message::Link => size_of::<trace::span::Link>(),
        Message::ResourceMetrics => size_of::<metrics::ResourceMetrics>(),
        Message::ScopeMetrics => size_of::<metrics::ScopeMetrics>(),
        Message::Metric => size_of::<metrics::Metric>(),
        Message::NumberDataPoint => size_of::<metrics::NumberDataPoint>(),
        Message::HistogramDataPoint => size_of::<metrics::HistogramDataPoint>(),
        Message::ExponentialHistogramDataPoint => {
            size_of::<metrics::ExponentialHistogramDataPoint>()
        }
        Message::SummaryDataPoint => size_of::<metrics::SummaryDataPoint>(),
        Message::ValueAtQuantile => size_of::<metrics::summary_data_point::ValueAtQuantile>(),
        Message::Exemplar => size_of::<metrics::Exemplar>(),
        Message::EntityRef => size_of::<common::EntityRef>(),
        Message::KeyValue => size_of::<common::KeyValue>(),
        Message::AnyValue => size_of::<common::AnyValue>(),
        // These are never elements of a vector: they lie inside their parents.
        Message::LogsRequest
        | Message::TracesRequest
        | Message::MetricsRequest
        | Message::Status
        | Message::Gauge
        | Message::Sum
        | Message::Histogram
        | Message::ExponentialHistogram
        | Message::Summary
        | Message::Buckets
        | Message::Resource
        | Message::Scope
        | Message::ArrayValue
        | Message::KeyValueList => 0,
    };
    bytes as u64
}
