//! One attempt over HTTP with protobuf.

use std::io;
use std::io::Write;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use tonic::body::Body;

use super::client::Client;
use super::last_words;
use super::options::CompressionOption;
use crate::otlp::Signal;
use crate::otlp::Verdict;
use crate::otlp::chain;
use crate::otlp::retry_after;

/// OTLP recommends that a client reads no more of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

pub(super) async fn send(client: &Client, endpoint: &Uri, signal: Signal, wire: Bytes) -> Verdict {
    let request = match request(client, endpoint, signal, wire) {
        Ok(request) => request,
        Err(error) => return Verdict::unanswered(format!("cannot make the request: {error}")),
    };
    let response = match client.transport.request(request).await {
        Ok(response) => response,
        Err(error) => {
            let verdict = Verdict::unanswered(format!("no answer: {}", chain(&error)));
            return last_words::add(verdict, &error);
        }
    };
    let status = response.status();
    if !status.is_success() {
        let hint = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let hint = hint.and_then(|text| retry_after(text, SystemTime::now()));
        let verdict = Verdict::of_http(status, hint);
        if !matches!(verdict, Verdict::Rejected { .. }) {
            return verdict;
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        return verdict
            .because(&kind, &body.map(http_body_util::Collected::to_bytes).unwrap_or_default());
    }
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Verdict::of_response(&body.to_bytes()),
        // Accepted is what the status says; what else it wanted to say is lost.
        Err(_) => Verdict::of_response(&[]),
    }
}

fn request(
    client: &Client,
    endpoint: &Uri,
    signal: Signal,
    wire: Bytes,
) -> io::Result<Request<Body>> {
    let (body, encoding) = compress(client.compression, wire)?;
    let base = endpoint.path().trim_end_matches('/');
    let path = format!("{base}{}", signal.http_path());
    let mut parts = endpoint.clone().into_parts();
    parts.path_and_query = Some(path.parse().map_err(io::Error::other)?);
    let uri = Uri::from_parts(parts).map_err(io::Error::other)?;
    let mut request = Request::new(Body::new(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().extend(HeaderMap::clone(&client.headers.current()));
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    request.headers_mut().insert(CONTENT_TYPE, protobuf);
    if let Some(encoding) = encoding {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(request)
}

fn compress(
    compression: CompressionOption,
    wire: Bytes,
) -> io::Result<(Bytes, Option<&'static str>)> {
    match compression {
        CompressionOption::None => Ok((wire, None)),
        CompressionOption::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&wire)?;
            Ok((encoder.finish()?.into(), Some("gzip")))
        }
        CompressionOption::Zstd => {
            Ok((zstd::stream::encode_all(wire.as_ref(), 1)?.into(), Some("zstd")))
        }
    }
}
