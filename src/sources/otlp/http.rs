//! OTLP over HTTP: `POST /v1/{logs,traces,metrics}`, protobuf or JSON, by content type.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use tonic::body::Body;

use super::answer::Encoding;
use super::answer::Refused;
use super::answer::accepted;
use super::body::Compression;
use super::body::collect;
use super::desk::Desk;
use crate::event::Signal;
use crate::otlp;

/// The conversion streams, so its memory is bounded by the size of the body already.
const JSON_LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 32 };

/// Answers one HTTP request.
pub(super) async fn answer(
    desk: Arc<Desk>,
    message_bytes_max: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let encoding = encoding(&request);
    let result = take(&desk, message_bytes_max, encoding, request).await;
    let encoding = encoding.unwrap_or(Encoding::Json);
    Ok(match result {
        Ok(()) => accepted(encoding),
        Err(refused) => refused.to_http(encoding),
    })
}

async fn take(
    desk: &Desk,
    limit: u64,
    encoding: Option<Encoding>,
    request: Request<Incoming>,
) -> Result<(), Refused> {
    let checked = check(encoding, &request);
    let (signal, encoding, compression) = checked.inspect_err(|refused| desk.count(refused))?;
    let provenance = desk.provenance(request.headers());
    let body = collect(request.into_body(), compression, limit).await;
    let body = body.inspect_err(|refused| desk.count(refused))?;
    let wire = match encoding {
        Encoding::Protobuf => body,
        Encoding::Json => from_json(signal, &body).inspect_err(|refused| desk.count(refused))?,
    };
    desk.take(signal, wire, provenance).await
}

fn from_json(signal: Signal, body: &Bytes) -> Result<Bytes, Refused> {
    otlp::json_to_wire(signal, body, &JSON_LIMITS)
        .map_err(|error| Refused::Invalid(error.to_string()))
}

fn check(
    encoding: Option<Encoding>,
    request: &Request<Incoming>,
) -> Result<(Signal, Encoding, Compression), Refused> {
    let unsupported = |http, message: String| Refused::Unsupported { http, message };
    let path = request.uri().path();
    let signal = Signal::ALL.iter().copied().find(|signal| signal.http_path() == path);
    let signal = signal.ok_or_else(|| {
        let message =
            format!("{path} is not an OTLP path; they are /v1/logs, /v1/traces, /v1/metrics");
        unsupported(StatusCode::NOT_FOUND, message)
    })?;
    if request.method() != Method::POST {
        let message = format!("{} is not supported; use POST", request.method());
        return Err(unsupported(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let encoding = encoding.ok_or_else(|| {
        let message = "use content type application/x-protobuf or application/json".to_owned();
        unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    let compression = match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Compression::None,
        Some(b"gzip") => Compression::Gzip,
        Some(b"zstd") => Compression::Zstd,
        Some(_) => {
            let message = "use content encoding gzip, zstd or none".to_owned();
            return Err(unsupported(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    Ok((signal, encoding, compression))
}

fn encoding(request: &Request<Incoming>) -> Option<Encoding> {
    let value = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Encoding::Protobuf)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        Some(Encoding::Json)
    } else {
        None
    }
}
