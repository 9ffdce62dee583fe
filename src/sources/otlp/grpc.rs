//! OTLP over gRPC: three unary methods whose messages stay bytes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;

use super::admission::ConnectionShare;
use super::answer::ContentType;
use super::answer::RefusedRequest;
use super::answer::with_body;
use super::deadline::Deadline;
use super::frame;
use super::health;
use super::inflate::RequestEncoding;
use super::ingest_handler::IngestHandler;
use super::partial_success::PartialSuccess;
use crate::event::Signal;
use crate::net;

pub(super) const GRPC_STATUS: &str = "grpc-status";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const CONTENT_TYPE_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// What a sender may choose from.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip,zstd,identity");
/// A message of no bytes, not compressed: a response with every field unset.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

/// Whether a content type is that of gRPC, and not that of gRPC-Web or of something else.
fn is_grpc_type(value: &HeaderValue) -> bool {
    let rest = value.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// Whether a request with these headers is gRPC: by its content type, and it needs the trailers of HTTP/2.
pub(super) fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_2 && headers.get(CONTENT_TYPE).is_some_and(is_grpc_type)
}

/// Answers one gRPC request.
pub(super) async fn answer(
    handler: Arc<IngestHandler>,
    request: Request<Incoming>,
    during: net::ActiveRequest,
    share: Arc<ConnectionShare>,
) -> Result<Response<Body>, Infallible> {
    if let Some(refused) = not_grpc(request.method(), request.headers()) {
        handler.count(&refused);
        return Ok(with_body(refused.to_http(ContentType::Json)));
    }
    if request.uri().path().starts_with(health::PREFIX) {
        let (head, body) = request.into_parts();
        let answered = health::answer(head.uri.path(), body, handler.serves()).await;
        return Ok(answered.map_or_else(Status::into_http, message));
    }
    Ok(match take(&handler, request, &during, &share).await {
        Ok(partial) => accepted(partial.as_ref()),
        Err(refused) => refused_response(&refused),
    })
}

/// The answer to a request that was refused: headers only.
pub(super) fn refused_response(refused: &RefusedRequest) -> Response<Body> {
    let mut response = refused.to_grpc().into_http();
    if matches!(refused, RefusedRequest::Unsupported { .. }) {
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ENCODINGS);
    }
    response
}

/// What a request is told that is no gRPC at all, with a status of HTTP.
///
/// Source: gRPC over HTTP2, "Requests".
pub(super) fn not_grpc(method: &Method, headers: &HeaderMap) -> Option<RefusedRequest> {
    let refused = |http, message: &str| {
        Some(RefusedRequest::Unsupported { http, message: message.to_owned() })
    };
    if *method != Method::POST {
        let message = "this port is for OTLP/gRPC, which uses POST only";
        return refused(StatusCode::METHOD_NOT_ALLOWED, message);
    }
    if !headers.get(CONTENT_TYPE).is_some_and(is_grpc_type) {
        let message = "this port is for OTLP/gRPC: use content type application/grpc";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    None
}

async fn take(
    handler: &IngestHandler,
    request: Request<Incoming>,
    during: &net::ActiveRequest,
    share: &ConnectionShare,
) -> Result<Option<PartialSuccess>, RefusedRequest> {
    handler.authenticate(request.headers())?;
    let checked = check(request.uri().path(), request.headers());
    let (signal, compression) = checked.inspect_err(|refused| handler.count(refused))?;
    let deadline = Deadline::of(request.headers());
    let provenance = handler.provenance(request.headers());
    let mut body = handler.body(request.into_body(), during);
    let reading = async {
        handler.before_reading().await;
        frame::read(&mut body, compression, handler.room(share), handler.limits()).await
    };
    // Most wait for longer than any answer takes, and need no timer here.
    let received = match deadline.filter(|deadline| !handler.answers_within(deadline.after())) {
        Some(deadline) => deadline.bound(reading).await,
        None => reading.await,
    };
    let received = received.inspect_err(|refused| handler.count(refused))?;
    let room = handler.room(share);
    handler.take(signal, received, body.arrived(), provenance, deadline, room).await
}

/// What a request has, by its path and headers.
pub(super) fn check(
    path: &str,
    headers: &HeaderMap,
) -> Result<(Signal, RequestEncoding), RefusedRequest> {
    let signal = Signal::ALL.iter().copied().find(|signal| signal.grpc_path() == path);
    let signal = signal.ok_or_else(|| {
        let message = format!("{path} is not an OTLP method");
        RefusedRequest::Unsupported { http: StatusCode::NOT_FOUND, message }
    })?;
    let compression = RequestEncoding::named(headers.get(GRPC_ENCODING)).ok_or_else(|| {
        let message = "use gzip, zstd or no compression".to_owned();
        RefusedRequest::Unsupported { http: StatusCode::UNSUPPORTED_MEDIA_TYPE, message }
    })?;
    Ok((signal, compression))
}

/// The answer to an accepted request.
fn accepted(partial: Option<&PartialSuccess>) -> Response<Body> {
    message(frame_of(partial))
}

/// An answer of one framed message, and OK behind it.
fn message(frame: Bytes) -> Response<Body> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let message = Full::new(frame).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(message));
    response.headers_mut().insert(CONTENT_TYPE, CONTENT_TYPE_GRPC);
    response
}

/// The one message of the answer to an accepted request, framed.
pub(super) fn frame_of(partial: Option<&PartialSuccess>) -> Bytes {
    partial.map_or(EMPTY_MESSAGE, |partial| framed(&partial.to_protobuf()))
}

/// A message with what gRPC puts in front of it; no answer is so large that its length needs more.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &len.to_be_bytes()[..], message].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_grpc_web_and_everything_else() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc_type(&HeaderValue::from_static(value)), expected, "{value}");
        }
    }
}
