//! What a sender is told: one table for gRPC and HTTP.
//!
//! | situation                     | gRPC                             | HTTP                |
//! | ----------------------------- | -------------------------------- | ------------------- |
//! | accepted                      | OK, `partial_success` unset      | 200                 |
//! | some records are malformed    | OK, `partial_success` counts     | 200, the same       |
//! | nothing in it is known        | OK, `partial_success` warns      | 200, the same       |
//! | not OTLP                      | `INVALID_ARGUMENT`, `BadRequest` | 400                 |
//! | framing or compression broken | `INTERNAL`                       | 400                 |
//! | silent in the middle of it    | `ABORTED`                        | 503, `Retry-After`  |
//! | over a size limit             | `RESOURCE_EXHAUSTED`, no hint    | 413                 |
//! | unknown method, path or type  | `UNIMPLEMENTED`                  | 404, 405, 415       |
//! | not gRPC, where that is asked | 405, 415                         |                     |
//! | no valid credentials          | `UNAUTHENTICATED`                | 401, `WWW-Authenticate` |
//! | nobody has room               | `UNAVAILABLE`, `RetryInfo`       | 503, `Retry-After`  |
//! | GopherShip drains             | `UNAVAILABLE`, `RetryInfo`       | 503, `Retry-After`  |
//! | its `grpc-timeout` is over     | `DEADLINE_EXCEEDED`              |                     |
//! | a backend refused it for good | `INVALID_ARGUMENT`               | 400                 |
//!
//! Source: OTLP specification 1.11, "Failures" and "Throttling".

use gophership_units::HumanDuration;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header::ALLOW;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http::header::WWW_AUTHENTICATE;
use http_body_util::Full;
use prost::Message;
use tonic::Code;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

use super::partial_success::PartialSuccess;

/// The Python SDK looks for its hint under this key instead of the standard details.
const PYTHON_RETRY_INFO: &str = "google.rpc.retryinfo-bin";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefusedRequest {
    /// It is not OTLP.
    Invalid(String),
    /// Its framing or compression is broken.
    Broken(String),
    /// Its sender went silent in the middle of it.
    Stalled { after: Duration },
    /// It has more bytes than `message_size_max`.
    TooLarge { limit_bytes: u64 },
    /// It inflates to more than `compression_ratio_max` times its compressed size.
    TooDense { limit: u64 },
    /// It holds more of something than an option allows.
    TooMany { option: &'static str, what: &'static str, count: u64, limit: u64 },
    /// The method, path, content type or encoding is not one we know.
    Unsupported { http: StatusCode, message: String },
    /// It has no credential that the source accepts.
    Unauthenticated { challenge: HeaderValue },
    /// Its sender did not want to wait any longer.
    Late { after: Duration },
    /// Nobody has room now.
    Busy { retry_after: Duration, why: &'static str },
    /// An operator wants no new requests in.
    Draining { retry_after: Duration },
    /// A backend refused it for good.
    Rejected { reason: Option<Arc<str>> },
}

impl RefusedRequest {
    fn message(&self) -> String {
        match self {
            Self::Invalid(reason) => format!("not a valid OTLP request: {reason}"),
            Self::Broken(reason) => format!("the request cannot be read: {reason}"),
            Self::Stalled { after } => {
                format!(
                    "the sender sent too little of the request within {}",
                    HumanDuration(*after)
                )
            }
            Self::TooLarge { limit_bytes } => {
                format!("the request is larger than the limit of {limit_bytes} bytes")
            }
            Self::TooDense { limit } => {
                format!(
                    "the decompressed request is more than {limit} times its compressed size, the \
                     limit of `compression_ratio_max`"
                )
            }
            Self::TooMany { option, what, count, limit } => {
                format!("the request has {count} {what}; the limit of `{option}` is {limit}")
            }
            Self::Unsupported { message, .. } => message.clone(),
            Self::Unauthenticated { .. } => {
                "the request has no valid credentials (option `auth` of the source)".to_owned()
            }
            Self::Late { after } => {
                format!(
                    "GopherShip had no answer within the grpc-timeout of {}",
                    HumanDuration(*after)
                )
            }
            Self::Busy { why, .. } => format!("{why}; retry later"),
            Self::Draining { .. } => "GopherShip is draining; use another server".to_owned(),
            Self::Rejected { reason: None } => "a backend rejected the request".to_owned(),
            Self::Rejected { reason: Some(reason) } => {
                format!("a backend rejected the request: {reason}")
            }
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::TooMany { .. } | Self::Rejected { .. } => {
                Code::InvalidArgument
            }
            Self::Broken(_) => Code::Internal,
            // Another attempt may do better.
            Self::Stalled { .. } => Code::Aborted,
            // Without RetryInfo a sender does not send it again.
            Self::TooLarge { .. } | Self::TooDense { .. } => Code::ResourceExhausted,
            Self::Unsupported { .. } => Code::Unimplemented,
            Self::Unauthenticated { .. } => Code::Unauthenticated,
            Self::Late { .. } => Code::DeadlineExceeded,
            Self::Busy { .. } | Self::Draining { .. } => Code::Unavailable,
        }
    }

    fn http_status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Broken(_) | Self::TooMany { .. } | Self::Rejected { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge { .. } | Self::TooDense { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported { http, .. } => *http,
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            // Not 408, after which nobody sends again.
            Self::Stalled { .. }
            | Self::Late { .. }
            | Self::Busy { .. }
            | Self::Draining { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn details(&self) -> Option<ErrorDetails> {
        match self {
            Self::Invalid(reason) => {
                Some(ErrorDetails::with_bad_request_violation("request", reason.clone()))
            }
            Self::Busy { retry_after, .. } | Self::Draining { retry_after } => {
                Some(ErrorDetails::with_retry_info(Some(*retry_after)))
            }
            Self::Broken(_)
            | Self::Stalled { .. }
            | Self::Late { .. }
            | Self::TooLarge { .. }
            | Self::TooDense { .. }
            | Self::TooMany { .. }
            | Self::Unsupported { .. }
            | Self::Unauthenticated { .. }
            | Self::Rejected { .. } => None,
        }
    }

    /// The answer over gRPC.
    pub(super) fn to_grpc(&self) -> Status {
        let Some(details) = self.details() else {
            let mut status = Status::new(self.code(), self.message());
            if let Self::Unauthenticated { challenge } = self
                && let Ok(challenge) = MetadataValue::try_from(challenge.as_bytes())
            {
                status.metadata_mut().insert("www-authenticate", challenge);
            }
            return status;
        };
        let mut status = Status::with_error_details(self.code(), self.message(), details);
        if let Self::Busy { retry_after, .. } | Self::Draining { retry_after } = self {
            let hint = MetadataValue::from_bytes(&retry_info(*retry_after));
            status.metadata_mut().insert_bin(PYTHON_RETRY_INFO, hint);
        }
        status
    }

    /// The answer over HTTP, in the encoding of the request.
    pub(super) fn to_http(&self, encoding: ContentType) -> Response<Bytes> {
        let grpc = self.to_grpc();
        let body = match encoding {
            ContentType::Protobuf => self.status_proto(&grpc),
            ContentType::Json => self.status_json(),
        };
        let mut response = answer(self.http_status(), encoding, body);
        match self {
            Self::Busy { retry_after, .. } | Self::Draining { retry_after } => {
                let seconds = retry_after.as_secs_f64().ceil().max(1.0);
                // A few digits are always a valid header value.
                if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
                    response.headers_mut().insert(RETRY_AFTER, value);
                }
            }
            Self::Stalled { .. } => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Unauthenticated { challenge } => {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
            }
            Self::Unsupported { http: StatusCode::METHOD_NOT_ALLOWED, .. } => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            }
            _ => {}
        }
        response
    }

    fn status_proto(&self, grpc: &Status) -> Bytes {
        if !grpc.details().is_empty() {
            return Bytes::copy_from_slice(grpc.details());
        }
        let status = tonic_types::pb::Status {
            code: self.code() as i32,
            message: self.message(),
            details: Vec::new(),
        };
        status.encode_to_vec().into()
    }

    fn status_json(&self) -> Bytes {
        let mut details = Vec::new();
        match self {
            Self::Busy { retry_after, .. } | Self::Draining { retry_after } => {
                details.push(serde_json::json!({
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{:.3}s", retry_after.as_secs_f64()),
                }));
            }
            Self::Invalid(reason) => details.push(serde_json::json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{ "field": "request", "description": reason }],
            })),
            _ => {}
        }
        let status = serde_json::json!({
            "code": self.code() as i32,
            "message": self.message(),
            "details": details,
        });
        status.to_string().into()
    }
}

/// The encoding of an HTTP request, and so of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl ContentType {
    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Protobuf => HeaderValue::from_static("application/x-protobuf"),
            Self::Json => HeaderValue::from_static("application/json"),
        }
    }
}

/// The answer to an accepted request: an `Export*ServiceResponse`, empty as a rule.
pub(super) fn accepted(encoding: ContentType, partial: Option<&PartialSuccess>) -> Response<Bytes> {
    let body = match (encoding, partial) {
        (ContentType::Protobuf, None) => Bytes::new(),
        (ContentType::Json, None) => Bytes::from_static(b"{}"),
        (ContentType::Protobuf, Some(partial)) => partial.to_protobuf(),
        (ContentType::Json, Some(partial)) => partial.to_json(),
    };
    answer(StatusCode::OK, encoding, body)
}

/// An answer as hyper sends it.
pub(super) fn with_body(response: Response<Bytes>) -> Response<Body> {
    response.map(|bytes| Body::new(Full::new(bytes)))
}

fn answer(status: StatusCode, encoding: ContentType, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, encoding.content_type());
    response
}

fn retry_info(delay: Duration) -> Vec<u8> {
    let retry_delay = prost_duration(delay);
    tonic_types::pb::RetryInfo { retry_delay: Some(retry_delay) }.encode_to_vec()
}

fn prost_duration(delay: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(delay.subsec_nanos()).unwrap_or(0),
    }
}
