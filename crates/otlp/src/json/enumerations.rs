//! Enumerations by their names. OTLP has their numbers; the general mapping of protobuf has the names.

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// The number behind a name of an enumeration.
pub(super) fn enumerated(field: &str, name: &str) -> Option<i32> {
    Some(match field {
        "severityNumber" => SeverityNumber::from_str_name(name)? as i32,
        "kind" => SpanKind::from_str_name(name)? as i32,
        "code" => StatusCode::from_str_name(name)? as i32,
        "aggregationTemporality" => AggregationTemporality::from_str_name(name)? as i32,
        _ => return None,
    })
}
