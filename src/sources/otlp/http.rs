//! OTLP over HTTP: `POST /v1/{logs,traces,metrics}`, protobuf or JSON, by content type.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
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
use super::inflate::INLINE_BYTES_MAX;
use super::inflate::inflate;
use super::room::Held;
use super::room::Received;
use super::room::Room;
use crate::event::Signal;
use crate::otlp;
use crate::otlp::DecodeLimits;
use crate::otlp::WireError;

/// JSON is read as deep as decoders go: one record that is too deep would have its whole request
/// refused.
const JSON_DEPTH_MAX: u32 = 96;
/// So many times larger than its JSON a request may be: `0,` may be a number of eight bytes.
const JSON_GROWTH_MAX: u64 = 4;

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
        Encoding::Json => from_json(desk.room(), signal, received, limit).await,
    }
}

/// Converts a request to protobuf, which may have `limit` bytes and is smaller as a rule. So room for
/// as much again is taken at first; what does not find place in it is converted once more, with room
/// for all that may come.
async fn from_json(
    room: &Room,
    signal: Signal,
    received: Received,
    limit: u64,
) -> Result<Received, Refused> {
    let Received { wire: json, mut held } = received;
    let json_bytes = json.len() as u64;
    let mut bytes_max = json_bytes.min(limit);
    room.grow(&mut held, bytes_max).await?;
    loop {
        let (back, converted) = convert(signal, json.clone(), held, bytes_max).await?;
        held = back;
        match converted {
            Ok(wire) => {
                drop(json);
                held.shrink_to(wire.len() as u64);
                return Ok(Received { wire, held });
            }
            Err(WireError::TooLarge { .. }) => {
                let next = json_bytes.saturating_mul(JSON_GROWTH_MAX).min(limit);
                if next <= bytes_max {
                    return Err(Refused::TooLarge { limit_bytes: limit });
                }
                room.grow(&mut held, next - bytes_max).await?;
                bytes_max = next;
            }
            Err(error) => return Err(Refused::Invalid(error.to_string())),
        }
    }
}

/// Converts, on a blocking thread if that takes long. What is held goes along: a sender that leaves
/// does not end the work.
async fn convert(
    signal: Signal,
    json: Bytes,
    held: Held,
    decoded_bytes_max: u64,
) -> Result<(Held, Result<Bytes, WireError>), Refused> {
    let is_short = json.len() <= INLINE_BYTES_MAX;
    let limits = DecodeLimits { decoded_bytes_max, depth_max: JSON_DEPTH_MAX };
    let work = move || (held, otlp::json_to_wire(signal, &json, &limits));
    if is_short {
        return Ok(work());
    }
    let gone = |_| Refused::Broken("the body could not be converted".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(gone)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pool::Limits;
    use crate::pool::Memory;

    const SHARE: u64 = 64 << 20;

    /// A histogram of so many bounds; in JSON each takes two bytes, on the wire eight.
    fn histogram(bounds: usize) -> Bytes {
        let (head, tail) = (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":["#,
            "0]}]}}]}]}]}",
        );
        format!("{head}{}{tail}", "0,".repeat(bounds - 1)).into()
    }

    async fn converted(memory: &Memory, json: Bytes, limit: u64) -> Result<Received, Refused> {
        let room = Room::new(SHARE, memory, Duration::from_millis(20));
        let received = super::super::filling::whole(&room, json).await?;
        from_json(&room, Signal::Metrics, received, limit).await
    }

    /// Scenario: histograms that are four times larger on the wire than in JSON, converted inline and
    /// on a blocking thread, around the limit and with too little memory.
    /// Guarantees: what is over the limit is too large; for the others the whole result is held, or
    /// they are told that there is no room; afterwards nothing is held.
    #[tokio::test]
    async fn json_that_grows_is_counted_and_limited() {
        let memory = Memory::new(&Limits { ingest: SHARE, ..Limits::NONE });
        for bounds in [1000_u64, 1 << 20] {
            let json = histogram(usize::try_from(bounds).unwrap());
            let Ok(Received { wire, held }) = converted(&memory, json.clone(), SHARE).await else {
                panic!("{bounds}: it is taken")
            };
            let len = wire.len() as u64;
            assert!((8 * bounds..8 * bounds + 64).contains(&len), "{bounds}: {len}");
            assert_eq!((held.bytes(), memory.ingest.used()), (len, len));
            drop((wire, held));
            assert!(converted(&memory, json.clone(), len).await.is_ok());
            let refused = converted(&memory, json.clone(), len - 1).await.err();
            assert_eq!(refused, Some(Refused::TooLarge { limit_bytes: len - 1 }));
            let other = memory.ingest.try_take(SHARE - 3 * json.len() as u64).unwrap();
            let refused = converted(&memory, json, SHARE).await.err();
            assert!(matches!(refused, Some(Refused::Busy { .. })), "{refused:?}");
            drop(other);
            assert_eq!(memory.ingest.used(), 0);
        }
    }
}
