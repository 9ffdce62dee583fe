//! Requests for the tests of whoever reads them.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// A request with a resource for each value of its only attribute, with these records.
pub fn logs_by(key: &str, resources: impl IntoIterator<Item = (String, Vec<LogRecord>)>) -> Bytes {
    let container = |(value, log_records): (String, Vec<LogRecord>)| {
        let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
        let attribute = KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
        ResourceLogs {
            resource: Some(Resource { attributes: vec![attribute], ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }
    };
    let resource_logs = resources.into_iter().map(container).collect();
    ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
}
