//! OTLP over HTTP: `POST /v1/{logs,traces,metrics}`, protobuf or JSON, by content type.

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
use http::header::CONNECTION;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::EXPECT;
use http::header::HOST;
use http::request::Parts;
use hyper::body::Incoming;
use tonic::body::Body;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::admission::ConnectionShare;
use super::answer::ContentType;
use super::answer::RefusedRequest;
use super::answer::accepted;
use super::answer::with_body;
use super::body::IncomingBody;
use super::cors::Cors;
use super::inflate::RequestEncoding;
use super::inflate::inflate;
use super::ingest_handler::IngestHandler;
use super::json::from_json;
use super::limits::RequestLimits;
use super::partial_success::PartialSuccess;
use crate::event::Signal;
use crate::net;

/// Answers one HTTP request.
pub(super) async fn answer(
    handler: Arc<IngestHandler>,
    request: Request<Incoming>,
    during: net::ActiveRequest,
    share: Arc<ConnectionShare>,
) -> Result<Response<Body>, Infallible> {
    let (head, incoming) = request.into_parts();
    if let Some(preflight) = handler.cors().and_then(|cors| cors.preflight(&head)) {
        return Ok(with_body(preflight));
    }
    let asked = Asked::of(&head);
    let mut body = handler.body(incoming, &during);
    let result = take(&handler, &share, &asked, &head, &mut body).await;
    let mut response = with_body(response(handler.cors(), &head.headers, asked.encoding, &result));
    let has_own_connection = head.version <= Version::HTTP_11;
    // A sender that waits for leave to send gets its answer instead, and one that went silent gets it
    // now. The others do not see it before they have sent what they began.
    let is_waiting = head.headers.contains_key(EXPECT);
    let is_silent = matches!(result, Err(RefusedRequest::Stalled { .. }));
    let may_discard = !is_waiting && !is_silent;
    if has_own_connection && !body.is_at_end() && !(may_discard && body.discard().await) {
        // What was not read is in the way of the next request, so the connection ends here. Without
        // being told a client could send another one at that moment.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        during.activity().leave_unread();
    }
    Ok(response)
}

/// What is answered to a request with these headers, which came to this.
pub(super) fn response(
    cors: Option<&Cors>,
    headers: &HeaderMap,
    encoding: Option<ContentType>,
    result: &Result<Option<PartialSuccess>, RefusedRequest>,
) -> Response<Bytes> {
    let encoding = encoding.unwrap_or(ContentType::Json);
    let mut response = match result {
        Ok(partial) => accepted(encoding, partial.as_ref()),
        Err(refused) => refused.to_http(encoding),
    };
    if let Some(cors) = cors {
        cors.allow(headers, response.headers_mut());
    }
    response
}

/// What the head of a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Of its body, and so of its answer; `None` if it is not known.
    pub(super) encoding: Option<ContentType>,
    /// What is to be taken, or why it is refused whatever its body is.
    pub(super) export: Result<Export, RefusedRequest>,
}

/// A request to take telemetry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Export {
    pub(super) signal: Signal,
    encoding: ContentType,
    compression: RequestEncoding,
}

impl Asked {
    /// Reads the head of a request.
    pub(super) fn of(head: &Parts) -> Self {
        let encoding = encoding(head);
        Self { encoding, export: check(encoding, head) }
    }

    /// What is to be taken; a request for anything else is counted.
    pub(super) fn export(&self, handler: &IngestHandler) -> Result<Export, RefusedRequest> {
        self.export
            .as_ref()
            .copied()
            .inspect_err(|refused| handler.count(refused))
            .map_err(Clone::clone)
    }
}

async fn take(
    handler: &IngestHandler,
    share: &ConnectionShare,
    asked: &Asked,
    head: &Parts,
    body: &mut IncomingBody,
) -> Result<Option<PartialSuccess>, RefusedRequest> {
    handler.authenticate(&head.headers)?;
    let export = asked.export(handler)?;
    let provenance = handler.provenance(&head.headers);
    handler.before_reading().await;
    let room = handler.room(share);
    let received = receive(room, handler.limits(), export, body).await;
    let received = received.inspect_err(|refused| handler.count(refused))?;
    handler.take(export.signal, received, body.arrived(), provenance, None, room).await
}

/// Reads a body, and returns it as protobuf.
async fn receive(
    room: ConnectionAdmission<'_>,
    limits: &RequestLimits,
    export: Export,
    body: &mut IncomingBody,
) -> Result<AdmittedRequest, RefusedRequest> {
    let sent = body.collect(room, limits.bytes).await.map_err(invalid)?;
    decode(room, limits, export, sent).await
}

/// Returns a body that was sent as protobuf, decompressed.
pub(super) async fn decode(
    room: ConnectionAdmission<'_>,
    limits: &RequestLimits,
    export: Export,
    sent: AdmittedRequest,
) -> Result<AdmittedRequest, RefusedRequest> {
    let Export { signal, encoding, compression } = export;
    let received = match compression {
        RequestEncoding::None => sent,
        compression => inflate(sent, compression, room, limits).await.map_err(invalid)?,
    };
    match encoding {
        ContentType::Protobuf => Ok(received),
        // Its memory is taken for those only that need it.
        ContentType::Json => Box::pin(from_json(room, signal, received, limits.bytes)).await,
    }
}

/// Over HTTP a body that cannot be read is one that is not valid.
fn invalid(refused: RefusedRequest) -> RefusedRequest {
    match refused {
        RefusedRequest::Broken(reason) => RefusedRequest::Invalid(reason),
        other => other,
    }
}

fn check(encoding: Option<ContentType>, head: &Parts) -> Result<Export, RefusedRequest> {
    let unsupported = |http, message: String| RefusedRequest::Unsupported { http, message };
    // Source: RFC 9112, section 3.2.
    if head.version == Version::HTTP_11 && head.headers.get_all(HOST).iter().count() != 1 {
        return Err(RefusedRequest::Broken("HTTP/1.1 needs one Host header".to_owned()));
    }
    if is_like_grpc(head) {
        let message = "use gRPC over HTTP/2, or OTLP/HTTP with content type \
                       application/x-protobuf or application/json; gRPC-Web is not supported";
        return Err(unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned()));
    }
    let path = head.uri.path();
    let signal = Signal::ALL.iter().copied().find(|signal| signal.http_path() == path);
    let signal = signal.ok_or_else(|| {
        let message =
            format!("{path} is not an OTLP path; use /v1/logs, /v1/traces or /v1/metrics");
        unsupported(StatusCode::NOT_FOUND, message)
    })?;
    if head.method != Method::POST {
        let message = format!("{} is not supported; use POST", head.method);
        return Err(unsupported(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let encoding = encoding.ok_or_else(|| {
        let message = "use content type application/x-protobuf or application/json".to_owned();
        unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    let compression =
        RequestEncoding::named(head.headers.get(CONTENT_ENCODING)).ok_or_else(|| {
            let message = "use content encoding gzip, zstd or none".to_owned();
            unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        })?;
    Ok(Export { signal, encoding, compression })
}

/// gRPC-Web, and gRPC without the trailers of HTTP/2, in which it has its status.
fn is_like_grpc(head: &Parts) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn encoding(head: &Parts) -> Option<ContentType> {
    let value = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/x-protobuf") {
        Some(ContentType::Protobuf)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        Some(ContentType::Json)
    } else {
        None
    }
}
