//! What a backend says, in both protocols.

use std::convert::Infallible;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::LOCATION;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::Code;
use tonic::Status;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

use super::mode::BackendRefusal;
use super::mode::Broken;

pub(super) type HttpResponse = http::Response<UnsyncBoxBody<Bytes, Infallible>>;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: &str = "application/grpc";
const PROTOBUF: &str = "application/x-protobuf";
/// What stands before a message of gRPC, if it is empty.
const EMPTY_FRAME: &[u8] = &[0; 5];
/// A longer answer than anybody reads.
const LONG_BYTES: usize = 6 << 20;

/// It has all of it, less so many records.
pub(super) fn taken(rejected_log_records: i64, is_grpc: bool) -> HttpResponse {
    // The three signals have the same response, field by field.
    let error_message = "some are not to our taste".to_owned();
    let partial = ExportLogsPartialSuccess { rejected_log_records, error_message };
    let partial_success = (rejected_log_records != 0).then_some(partial);
    success(ExportLogsServiceResponse { partial_success }.encode_to_vec(), is_grpc)
}

fn success(message: Vec<u8>, is_grpc: bool) -> HttpResponse {
    if !is_grpc {
        return with_body(PROTOBUF, message);
    }
    // The message in its frame, and the status behind it.
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    with_body(GRPC, Bytes::new()).map(|_| body.boxed_unsync())
}

fn with_body(content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = HttpResponse::new(Full::new(body.into()).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn refusal(refusal: BackendRefusal, is_grpc: bool) -> HttpResponse {
    if is_grpc {
        return grpc_refusal(refusal);
    }
    // The body that OTLP wants: a status, here without its number.
    let status = tonic_types::pb::Status { message: "no".to_owned(), ..Default::default() };
    let mut response = with_body(PROTOBUF, status.encode_to_vec());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if refusal.status == 308 {
        let to = HeaderValue::from_static("/moved/v1/logs");
        response.headers_mut().insert(LOCATION, to);
    }
    if let Some(hint) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(hint));
    }
    response
}

/// The status alone.
fn grpc_refusal(refusal: BackendRefusal) -> HttpResponse {
    let code = Code::from_i32(refusal.code);
    let status = match refusal.retry_info {
        None => Status::new(code, "no"),
        Some(delay) => Status::with_error_details(code, "no", ErrorDetails::with_retry_info(delay)),
    };
    let mut response = status.into_http::<()>().map(|()| Full::default().boxed_unsync());
    // A number that is no code would be sent as another one.
    response.headers_mut().insert(STATUS, refusal.code.into());
    response
}

/// What [`Broken`] says.
pub(super) fn broken(broken: Broken, is_grpc: bool) -> HttpResponse {
    let status = |text: &'static str| {
        let mut response = with_body(GRPC, Bytes::new());
        response.headers_mut().insert(STATUS, HeaderValue::from_static(text));
        response
    };
    match broken {
        Broken::Page => with_body("text/html", &b"<html>Welcome</html>"[..]),
        Broken::Junk => status("junk"),
        Broken::NoMessage => status("0"),
        Broken::Details => {
            let mut response = status("14");
            let details = HeaderValue::from_static("no base 64!");
            response.headers_mut().insert("grpc-status-details-bin", details);
            response
        }
        Broken::NoStatus => with_body(GRPC, EMPTY_FRAME),
        Broken::Long => success(vec![0; LONG_BYTES], is_grpc),
    }
}
