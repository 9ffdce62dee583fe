//! OTLP over HTTP: `POST /v1/{logs,traces,metrics}`, protobuf or JSON, by content type.

use std::convert::Infallible;
use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header::CONNECTION;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use hyper::body::Body as _;
use hyper::body::Incoming;
use tonic::body::Body;

use super::answer::Encoding;
use super::answer::Refused;
use super::answer::accepted;
use super::arrival::Arrivals;
use super::body::Body as Sent;
use super::desk::Desk;
use super::inflate::Compression;
use super::inflate::inflate;
use super::room::Received;
use crate::event::Signal;
use crate::otlp;

/// The conversion streams, so its memory is bounded by the size of the body already. It goes as
/// deep as decoders do: one record that is too deep would have its whole request refused.
const JSON_LIMITS: otlp::DecodeLimits =
    otlp::DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

/// Answers one HTTP request.
pub(super) async fn answer(
    desk: Arc<Desk>,
    message_bytes_max: u64,
    request: Request<Incoming>,
    arrivals: Arrivals,
) -> Result<Response<Body>, Infallible> {
    let encoding = encoding(&request);
    let has_own_connection = request.version() <= Version::HTTP_11;
    let mut is_read = request.body().is_end_stream();
    let result = take(&desk, message_bytes_max, encoding, request, arrivals, &mut is_read).await;
    let encoding = encoding.unwrap_or(Encoding::Json);
    let mut response = match result {
        Ok(()) => accepted(encoding),
        Err(refused) => refused.to_http(encoding),
    };
    if has_own_connection && !is_read {
        // What was not read is in the way of the next request, so the connection ends here. Without
        // being told a client could send another one at that moment.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn take(
    desk: &Desk,
    limit: u64,
    encoding: Option<Encoding>,
    request: Request<Incoming>,
    arrivals: Arrivals,
    is_read: &mut bool,
) -> Result<(), Refused> {
    let checked = check(encoding, &request);
    let (signal, encoding, compression) = checked.inspect_err(|refused| desk.count(refused))?;
    let provenance = desk.provenance(request.headers());
    let mut body = desk.body(request, arrivals).await;
    let received = receive(desk, limit, signal, encoding, compression, &mut body).await;
    *is_read = body.is_at_end();
    let received = received.inspect_err(|refused| desk.count(refused))?;
    desk.take(signal, received, body.arrived(), provenance).await
}

/// Reads a body, and returns it as protobuf.
async fn receive(
    desk: &Desk,
    limit: u64,
    signal: Signal,
    encoding: Encoding,
    compression: Compression,
    body: &mut Sent,
) -> Result<Received, Refused> {
    let read = async {
        let sent = body.collect(desk.room(), limit).await?;
        match compression {
            Compression::None => Ok(sent),
            compression => inflate(sent, compression, desk.room(), limit).await,
        }
    };
    // Over HTTP a body that cannot be read is one that is not valid.
    let received = read.await.map_err(|refused| match refused {
        Refused::Broken(reason) => Refused::Invalid(reason),
        other => other,
    })?;
    match encoding {
        Encoding::Protobuf => Ok(received),
        Encoding::Json => from_json(desk, signal, received).await,
    }
}

/// Converts a request to protobuf, which is smaller as a rule: room for as much again is enough.
async fn from_json(desk: &Desk, signal: Signal, received: Received) -> Result<Received, Refused> {
    let Received { wire: json, mut held } = received;
    desk.room().grow(&mut held, json.len() as u64).await?;
    let wire = otlp::json_to_wire(signal, &json, &JSON_LIMITS)
        .map_err(|error| Refused::Invalid(error.to_string()))?;
    drop(json);
    held.shrink_to(wire.len() as u64);
    Ok(Received { wire, held })
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
