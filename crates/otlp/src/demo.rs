//! Requests as a small shop's services would send them, for demonstrations and tests.
//!
//! The same arguments always give the same bytes.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

const SERVICES: [&str; 6] = ["checkout", "cart", "payment", "catalog", "shipping", "frontend"];
const METHODS: [&str; 4] = ["GET", "GET", "POST", "DELETE"];
const ROUTES: [&str; 5] = ["/cart/{id}", "/checkout", "/products/{id}", "/orders", "/healthz"];
const NANOS_PER_RECORD: u64 = 1_000_000;

/// A logs request of one resource with this many records of about 250 bytes each, one millisecond
/// apart from `time_unix_nano` on.
#[must_use]
pub fn demo_logs(records: usize, seed: u64, time_unix_nano: u64) -> Bytes {
    let mut random = Random::new(seed);
    let resource = Some(resource(&mut random));
    let times = (0..records as u64).map(|idx| time_unix_nano + idx * NANOS_PER_RECORD);
    let log_records = times.map(|time| log_record(&mut random, time)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec().into()
}

/// A traces request of one resource with this many spans, one millisecond apart.
#[must_use]
pub fn demo_traces(spans: usize, seed: u64, time_unix_nano: u64) -> Bytes {
    let mut random = Random::new(seed);
    let resource = Some(resource(&mut random));
    let times = (0..spans as u64).map(|idx| time_unix_nano + idx * NANOS_PER_RECORD);
    let spans = times.map(|time| span(&mut random, time)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let spans = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec().into()
}

/// A metrics request of one resource with this many data points: a gauge, a sum and a histogram
/// in turn, each with one point.
#[must_use]
pub fn demo_metrics(data_points: usize, seed: u64, time_unix_nano: u64) -> Bytes {
    let mut random = Random::new(seed);
    let resource = Some(resource(&mut random));
    let metrics = (0..data_points).map(|idx| metric(&mut random, idx, time_unix_nano)).collect();
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let metrics = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec().into()
}

fn resource(random: &mut Random) -> Resource {
    let service = random.choose(&SERVICES);
    let instance = random.below(8);
    let attributes = vec![
        text("service.name", service),
        text("service.version", "2.14.0"),
        text("service.instance.id", format!("{service}-{instance}")),
        text("k8s.namespace.name", "shop"),
        text("telemetry.sdk.language", "go"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    let (name, version) = ("shop.http".to_owned(), "1.3.0".to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

fn log_record(random: &mut Random, time: u64) -> LogRecord {
    let (severity_number, severity_text, status) = match random.below(100) {
        0..70 => (9, "INFO", 200),
        70..85 => (5, "DEBUG", 200),
        85..95 => (13, "WARN", 404),
        _ => (17, "ERROR", 503),
    };
    let (method, route) = (random.choose(&METHODS), random.choose(&ROUTES));
    let (micros, order) = (200 + random.below(90_000), random.below(1_000_000));
    let body = format!("{method} {route} answered {status} for order {order} in {micros} us");
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time + random.below(50_000),
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: http_attributes(method, route, status, micros),
        flags: 1,
        trace_id: random.id(16),
        span_id: random.id(8),
        ..LogRecord::default()
    }
}

fn span(random: &mut Random, time: u64) -> Span {
    let (method, route) = (random.choose(&METHODS), random.choose(&ROUTES));
    let (micros, fails) = (200 + random.below(90_000), random.below(20) == 0);
    let status = if fails { 503 } else { 200 };
    let code = if fails { StatusCode::Error } else { StatusCode::Unset };
    let events = if fails {
        let name = "exception".to_owned();
        let attributes = vec![text("exception.type", "TimeoutError")];
        vec![Event { time_unix_nano: time, name, attributes, ..Event::default() }]
    } else {
        Vec::new()
    };
    Span {
        trace_id: random.id(16),
        span_id: random.id(8),
        parent_span_id: random.id(8),
        flags: 0x101,
        name: format!("{method} {route}"),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: time,
        end_time_unix_nano: time + micros * 1_000,
        attributes: http_attributes(method, route, status, micros),
        events,
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

fn metric(random: &mut Random, idx: usize, time: u64) -> Metric {
    let attributes = vec![text("http.route", random.choose(&ROUTES))];
    let start_time_unix_nano = time.saturating_sub(60_000_000_000);
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let mut number = |value| NumberDataPoint {
        attributes: attributes.clone(),
        start_time_unix_nano,
        time_unix_nano: time + random.below(1_000),
        value: Some(value),
        ..NumberDataPoint::default()
    };
    let (name, unit, data) = match idx % 3 {
        0 => {
            let data_points = vec![number(Number::AsDouble(0.5))];
            ("process.cpu.utilization", "1", Data::Gauge(Gauge { data_points }))
        }
        1 => {
            let data_points = vec![number(Number::AsInt(4_096))];
            let sum = Sum { data_points, aggregation_temporality, is_monotonic: true };
            ("http.server.request.size", "By", Data::Sum(sum))
        }
        _ => {
            let bucket_counts: Vec<u64> = (0..5).map(|_| random.below(100)).collect();
            let point = HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano: time,
                count: bucket_counts.iter().sum(),
                sum: Some(12.25),
                bucket_counts,
                explicit_bounds: vec![0.005, 0.05, 0.5, 5.0],
                ..HistogramDataPoint::default()
            };
            let data_points = vec![point];
            let histogram = Histogram { data_points, aggregation_temporality };
            ("http.server.request.duration", "s", Data::Histogram(histogram))
        }
    };
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Metric { name, unit, data: Some(data), ..Metric::default() }
}

fn http_attributes(method: &str, route: &str, status: i64, micros: u64) -> Vec<KeyValue> {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    vec![
        text("http.request.method", method),
        text("http.route", route),
        attribute("http.response.status_code", Value::IntValue(status)),
        attribute("duration_us", Value::IntValue(micros)),
        attribute("cache.hit", Value::BoolValue(micros < 1_000)),
    ]
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Marsaglia's xorshift generator: fast, small, and good enough for made-up data.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // The state must not be zero; mixing keeps neighbouring seeds apart.
        Self((seed.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which must not be 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    /// A position in a list of this length, which must not be 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    pub(super) fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let idx = self.index(from.len());
        from.get(idx).copied().unwrap_or_default()
    }

    fn id(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_be_bytes()).take(len).collect()
    }
}
