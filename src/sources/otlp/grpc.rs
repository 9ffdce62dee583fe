//! OTLP over gRPC: three unary methods whose messages stay bytes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::server::UnaryService;

use super::answer::Refused;
use super::desk::Desk;
use crate::event::Provenance;
use crate::event::Signal;
use crate::otlp::RawCodec;

const GRPC_STATUS: &str = "grpc-status";

/// Whether a request is gRPC, by its content type.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers one gRPC request.
pub(super) async fn answer(
    desk: Arc<Desk>,
    message_bytes_max: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let Some(signal) = Signal::ALL.iter().copied().find(|signal| signal.grpc_path() == path) else {
        let message = format!("{path} is not an OTLP method");
        let refused = Refused::Unsupported { http: StatusCode::NOT_FOUND, message };
        desk.count(&refused);
        return Ok(refused.to_grpc().into_http());
    };
    let limit = usize::try_from(message_bytes_max).unwrap_or(usize::MAX);
    let provenance = desk.provenance(request.headers());
    let method = Export { desk: Arc::clone(&desk), signal, provenance };
    let mut response = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limit)
        .unary(method, request)
        .await;
    // A request that the codec refused never got to the desk; its answer is all header.
    let refused = match response.headers().get(GRPC_STATUS).map(HeaderValue::as_bytes) {
        Some(b"8" | b"11") => Refused::TooLarge { limit_bytes: message_bytes_max },
        Some(b"12") => {
            let message = "use gzip, zstd or no compression".to_owned();
            Refused::Unsupported { http: StatusCode::UNSUPPORTED_MEDIA_TYPE, message }
        }
        Some(b"13") => Refused::Invalid("the message cannot be read".to_owned()),
        _ => return Ok(response),
    };
    desk.count(&refused);
    if matches!(refused, Refused::TooLarge { .. }) {
        // tonic says OUT_OF_RANGE, and OTLP clients would send it again for ever.
        response = refused.to_grpc().into_http();
    }
    Ok(response)
}

/// One `Export` method.
struct Export {
    desk: Arc<Desk>,
    signal: Signal,
    provenance: Provenance,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let desk = Arc::clone(&self.desk);
        let signal = self.signal;
        let provenance = std::mem::take(&mut self.provenance);
        Box::pin(async move {
            match desk.take(signal, request.into_inner(), provenance).await {
                // No bytes are a response with every field unset.
                Ok(()) => Ok(tonic::Response::new(Bytes::new())),
                Err(refused) => Err(refused.to_grpc()),
            }
        })
    }
}
