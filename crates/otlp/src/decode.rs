//! The typed form of a request.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;

use super::error::WireError;
use super::inspect::{DecodeLimits, inspect};
use super::signal::Signal;

/// A decoded request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decoded {
    /// Log records.
    Logs(ExportLogsServiceRequest),
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
}

/// Decodes a request after having inspected it.
///
/// # Errors
///
/// Those of [`inspect`], and [`WireError::Decode`] when a text field is not UTF-8.
pub fn decode(signal: Signal, bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, WireError> {
    inspect(signal, bytes, limits)?;
    let decoded = match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).map(Decoded::Logs),
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).map(Decoded::Traces),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).map(Decoded::Metrics),
    };
    decoded.map_err(|source| WireError::Decode { source })
}

impl Decoded {
    /// The signal the request belongs to.
    #[must_use]
    pub fn signal(&self) -> Signal {
        match self {
            Self::Logs(_) => Signal::Logs,
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
        }
    }

    /// The wire form; unknown fields of the bytes it was decoded from are not in it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Logs(request) => request.encode_to_vec().into(),
            Self::Traces(request) => request.encode_to_vec().into(),
            Self::Metrics(request) => request.encode_to_vec().into(),
        }
    }

    /// The number of log records, spans or metric data points.
    #[must_use]
    pub fn records(&self) -> u64 {
        let records: usize = match self {
            Self::Logs(request) => {
                let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Self::Traces(request) => {
                let scopes = request.resource_spans.iter().flat_map(|spans| &spans.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
            Self::Metrics(request) => {
                let resources = request.resource_metrics.iter();
                let scopes = resources.flat_map(|metrics| &metrics.scope_metrics);
                let metrics = scopes.flat_map(|scope| &scope.metrics);
                metrics.filter_map(|metric| metric.data.as_ref()).map(data_points).sum()
            }
        };
        records as u64
    }
}

fn data_points(data: &Data) -> usize {
    match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    }
}
