//! What a sender is told beside its OK: which records were rejected, or what is odd about its request.
//!
//! Source: OTLP specification 1.11, "Partial Success". The messages of the three signals have the same
//! field numbers; in JSON the count has a name of its own.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use crate::event::Signal;

/// The `partial_success` of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartialSuccess {
    signal: Signal,
    /// Records that were rejected; with 0 the message is a warning.
    rejected: u64,
    /// How many of them are malformed.
    malformed: u64,
    message: String,
}

impl PartialSuccess {
    /// Says that the records of a request that can be read were accepted, and these were not. `fault` is
    /// what is wrong with the first of them.
    pub(super) fn rejected(signal: Signal, rejected: u64, fault: &str) -> Self {
        let records = if rejected == 1 { "record" } else { "records" };
        let message = format!("rejected {rejected} malformed {records}; the first: {fault}");
        Self { signal, rejected, malformed: rejected, message }
    }

    /// Says that a part of a request that was accepted was refused for good behind the source, beside what
    /// is to be told already.
    pub(super) fn refused(
        signal: Signal,
        rejected: u64,
        reason: Option<&str>,
        before: Option<Self>,
    ) -> Self {
        let records = if rejected == 1 { "record" } else { "records" };
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let mut message = format!("a backend rejected {rejected} {records}{reason}");
        let (mut all, mut malformed) = (rejected, 0);
        if let Some(before) = before {
            message = format!("{}; {message}", before.message);
            all += before.rejected;
            malformed = before.malformed;
        }
        Self { signal, rejected: all, malformed, message }
    }

    /// Says that a request has no records, and what in it was ignored.
    pub(super) fn nothing_known(signal: Signal, ignored: &str) -> Self {
        Self {
            signal,
            rejected: 0,
            malformed: 0,
            message: format!("the request has no {signal}: {ignored}"),
        }
    }

    /// How many records were rejected because they are malformed.
    pub(super) const fn malformed_records(&self) -> u64 {
        self.malformed
    }

    /// The response message of the signal.
    pub(super) fn to_protobuf(&self) -> Bytes {
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: i64::try_from(self.rejected).unwrap_or(i64::MAX),
            error_message: self.message.clone(),
        };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec().into()
    }

    /// The same in JSON.
    pub(super) fn to_json(&self) -> Bytes {
        let name = match self.signal {
            Signal::Logs => "rejectedLogRecords",
            Signal::Traces => "rejectedSpans",
            Signal::Metrics => "rejectedDataPoints",
        };
        let mut partial = serde_json::json!({ "errorMessage": self.message });
        if self.rejected > 0 {
            partial[name] = self.rejected.to_string().into();
        }
        serde_json::json!({ "partialSuccess": partial }).to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;

    use super::*;

    #[test]
    fn each_signal_has_its_own_response() {
        let of = |signal| PartialSuccess::rejected(signal, 3, "a fault");
        let traces = ExportTraceServiceResponse::decode(of(Signal::Traces).to_protobuf()).unwrap();
        assert_eq!(traces.partial_success.map(|partial| partial.rejected_spans), Some(3));
        let metrics =
            ExportMetricsServiceResponse::decode(of(Signal::Metrics).to_protobuf()).unwrap();
        let metrics = metrics.partial_success.unwrap();
        assert_eq!(metrics.rejected_data_points, 3);
        assert_eq!(metrics.error_message, "rejected 3 malformed records; the first: a fault");
        for (signal, name) in [
            (Signal::Logs, "rejectedLogRecords"),
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
        ] {
            let json: serde_json::Value = serde_json::from_slice(&of(signal).to_json()).unwrap();
            assert_eq!(json["partialSuccess"][name], "3", "{json}");
        }
        let both = PartialSuccess::refused(Signal::Logs, 1, Some("no"), Some(of(Signal::Logs)));
        assert_eq!((both.rejected, both.malformed), (4, 3));
        assert!(both.message.ends_with("a fault; a backend rejected 1 record: no"), "{both:?}");
        let warning = PartialSuccess::nothing_known(Signal::Logs, "field 7 is unknown");
        assert_eq!(
            warning.to_json(),
            r#"{"partialSuccess":{"errorMessage":"the request has no logs: field 7 is unknown"}}"#
        );
    }
}
