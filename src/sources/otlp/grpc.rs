//! OTLP over gRPC: three unary methods whose messages stay bytes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::body::Body;

use super::answer::Refused;
use super::arrival::Arrivals;
use super::desk::Desk;
use super::frame;
use super::inflate::Compression;
use crate::event::Signal;

const GRPC_STATUS: &str = "grpc-status";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const CONTENT_TYPE_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// What a sender may choose from.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip,zstd,identity");
/// A message of no bytes, not compressed: a response with every field unset.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

/// Whether a request is gRPC, by its content type.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers one gRPC request.
pub(super) async fn answer(
    desk: Arc<Desk>,
    message_bytes_max: u64,
    request: Request<Incoming>,
    arrivals: Arrivals,
) -> Result<Response<Body>, Infallible> {
    Ok(match take(&desk, message_bytes_max, request, arrivals).await {
        Ok(()) => accepted(),
        Err(refused) => {
            let mut response = refused.to_grpc().into_http();
            if matches!(refused, Refused::Unsupported { .. }) {
                response.headers_mut().insert(GRPC_ACCEPT_ENCODING, ENCODINGS);
            }
            response
        }
    })
}

async fn take(
    desk: &Desk,
    limit: u64,
    request: Request<Incoming>,
    arrivals: Arrivals,
) -> Result<(), Refused> {
    let checked = check(&request);
    let (signal, compression) = checked.inspect_err(|refused| desk.count(refused))?;
    let provenance = desk.provenance(request.headers());
    let mut body = desk.body(request, arrivals).await;
    let received = frame::read(&mut body, compression, desk.room(), limit).await;
    let received = received.inspect_err(|refused| desk.count(refused))?;
    desk.take(signal, received, body.arrived(), provenance).await
}

fn check(request: &Request<Incoming>) -> Result<(Signal, Compression), Refused> {
    let path = request.uri().path();
    let signal = Signal::ALL.iter().copied().find(|signal| signal.grpc_path() == path);
    let signal = signal.ok_or_else(|| {
        let message = format!("{path} is not an OTLP method");
        Refused::Unsupported { http: StatusCode::NOT_FOUND, message }
    })?;
    let compression = match request.headers().get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Compression::None,
        Some(b"gzip") => Compression::Gzip,
        Some(b"zstd") => Compression::Zstd,
        Some(_) => {
            let message = "use gzip, zstd or no compression".to_owned();
            return Err(Refused::Unsupported { http: StatusCode::UNSUPPORTED_MEDIA_TYPE, message });
        }
    };
    Ok((signal, compression))
}

/// The answer to an accepted request: one message, and OK behind it.
fn accepted() -> Response<Body> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let message = Full::new(EMPTY_MESSAGE).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(message));
    response.headers_mut().insert(CONTENT_TYPE, CONTENT_TYPE_GRPC);
    response
}
