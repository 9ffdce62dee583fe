//! The messages of OTLP as a table: field numbers, names and kinds.
//!
//! One table serves the structural check, the paths in error messages and the JSON form. It holds
//! what a request of logs, traces or metrics can contain, nothing else.
//!
//! Source: opentelemetry-proto 1.11.0.

mod tables;

use super::signal::Signal;
use super::wire::WireType;

/// A message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    LogsRequest,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    TracesRequest,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Status,
    MetricsRequest,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
    NumberDataPoint,
    HistogramDataPoint,
    ExponentialHistogramDataPoint,
    SummaryDataPoint,
    Buckets,
    ValueAtQuantile,
    Exemplar,
    Resource,
    EntityRef,
    Scope,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// `int32` and all enumerations.
    Int32,
    Uint32,
    Sint32,
    Int64,
    Uint64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    Text,
    /// Bytes whose JSON form is base64.
    Bytes,
    /// Bytes whose JSON form is hexadecimal: trace and span ids.
    Id,
    Message(Message),
}

impl Kind {
    /// The wire type of one value.
    pub(super) const fn wire_type(self) -> WireType {
        match self {
            Self::Bool | Self::Int32 | Self::Uint32 | Self::Sint32 | Self::Int64 | Self::Uint64 => {
                WireType::Varint
            }
            Self::Fixed32 => WireType::Fixed32,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => WireType::Fixed64,
            Self::Text | Self::Bytes | Self::Id | Self::Message(_) => WireType::Len,
        }
    }
}

/// How often a field may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Once; its default value means the same as its absence.
    Plain,
    /// Once; its default value is a value of its own.
    Optional,
    /// Any number of times; numbers may be packed.
    Repeated,
    /// One of the alternatives of the message's only `oneof`: the last one on the wire counts.
    Alternative,
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct FieldSchema {
    pub(super) number: u32,
    /// The name in the protobuf definition.
    pub(super) name: &'static str,
    /// The name in JSON.
    pub(super) json: &'static str,
    pub(super) kind: Kind,
    pub(super) presence: Presence,
}

impl FieldSchema {
    /// Whether several values may stand in one `Len` field.
    pub(super) fn may_be_packed(&self) -> bool {
        self.presence == Presence::Repeated && self.kind.wire_type() != WireType::Len
    }
}

/// All messages, in the order of the enum.
pub(super) const MESSAGES: [Message; 34] = [
    Message::LogsRequest,
    Message::ResourceLogs,
    Message::ScopeLogs,
    Message::LogRecord,
    Message::TracesRequest,
    Message::ResourceSpans,
    Message::ScopeSpans,
    Message::Span,
    Message::Event,
    Message::Link,
    Message::Status,
    Message::MetricsRequest,
    Message::ResourceMetrics,
    Message::ScopeMetrics,
    Message::Metric,
    Message::Gauge,
    Message::Sum,
    Message::Histogram,
    Message::ExponentialHistogram,
    Message::Summary,
    Message::NumberDataPoint,
    Message::HistogramDataPoint,
    Message::ExponentialHistogramDataPoint,
    Message::SummaryDataPoint,
    Message::Buckets,
    Message::ValueAtQuantile,
    Message::Exemplar,
    Message::Resource,
    Message::EntityRef,
    Message::Scope,
    Message::KeyValue,
    Message::AnyValue,
    Message::ArrayValue,
    Message::KeyValueList,
];

/// No field number of the schema is larger.
const NUMBER_MAX: usize = 16;

/// For each message and field number the position in [`Message::fields`], out of range for
/// unknown fields.
static FIELD_BY_NUMBER: [[u8; NUMBER_MAX + 1]; MESSAGES.len()] = {
    let mut table = [[u8::MAX; NUMBER_MAX + 1]; MESSAGES.len()];
    let mut message_idx = 0;
    while message_idx < MESSAGES.len() {
        let message = MESSAGES[message_idx];
        assert!(message as usize == message_idx, "the list follows the order of the enum");
        let mut idx: u8 = 0;
        while (idx as usize) < message.fields().len() {
            table[message_idx][message.fields()[idx as usize].number as usize] = idx;
            idx += 1;
        }
        message_idx += 1;
    }
    table
};

impl Message {
    /// The request of a signal.
    pub(super) const fn request(signal: Signal) -> Self {
        match signal {
            Signal::Logs => Self::LogsRequest,
            Signal::Traces => Self::TracesRequest,
            Signal::Metrics => Self::MetricsRequest,
        }
    }

    /// Whether the message is what a signal counts as its records.
    pub(super) const fn is_record(self) -> bool {
        matches!(
            self,
            Self::LogRecord
                | Self::Span
                | Self::NumberDataPoint
                | Self::HistogramDataPoint
                | Self::ExponentialHistogramDataPoint
                | Self::SummaryDataPoint
        )
    }

    /// Whether records are inside, at whatever depth.
    pub(super) const fn has_records(self) -> bool {
        matches!(
            self,
            Self::LogsRequest
                | Self::ResourceLogs
                | Self::ScopeLogs
                | Self::TracesRequest
                | Self::ResourceSpans
                | Self::ScopeSpans
                | Self::MetricsRequest
                | Self::ResourceMetrics
                | Self::ScopeMetrics
                | Self::Metric
                | Self::Gauge
                | Self::Sum
                | Self::Histogram
                | Self::ExponentialHistogram
                | Self::Summary
        )
    }

    /// The field with this number.
    #[inline]
    pub(super) fn field(self, number: u32) -> Option<(usize, &'static FieldSchema)> {
        let numbers = &FIELD_BY_NUMBER[self as usize];
        let idx = usize::from(*numbers.get(usize::try_from(number).ok()?)?);
        self.fields().get(idx).map(|field| (idx, field))
    }

    /// All fields, in the order of their JSON form.
    #[inline]
    pub(super) const fn fields(self) -> &'static [FieldSchema] {
        tables::fields(self)
    }
}
