//! Requests in OTLP's JSON form, by the protocol's own library.

use gophership_otlp::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// The JSON form of a request.
pub(crate) fn json_of(signal: Signal, wire: &[u8]) -> serde_json::Value {
    let value = match signal {
        Signal::Logs => serde_json::to_value(ExportLogsServiceRequest::decode(wire).unwrap()),
        Signal::Traces => serde_json::to_value(ExportTraceServiceRequest::decode(wire).unwrap()),
        Signal::Metrics => serde_json::to_value(ExportMetricsServiceRequest::decode(wire).unwrap()),
    };
    value.unwrap()
}

/// The protobuf form of a line of JSON.
pub(crate) fn wire_of(signal: Signal, json: &str) -> Vec<u8> {
    match signal {
        Signal::Logs => {
            serde_json::from_str::<ExportLogsServiceRequest>(json).unwrap().encode_to_vec()
        }
        Signal::Traces => {
            serde_json::from_str::<ExportTraceServiceRequest>(json).unwrap().encode_to_vec()
        }
        Signal::Metrics => {
            serde_json::from_str::<ExportMetricsServiceRequest>(json).unwrap().encode_to_vec()
        }
    }
}
