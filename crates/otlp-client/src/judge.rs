//! What an answer of the backend means for the request: one table for gRPC and HTTP.
//!
//! | answer | meaning |
//! |---|---|
//! | `OK`, 2xx | delivered, less what `partial_success` says |
//! | `CANCELLED`, `DEADLINE_EXCEEDED`, `ABORTED`, `OUT_OF_RANGE`, `UNAVAILABLE`, `DATA_LOSS` | again |
//! | `RESOURCE_EXHAUSTED` with `RetryInfo` | again |
//! | 429, 502, 503, 504 | again |
//! | no answer: refused, reset, timed out, broken off, no code of gRPC | again |
//! | `INVALID_ARGUMENT`, `ALREADY_EXISTS`, 400, 413, 422 | never: they speak of the request |
//! | any other code or status | denied: not what was sent is at fault, but who sends, where, or the backend |
//!
//! OTLP tells a client to drop what is denied, for a client has no better choice.
//!
//! Source: OTLP specification 1.11, "Failures", "Throttling" and "Partial Success".

use std::time::Duration;
use std::time::SystemTime;

use prost::Message;
use tonic::Code;
use tonic::Status;
use tonic_types::StatusExt;

use gophership_http_client::Answer;
use gophership_http_client::chain;
use gophership_units::excerpt;

use crate::SAID_BYTES_MAX;

/// The longest pause that a backend may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// Of an answer that says OK.
const NO_OTLP: &str = "the answer is not OTLP";

/// Judges the status of a call that did not end with OK.
#[must_use]
pub fn of_status(status: &Status) -> Answer {
    // A status that came over the wire has no cause. One that was made here has the failure of
    // the connection, whatever code was found for it.
    if let Some(cause) = std::error::Error::source(status) {
        return Answer::unanswered(format!("no answer: {}", chain(cause)));
    }
    // `RetryInfo` says that the backend expects to recover, also where it does not say when.
    let hint = status.get_details_retry_info().map(|info| info.retry_delay.unwrap_or_default());
    of_grpc(status.code(), status.message(), hint)
}

/// Judges a gRPC code that is not OK.
#[must_use]
pub fn of_grpc(code: Code, message: &str, hint: Option<Duration>) -> Answer {
    let reason = format!("{code:?}: {}", excerpt(message, SAID_BYTES_MAX));
    let after = hint.map(|hint| hint.min(RETRY_AFTER_MAX));
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Retry { after, reason },
        Code::ResourceExhausted if after.is_some() => Answer::Retry { after, reason },
        Code::InvalidArgument | Code::AlreadyExists => Answer::Rejected { reason },
        _ => Answer::Denied { reason },
    }
}

/// Judges an HTTP status that is not 2xx.
#[must_use]
pub fn of_http(status: http::StatusCode, hint: Option<Duration>) -> Answer {
    let reason = format!("HTTP {status}");
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            Answer::Retry { after: hint.map(|hint| hint.min(RETRY_AFTER_MAX)), reason }
        }
        400 | 413 | 422 => Answer::Rejected { reason },
        _ => Answer::Denied { reason },
    }
}

/// Adds what stands in the body of an HTTP answer that is no success: a `google.rpc.Status` in the
/// form that its content type says, or else some text.
#[must_use]
pub fn because(answer: Answer, content_type: &str, body: &[u8]) -> Answer {
    let said = match media_type(content_type) {
        PROTOBUF => StatusMessage::decode(body).map(|status| status.message).ok(),
        JSON => serde_json::from_slice(body).map(|status: StatusMessage| status.message).ok(),
        _ => None,
    };
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    match said.trim() {
        "" => answer,
        said => answer.reworded(|reason| format!("{reason}: {}", excerpt(said, SAID_BYTES_MAX))),
    }
}

/// Judges the body of a success: an `Export*ServiceResponse`, the same for all signals. What is none
/// is said to be none, but OK is OK.
#[must_use]
pub fn of_response(body: &[u8]) -> Answer {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;

    // The three responses have the same fields under the same numbers.
    match ExportLogsServiceResponse::decode(body) {
        Ok(response) => {
            let partial = response.partial_success.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
            let message = excerpt(&partial.error_message, SAID_BYTES_MAX).into_owned();
            Answer::Delivered { rejected, message }
        }
        Err(_) => Answer::taken(NO_OTLP),
    }
}

/// The same of an answer over HTTP, which may be of another kind.
#[must_use]
pub fn of_http_response(content_type: &str, body: &[u8]) -> Answer {
    match media_type(content_type) {
        _ if body.is_empty() => Answer::taken(""),
        PROTOBUF => of_response(body),
        JSON if body.starts_with(b"{") => crate::json::of_response(body),
        other => {
            let other = excerpt(other, SAID_BYTES_MAX);
            Answer::taken(format!("{NO_OTLP}, but {other:?}; is the endpoint correct?"))
        }
    }
}

/// What is read of a `google.rpc.Status`. Its details, of which a few megabytes can hold millions, are
/// passed over.
#[derive(Clone, PartialEq, Message, serde::Deserialize)]
struct StatusMessage {
    #[prost(string, tag = "2")]
    message: String,
}

/// What a content type says, without its parameters.
fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Reads a `Retry-After`: seconds, or a date. One of the past is now; what is neither says nothing.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than can be counted are many.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderMap;
    use http::StatusCode;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use tonic_types::ErrorDetails;

    use super::*;

    const HINT: Duration = Duration::from_secs(7);

    #[expect(clippy::option_option, reason = "never, again, and again not before")]
    /// What is to be done: `Some` is to send it again, with what was asked for.
    fn again(answer: &Answer) -> Option<Option<Duration>> {
        match answer {
            Answer::Retry { after, .. } => Some(*after),
            Answer::Denied { .. } | Answer::Rejected { .. } => None,
            Answer::Delivered { .. } => panic!("an error delivers nothing"),
        }
    }

    /// The status as it comes over the wire.
    fn received(status: Status) -> Status {
        let headers: HeaderMap = status.into_http::<String>().headers().clone();
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn every_grpc_code_is_judged_as_otlp_says() {
        // Without RetryInfo, and with it.
        let table = [
            (Code::Cancelled, true, true),
            (Code::Unknown, false, false),
            (Code::InvalidArgument, false, false),
            (Code::DeadlineExceeded, true, true),
            (Code::NotFound, false, false),
            (Code::AlreadyExists, false, false),
            (Code::PermissionDenied, false, false),
            (Code::ResourceExhausted, false, true),
            (Code::FailedPrecondition, false, false),
            (Code::Aborted, true, true),
            (Code::OutOfRange, true, true),
            (Code::Unimplemented, false, false),
            (Code::Internal, false, false),
            (Code::Unavailable, true, true),
            (Code::DataLoss, true, true),
            (Code::Unauthenticated, false, false),
            // What a code beyond the table is read as.
            (Code::from_i32(17), false, false),
            (Code::from_bytes(b"garbage"), false, false),
        ];
        for (idx, (code, bare, hinted)) in table.into_iter().enumerate() {
            assert!(idx > 15 || code as usize == idx + 1, "the table is complete");
            let answer = of_status(&received(Status::new(code, "no")));
            assert_eq!(again(&answer), bare.then_some(None), "{code:?}");
            let is_final = matches!(answer, Answer::Rejected { .. });
            let speaks_of_it = matches!(code, Code::InvalidArgument | Code::AlreadyExists);
            assert_eq!(is_final, speaks_of_it, "{code:?}");
            for (delay, after) in [(Some(HINT), HINT), (None, Duration::ZERO)] {
                let details = ErrorDetails::with_retry_info(delay);
                let status = received(Status::with_error_details(code, "no", details));
                let answer = of_status(&status);
                assert_eq!(again(&answer), hinted.then_some(Some(after)), "{code:?} {delay:?}");
            }
        }
    }

    #[test]
    fn details_that_cannot_be_read_are_no_hint() {
        let torn = Status::with_details(Code::ResourceExhausted, "", vec![0xff; 9].into());
        assert_eq!(again(&of_status(&received(torn))), None);
        let torn = Status::with_details(Code::Unavailable, "", vec![0xff; 9].into());
        assert_eq!(again(&of_status(&received(torn))), Some(None));
    }

    #[test]
    fn a_connection_that_breaks_is_no_answer_whatever_code_is_made_of_it() {
        let calm = h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM);
        let status = Status::from_error(Box::new(calm));
        assert_eq!(status.code(), Code::ResourceExhausted, "a code that is not retried");
        assert_eq!(again(&of_status(&status)), Some(None));
    }

    #[test]
    fn every_http_status_is_judged_as_otlp_says() {
        for number in (300..=999).filter_map(|number| StatusCode::from_u16(number).ok()) {
            let is_again = [429, 502, 503, 504].contains(&number.as_u16());
            for hint in [None, Some(HINT)] {
                let answer = of_http(number, hint);
                assert_eq!(again(&answer), is_again.then_some(hint), "status {number}");
                let is_final = matches!(answer, Answer::Rejected { .. });
                let speaks_of_it = [400, 413, 422].contains(&number.as_u16());
                assert_eq!(is_final, speaks_of_it, "status {number}");
            }
        }
    }

    #[test]
    fn a_hint_is_seconds_or_a_date_and_anything_else_is_none() {
        // A day after the example of RFC 9110.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 + 86_400);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, expected) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 120 ", seconds(120)),
            ("99999999999999999999999", Some(Duration::MAX)),
            ("Mon, 07 Nov 1994 08:50:07 GMT", seconds(30)),
            ("Monday, 07-Nov-94 08:50:07 GMT", seconds(30)),
            ("Mon Nov  7 08:50:07 1994", seconds(30)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(253_402_300_799 - 784_198_177)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("5s", None),
            ("", None),
            ("soon", None),
            ("Sun, 31 Feb 1994 99:99:99 GMT", None),
        ] {
            assert_eq!(retry_after(text, now), expected, "{text:?}");
        }
    }

    #[test]
    fn a_hint_is_taken_but_not_for_ever() {
        for hint in [Duration::from_hours(24), Duration::MAX] {
            let answer = of_http(StatusCode::SERVICE_UNAVAILABLE, Some(hint));
            assert_eq!(again(&answer), Some(Some(RETRY_AFTER_MAX)));
            let answer = of_grpc(Code::Unavailable, "", Some(hint));
            assert_eq!(again(&answer), Some(Some(RETRY_AFTER_MAX)));
        }
    }

    #[test]
    fn a_partial_success_is_read_and_an_empty_answer_is_a_full_one() {
        let full = Answer::Delivered { rejected: 0, message: String::new() };
        assert_eq!(of_response(&[]), full);
        let body = [10, 6, 8, 3, 18, 2, b'n', b'o'];
        let partial = Answer::Delivered { rejected: 3, message: "no".to_owned() };
        assert_eq!(of_response(&body), partial);
    }

    #[test]
    fn what_a_backend_says_is_one_line_of_bounded_length() {
        let long = format!("no\n{}", "x".repeat(9_000));
        let left_out = format!("... {} bytes more", 9_003 - (SAID_BYTES_MAX - 1));
        let partial = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 1,
                error_message: long.clone(),
            }),
        };
        let json =
            format!(r#"{{"partialSuccess": {{"errorMessage": "no\\n{}"}}}}"#, "x".repeat(9_000));
        let denied = of_http(StatusCode::UNAUTHORIZED, None);
        for answer in [
            of_grpc(Code::Unavailable, &long, None),
            because(denied, "text/plain", long.as_bytes()),
            of_response(&partial.encode_to_vec()),
            of_http_response(JSON, json.as_bytes()),
            of_http_response(&"t".repeat(9_000), b"x"),
        ] {
            let (Answer::Retry { reason: said, .. }
            | Answer::Denied { reason: said }
            | Answer::Rejected { reason: said }
            | Answer::Delivered { message: said, .. }) = answer;
            assert!(said.len() < SAID_BYTES_MAX + 128, "{} bytes", said.len());
            assert!(said.contains(" bytes more") && !said.contains('\n'), "{said}");
            assert!(!said.starts_with("Unavailable") || said.ends_with(&left_out), "{said}");
        }
    }

    #[test]
    fn an_ok_is_an_ok_and_what_is_strange_about_it_is_said() {
        let words = |answer| match answer {
            Answer::Delivered { rejected: 0, message } => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(words(of_response(&[0xff; 9])), NO_OTLP);
        for (kind, body, said) in [
            ("application/x-protobuf", "", ""),
            ("", "", ""),
            ("application/json; charset=utf-8", "{}", ""),
            ("text/html", "<html>", "the answer is not OTLP, but \"text/html\""),
            ("", "hello", "the answer is not OTLP"),
        ] {
            let message = words(of_http_response(kind, body.as_bytes()));
            assert!(
                message.starts_with(said) && message.is_empty() == said.is_empty(),
                "{message}"
            );
        }
    }
}
