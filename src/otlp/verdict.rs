//! What an answer of the backend means for the request: one table for gRPC and HTTP.
//!
//! Source: OTLP specification 1.11, "Failures", "Throttling" and "Partial Success".

use std::time::Duration;

use tonic::Code;

/// The longest pause that a backend may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The backend has it, less the records that it says it rejected.
    Delivered {
        /// Records that it says it rejected.
        rejected: u64,
        /// What it says about them.
        message: String,
    },
    /// Sending it again may help, if asked for not before this long.
    Retry {
        /// Not before this long, if it said so.
        after: Option<Duration>,
        /// Why, in words.
        reason: String,
    },
    /// Sending it again cannot help.
    Rejected {
        /// Why, in words.
        reason: String,
    },
}

impl Verdict {
    /// The request did not get an answer.
    #[must_use]
    pub fn unanswered(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, reason: reason.into() }
    }

    /// Judges a gRPC status that is not OK.
    #[must_use]
    pub fn of_grpc(code: Code, message: &str, hint: Option<Duration>) -> Self {
        let reason = format!("{code:?}: {message}");
        let after = hint.map(|hint| hint.min(RETRY_AFTER_MAX));
        match code {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Self::Retry { after, reason },
            Code::ResourceExhausted if after.is_some() => Self::Retry { after, reason },
            _ => Self::Rejected { reason },
        }
    }

    /// Judges an HTTP status that is not 2xx.
    #[must_use]
    pub fn of_http(status: http::StatusCode, hint: Option<Duration>) -> Self {
        let reason = format!("HTTP {status}");
        match status.as_u16() {
            429 | 502 | 503 | 504 => {
                Self::Retry { after: hint.map(|hint| hint.min(RETRY_AFTER_MAX)), reason }
            }
            _ => Self::Rejected { reason },
        }
    }

    /// Judges the body of a success: an `Export*ServiceResponse`, the same for all signals.
    #[must_use]
    pub fn of_response(body: &[u8]) -> Self {
        use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
        use prost::Message;

        // The three responses have the same fields under the same numbers. One that cannot be read
        // says nothing about the request, which was accepted.
        let partial = ExportLogsServiceResponse::decode(body).unwrap_or_default().partial_success;
        let partial = partial.unwrap_or_default();
        Self::Delivered {
            rejected: u64::try_from(partial.rejected_log_records).unwrap_or(0),
            message: partial.error_message,
        }
    }
}

/// The error with its causes, each said once.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_retried(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Retry { .. })
    }

    #[test]
    fn every_grpc_code_is_judged_as_otlp_says() {
        let retried = [1, 4, 10, 11, 14, 15];
        for number in 1..=16 {
            let verdict = Verdict::of_grpc(Code::from_i32(number), "", None);
            assert_eq!(is_retried(&verdict), retried.contains(&number), "code {number}");
        }
        let hint = Some(Duration::from_secs(2));
        assert!(is_retried(&Verdict::of_grpc(Code::ResourceExhausted, "", hint)));
    }

    #[test]
    fn every_http_status_is_judged_as_otlp_says() {
        for number in (300..=599).filter_map(|number| http::StatusCode::from_u16(number).ok()) {
            let expected = [429, 502, 503, 504].contains(&number.as_u16());
            assert_eq!(is_retried(&Verdict::of_http(number, None)), expected, "status {number}");
        }
    }

    #[test]
    fn a_partial_success_is_read_and_an_empty_answer_is_a_full_one() {
        let full = Verdict::Delivered { rejected: 0, message: String::new() };
        assert_eq!(Verdict::of_response(&[]), full);
        let body = [10, 6, 8, 3, 18, 2, b'n', b'o'];
        let partial = Verdict::Delivered { rejected: 3, message: "no".to_owned() };
        assert_eq!(Verdict::of_response(&body), partial);
    }

    #[test]
    fn a_hint_is_taken_but_not_for_ever() {
        let verdict = Verdict::of_http(http::StatusCode::SERVICE_UNAVAILABLE, Some(Duration::MAX));
        let Verdict::Retry { after, .. } = verdict else { unreachable!("503 is retried") };
        assert_eq!(after, Some(RETRY_AFTER_MAX));
    }
}
