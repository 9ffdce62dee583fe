//! Requests whose every record has a number of its own, and the way back from bytes to numbers.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gophership_otlp::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
use opentelemetry_proto::tonic::metrics::v1::Gauge;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// The attribute that holds a record's number.
const NUMBER: &str = "test.number";
/// 2026-01-01, in nanoseconds since 1970.
const START_UNIX_NS: u64 = 1_767_225_600_000_000_000;

/// A fingerprint of a request's bytes.
pub type Fingerprint = blake3::Hash;

/// One request.
#[derive(Clone, Debug)]
pub struct NumberedRequest {
    /// What its records are.
    pub signal: Signal,
    /// Its bytes.
    pub wire: Bytes,
    /// The numbers of its records.
    pub numbers: Vec<u64>,
    /// Of its bytes.
    pub fingerprint: Fingerprint,
}

/// Makes requests; no two records of it have the same number.
#[derive(Default)]
pub struct Traffic(AtomicU64);

impl Traffic {
    /// A request of so many records.
    #[must_use]
    pub fn request(&self, signal: Signal, records: u64) -> NumberedRequest {
        self.padded(signal, records, 0)
    }

    /// A request whose records each carry so many bytes that do not compress.
    #[must_use]
    pub fn padded(&self, signal: Signal, records: u64, padding: usize) -> NumberedRequest {
        let first = self.0.fetch_add(records, Ordering::Relaxed);
        let numbers: Vec<u64> = (first..first + records).collect();
        let padding = noise(first, padding);
        let wire = match signal {
            Signal::Logs => logs(&numbers, &padding).encode_to_vec(),
            Signal::Traces => spans(&numbers, &padding).encode_to_vec(),
            Signal::Metrics => points(&numbers, &padding).encode_to_vec(),
        };
        let wire = Bytes::from(wire);
        NumberedRequest { signal, fingerprint: blake3::hash(&wire), wire, numbers }
    }
}

/// The numbers of the records in a request, in their order; `None` if one has none, or it is not readable.
#[must_use]
pub fn numbers(signal: Signal, wire: &[u8]) -> Option<Vec<u64>> {
    match signal {
        Signal::Logs => {
            let request = ExportLogsServiceRequest::decode(wire).ok()?;
            let scopes = request.resource_logs.into_iter().flat_map(|part| part.scope_logs);
            let records = scopes.flat_map(|scope| scope.log_records);
            records.map(|record| number(&record.attributes)).collect()
        }
        Signal::Traces => {
            let request = ExportTraceServiceRequest::decode(wire).ok()?;
            let scopes = request.resource_spans.into_iter().flat_map(|part| part.scope_spans);
            scopes.flat_map(|scope| scope.spans).map(|span| number(&span.attributes)).collect()
        }
        Signal::Metrics => {
            let request = ExportMetricsServiceRequest::decode(wire).ok()?;
            let scopes = request.resource_metrics.into_iter().flat_map(|part| part.scope_metrics);
            let mut all = Vec::new();
            for metric in scopes.flat_map(|scope| scope.metrics) {
                // No others are sent.
                let Some(Data::Gauge(gauge)) = metric.data else { return None };
                all.extend(gauge.data_points.iter().map(|point| number(&point.attributes)));
            }
            all.into_iter().collect()
        }
    }
}

fn number(attributes: &[KeyValue]) -> Option<u64> {
    let found = attributes.iter().find(|attribute| attribute.key == NUMBER)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn attributes(number: u64, padding: &str) -> Vec<KeyValue> {
    let mut attributes = vec![
        attribute(NUMBER, Value::IntValue(number.cast_signed())),
        attribute("test.parity", text(if number.is_multiple_of(2) { "even" } else { "odd" })),
    ];
    if !padding.is_empty() {
        attributes.push(attribute("test.padding", text(padding)));
    }
    attributes
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn resource() -> Resource {
    let attributes = vec![attribute("service.name", text("behaviour-tests"))];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    let version = "1.2.3".to_owned();
    InstrumentationScope { name: "it".to_owned(), version, ..InstrumentationScope::default() }
}

fn logs(numbers: &[u64], padding: &str) -> ExportLogsServiceRequest {
    let record = |number: &u64| LogRecord {
        time_unix_nano: START_UNIX_NS + number,
        observed_time_unix_nano: START_UNIX_NS + number + 1,
        severity_number: if number.is_multiple_of(4) { 17 } else { 9 },
        severity_text: if number.is_multiple_of(4) { "ERROR" } else { "INFO" }.to_owned(),
        body: Some(AnyValue { value: Some(text(&format!("log record number {number}"))) }),
        attributes: attributes(*number, padding),
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        ..LogRecord::default()
    };
    let log_records = numbers.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let part = ResourceLogs { resource: Some(resource()), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![part] }
}

fn spans(numbers: &[u64], padding: &str) -> ExportTraceServiceRequest {
    let span = |number: &u64| Span {
        trace_id: vec![9; 16],
        span_id: number.to_be_bytes().map(|byte| byte | 1).to_vec(),
        name: format!("span number {number}"),
        kind: 2,
        start_time_unix_nano: START_UNIX_NS + number,
        end_time_unix_nano: START_UNIX_NS + number + 1_000,
        attributes: attributes(*number, padding),
        ..Span::default()
    };
    let spans = numbers.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let part =
        ResourceSpans { resource: Some(resource()), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![part] }
}

fn points(numbers: &[u64], padding: &str) -> ExportMetricsServiceRequest {
    let point = |number: &u64| NumberDataPoint {
        attributes: attributes(*number, padding),
        time_unix_nano: START_UNIX_NS + number,
        value: Some(number_data_point::Value::AsInt(number.cast_signed())),
        ..NumberDataPoint::default()
    };
    // Two metrics, so that data points and metrics are not the same number.
    let metric = |(idx, numbers): (usize, &[u64])| Metric {
        name: format!("test.gauge.{idx}"),
        unit: "1".to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: numbers.iter().map(point).collect() })),
        ..Metric::default()
    };
    let half = numbers.len().div_ceil(2).max(1);
    let metrics = numbers.chunks(half).enumerate().map(metric).collect();
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let part =
        ResourceMetrics { resource: Some(resource()), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![part] }
}

/// Text that does not compress well.
fn noise(seed: u64, len: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric()).take(len).collect()
}
