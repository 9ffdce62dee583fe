//! The fields of each message, in the order of their JSON form.

use super::Kind::{
    Bool, Bytes, Double, Fixed32, Fixed64, Id, Int32, Int64, Sfixed64, Sint32, Text, Uint32, Uint64,
};
use super::Presence::{Alternative, Optional, Plain, Repeated};
use super::{FieldSchema, Kind, Message};

/// All fields of a message.
#[inline]
pub(super) const fn fields(message: Message) -> &'static [FieldSchema] {
    match message {
        Message::LogsRequest => LOGS_REQUEST,
        Message::ResourceLogs => RESOURCE_LOGS,
        Message::ScopeLogs => SCOPE_LOGS,
        Message::LogRecord => LOG_RECORD,
        Message::TracesRequest => TRACES_REQUEST,
        Message::ResourceSpans => RESOURCE_SPANS,
        Message::ScopeSpans => SCOPE_SPANS,
        Message::Span => SPAN,
        Message::Event => EVENT,
        Message::Link => LINK,
        Message::Status => STATUS,
        Message::MetricsRequest => METRICS_REQUEST,
        Message::ResourceMetrics => RESOURCE_METRICS,
        Message::ScopeMetrics => SCOPE_METRICS,
        Message::Metric => METRIC,
        Message::Gauge => GAUGE,
        Message::Sum => SUM,
        Message::Histogram => HISTOGRAM,
        Message::ExponentialHistogram => EXPONENTIAL_HISTOGRAM,
        Message::Summary => SUMMARY,
        Message::NumberDataPoint => NUMBER_DATA_POINT,
        Message::HistogramDataPoint => HISTOGRAM_DATA_POINT,
        Message::ExponentialHistogramDataPoint => EXPONENTIAL_HISTOGRAM_DATA_POINT,
        Message::SummaryDataPoint => SUMMARY_DATA_POINT,
        Message::Buckets => BUCKETS,
        Message::ValueAtQuantile => VALUE_AT_QUANTILE,
        Message::Exemplar => EXEMPLAR,
        Message::Resource => RESOURCE,
        Message::EntityRef => ENTITY_REF,
        Message::Scope => SCOPE,
        Message::KeyValue => KEY_VALUE,
        Message::AnyValue => ANY_VALUE,
        Message::ArrayValue => ARRAY_VALUE,
        Message::KeyValueList => KEY_VALUE_LIST,
    }
}

/// Shorthands for the table below: number, protobuf name, JSON name, kind.
const fn plain(number: u32, name: &'static str, json: &'static str, kind: Kind) -> FieldSchema {
    FieldSchema { number, name, json, kind, presence: Plain }
}

const fn optional(number: u32, name: &'static str, json: &'static str, kind: Kind) -> FieldSchema {
    FieldSchema { number, name, json, kind, presence: Optional }
}

const fn repeated(number: u32, name: &'static str, json: &'static str, kind: Kind) -> FieldSchema {
    FieldSchema { number, name, json, kind, presence: Repeated }
}

const fn one_of(number: u32, name: &'static str, json: &'static str, kind: Kind) -> FieldSchema {
    FieldSchema { number, name, json, kind, presence: Alternative }
}

/// The attributes field; each message has its own number for it.
const fn attributes(number: u32) -> FieldSchema {
    repeated(number, "attributes", "attributes", Kind::Message(Message::KeyValue))
}

const LOGS_REQUEST: &[FieldSchema] =
    &[repeated(1, "resource_logs", "resourceLogs", Kind::Message(Message::ResourceLogs))];
const RESOURCE_LOGS: &[FieldSchema] = &[
    optional(1, "resource", "resource", Kind::Message(Message::Resource)),
    repeated(2, "scope_logs", "scopeLogs", Kind::Message(Message::ScopeLogs)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const SCOPE_LOGS: &[FieldSchema] = &[
    optional(1, "scope", "scope", Kind::Message(Message::Scope)),
    repeated(2, "log_records", "logRecords", Kind::Message(Message::LogRecord)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const LOG_RECORD: &[FieldSchema] = &[
    plain(1, "time_unix_nano", "timeUnixNano", Fixed64),
    plain(11, "observed_time_unix_nano", "observedTimeUnixNano", Fixed64),
    plain(2, "severity_number", "severityNumber", Int32),
    plain(3, "severity_text", "severityText", Text),
    optional(5, "body", "body", Kind::Message(Message::AnyValue)),
    attributes(6),
    plain(7, "dropped_attributes_count", "droppedAttributesCount", Uint32),
    plain(8, "flags", "flags", Fixed32),
    plain(9, "trace_id", "traceId", Id),
    plain(10, "span_id", "spanId", Id),
    plain(12, "event_name", "eventName", Text),
];

const TRACES_REQUEST: &[FieldSchema] =
    &[repeated(1, "resource_spans", "resourceSpans", Kind::Message(Message::ResourceSpans))];
const RESOURCE_SPANS: &[FieldSchema] = &[
    optional(1, "resource", "resource", Kind::Message(Message::Resource)),
    repeated(2, "scope_spans", "scopeSpans", Kind::Message(Message::ScopeSpans)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const SCOPE_SPANS: &[FieldSchema] = &[
    optional(1, "scope", "scope", Kind::Message(Message::Scope)),
    repeated(2, "spans", "spans", Kind::Message(Message::Span)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const SPAN: &[FieldSchema] = &[
    plain(1, "trace_id", "traceId", Id),
    plain(2, "span_id", "spanId", Id),
    plain(3, "trace_state", "traceState", Text),
    plain(4, "parent_span_id", "parentSpanId", Id),
    plain(16, "flags", "flags", Fixed32),
    plain(5, "name", "name", Text),
    plain(6, "kind", "kind", Int32),
    plain(7, "start_time_unix_nano", "startTimeUnixNano", Fixed64),
    plain(8, "end_time_unix_nano", "endTimeUnixNano", Fixed64),
    attributes(9),
    plain(10, "dropped_attributes_count", "droppedAttributesCount", Uint32),
    repeated(11, "events", "events", Kind::Message(Message::Event)),
    plain(12, "dropped_events_count", "droppedEventsCount", Uint32),
    repeated(13, "links", "links", Kind::Message(Message::Link)),
    plain(14, "dropped_links_count", "droppedLinksCount", Uint32),
    optional(15, "status", "status", Kind::Message(Message::Status)),
];
const EVENT: &[FieldSchema] = &[
    plain(1, "time_unix_nano", "timeUnixNano", Fixed64),
    plain(2, "name", "name", Text),
    attributes(3),
    plain(4, "dropped_attributes_count", "droppedAttributesCount", Uint32),
];
const LINK: &[FieldSchema] = &[
    plain(1, "trace_id", "traceId", Id),
    plain(2, "span_id", "spanId", Id),
    plain(3, "trace_state", "traceState", Text),
    attributes(4),
    plain(5, "dropped_attributes_count", "droppedAttributesCount", Uint32),
    plain(6, "flags", "flags", Fixed32),
];
const STATUS: &[FieldSchema] =
    &[plain(2, "message", "message", Text), plain(3, "code", "code", Int32)];

const METRICS_REQUEST: &[FieldSchema] =
    &[repeated(1, "resource_metrics", "resourceMetrics", Kind::Message(Message::ResourceMetrics))];
const RESOURCE_METRICS: &[FieldSchema] = &[
    optional(1, "resource", "resource", Kind::Message(Message::Resource)),
    repeated(2, "scope_metrics", "scopeMetrics", Kind::Message(Message::ScopeMetrics)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const SCOPE_METRICS: &[FieldSchema] = &[
    optional(1, "scope", "scope", Kind::Message(Message::Scope)),
    repeated(2, "metrics", "metrics", Kind::Message(Message::Metric)),
    plain(3, "schema_url", "schemaUrl", Text),
];
const METRIC: &[FieldSchema] = &[
    plain(1, "name", "name", Text),
    plain(2, "description", "description", Text),
    plain(3, "unit", "unit", Text),
    one_of(5, "gauge", "gauge", Kind::Message(Message::Gauge)),
    one_of(7, "sum", "sum", Kind::Message(Message::Sum)),
    one_of(9, "histogram", "histogram", Kind::Message(Message::Histogram)),
    one_of(
        10,
        "exponential_histogram",
        "exponentialHistogram",
        Kind::Message(Message::ExponentialHistogram),
    ),
    one_of(11, "summary", "summary", Kind::Message(Message::Summary)),
    repeated(12, "metadata", "metadata", Kind::Message(Message::KeyValue)),
];
const GAUGE: &[FieldSchema] =
    &[repeated(1, "data_points", "dataPoints", Kind::Message(Message::NumberDataPoint))];
const TEMPORALITY: FieldSchema =
    plain(2, "aggregation_temporality", "aggregationTemporality", Int32);
const SUM: &[FieldSchema] = &[
    repeated(1, "data_points", "dataPoints", Kind::Message(Message::NumberDataPoint)),
    TEMPORALITY,
    plain(3, "is_monotonic", "isMonotonic", Bool),
];
const HISTOGRAM: &[FieldSchema] = &[
    repeated(1, "data_points", "dataPoints", Kind::Message(Message::HistogramDataPoint)),
    TEMPORALITY,
];
const EXPONENTIAL_HISTOGRAM: &[FieldSchema] = &[
    repeated(1, "data_points", "dataPoints", Kind::Message(Message::ExponentialHistogramDataPoint)),
    TEMPORALITY,
];
const SUMMARY: &[FieldSchema] =
    &[repeated(1, "data_points", "dataPoints", Kind::Message(Message::SummaryDataPoint))];
const START_TIME: FieldSchema = plain(2, "start_time_unix_nano", "startTimeUnixNano", Fixed64);
const POINT_TIME: FieldSchema = plain(3, "time_unix_nano", "timeUnixNano", Fixed64);
const NUMBER_DATA_POINT: &[FieldSchema] = &[
    attributes(7),
    START_TIME,
    POINT_TIME,
    one_of(4, "as_double", "asDouble", Double),
    one_of(6, "as_int", "asInt", Sfixed64),
    repeated(5, "exemplars", "exemplars", Kind::Message(Message::Exemplar)),
    plain(8, "flags", "flags", Uint32),
];
const HISTOGRAM_DATA_POINT: &[FieldSchema] = &[
    attributes(9),
    START_TIME,
    POINT_TIME,
    plain(4, "count", "count", Fixed64),
    optional(5, "sum", "sum", Double),
    repeated(6, "bucket_counts", "bucketCounts", Fixed64),
    repeated(7, "explicit_bounds", "explicitBounds", Double),
    repeated(8, "exemplars", "exemplars", Kind::Message(Message::Exemplar)),
    plain(10, "flags", "flags", Uint32),
    optional(11, "min", "min", Double),
    optional(12, "max", "max", Double),
];
const EXPONENTIAL_HISTOGRAM_DATA_POINT: &[FieldSchema] = &[
    attributes(1),
    START_TIME,
    POINT_TIME,
    plain(4, "count", "count", Fixed64),
    optional(5, "sum", "sum", Double),
    plain(6, "scale", "scale", Sint32),
    plain(7, "zero_count", "zeroCount", Fixed64),
    optional(8, "positive", "positive", Kind::Message(Message::Buckets)),
    optional(9, "negative", "negative", Kind::Message(Message::Buckets)),
    plain(10, "flags", "flags", Uint32),
    repeated(11, "exemplars", "exemplars", Kind::Message(Message::Exemplar)),
    optional(12, "min", "min", Double),
    optional(13, "max", "max", Double),
    plain(14, "zero_threshold", "zeroThreshold", Double),
];
const SUMMARY_DATA_POINT: &[FieldSchema] = &[
    attributes(7),
    START_TIME,
    POINT_TIME,
    plain(4, "count", "count", Fixed64),
    plain(5, "sum", "sum", Double),
    repeated(6, "quantile_values", "quantileValues", Kind::Message(Message::ValueAtQuantile)),
    plain(8, "flags", "flags", Uint32),
];
const BUCKETS: &[FieldSchema] =
    &[plain(1, "offset", "offset", Sint32), repeated(2, "bucket_counts", "bucketCounts", Uint64)];
const VALUE_AT_QUANTILE: &[FieldSchema] =
    &[plain(1, "quantile", "quantile", Double), plain(2, "value", "value", Double)];
const EXEMPLAR: &[FieldSchema] = &[
    repeated(7, "filtered_attributes", "filteredAttributes", Kind::Message(Message::KeyValue)),
    POINT_TIME_OF_EXEMPLAR,
    one_of(3, "as_double", "asDouble", Double),
    one_of(6, "as_int", "asInt", Sfixed64),
    plain(4, "span_id", "spanId", Id),
    plain(5, "trace_id", "traceId", Id),
];
const POINT_TIME_OF_EXEMPLAR: FieldSchema = plain(2, "time_unix_nano", "timeUnixNano", Fixed64);

const RESOURCE: &[FieldSchema] = &[
    attributes(1),
    plain(2, "dropped_attributes_count", "droppedAttributesCount", Uint32),
    repeated(3, "entity_refs", "entityRefs", Kind::Message(Message::EntityRef)),
];
const ENTITY_REF: &[FieldSchema] = &[
    plain(1, "schema_url", "schemaUrl", Text),
    plain(2, "type", "type", Text),
    repeated(3, "id_keys", "idKeys", Text),
    repeated(4, "description_keys", "descriptionKeys", Text),
];
const SCOPE: &[FieldSchema] = &[
    plain(1, "name", "name", Text),
    plain(2, "version", "version", Text),
    attributes(3),
    plain(4, "dropped_attributes_count", "droppedAttributesCount", Uint32),
];
const KEY_VALUE: &[FieldSchema] = &[
    plain(1, "key", "key", Text),
    optional(2, "value", "value", Kind::Message(Message::AnyValue)),
    plain(3, "key_strindex", "keyStrindex", Int32),
];
const ANY_VALUE: &[FieldSchema] = &[
    one_of(1, "string_value", "stringValue", Text),
    one_of(2, "bool_value", "boolValue", Bool),
    one_of(3, "int_value", "intValue", Int64),
    one_of(4, "double_value", "doubleValue", Double),
    one_of(5, "array_value", "arrayValue", Kind::Message(Message::ArrayValue)),
    one_of(6, "kvlist_value", "kvlistValue", Kind::Message(Message::KeyValueList)),
    one_of(7, "bytes_value", "bytesValue", Bytes),
    one_of(8, "string_value_strindex", "stringValueStrindex", Int32),
];
const ARRAY_VALUE: &[FieldSchema] =
    &[repeated(1, "values", "values", Kind::Message(Message::AnyValue))];
const KEY_VALUE_LIST: &[FieldSchema] =
    &[repeated(1, "values", "values", Kind::Message(Message::KeyValue))];
