//! One attempt over HTTP with protobuf.

use std::io;
use std::io::Write;
use std::time::SystemTime;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::body::Incoming;
use tonic::body::Body;

use super::channel::ANSWER_BYTES_MAX;
use super::channel::Channel;
use super::last_words;
use super::options::CompressionOption;
use super::redirect::at_path;
use super::redirect::followed;
use super::redirect::redirect_words;
use crate::otlp_client::Verdict;
use crate::otlp_client::chain;
use crate::otlp_client::retry_after;

/// A request follows so many redirects.
const REDIRECTS_MAX: usize = 3;

pub(super) async fn send(
    channel: &Channel,
    endpoint: &Uri,
    signal: Signal,
    wire: Bytes,
) -> Verdict {
    let made = compress(channel.compression, wire).and_then(|(body, encoding)| {
        let path = format!("{}{}", endpoint.path().trim_end_matches('/'), signal.http_path());
        Ok((body, encoding, at_path(endpoint, &path)?))
    });
    let (body, encoding, mut uri) = match made {
        Ok(made) => made,
        Err(error) => return Verdict::unanswered(format!("cannot make the request: {error}")),
    };
    let mut redirects = 0;
    loop {
        let request = request(channel, &uri, body.clone(), encoding);
        let response = match channel.http.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let verdict = Verdict::unanswered(format!("no answer: {}", chain(&error)));
                return last_words::add(verdict, &error);
            }
        };
        match followed(&uri, &response) {
            Some(next) if redirects < REDIRECTS_MAX => uri = next,
            _ => return judge(channel, response).await,
        }
        redirects += 1;
    }
}

async fn judge(channel: &Channel, response: Response<Incoming>) -> Verdict {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let hint = header(RETRY_AFTER).and_then(|text| retry_after(text, SystemTime::now()));
    let redirects = redirect_words(status, response.headers());
    if !status.is_success() {
        let verdict = Verdict::of_http(status, hint);
        let verdict = channel.codes.of_http(status, verdict).reworded(|reason| reason + &redirects);
        if matches!(verdict, Verdict::Retry { .. }) {
            return verdict;
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        return verdict
            .because(&kind, &body.map(http_body_util::Collected::to_bytes).unwrap_or_default());
    }
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(body) => Verdict::of_http_response(&kind, &body.to_bytes()),
        // Accepted is what the status says; what else it wanted to say is lost.
        Err(_) => Verdict::taken("the answer cannot be read, or is longer than is read"),
    }
}

fn request(
    channel: &Channel,
    uri: &Uri,
    body: Bytes,
    encoding: Option<&'static str>,
) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    request.headers_mut().extend(HeaderMap::clone(&channel.headers.current()));
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    request.headers_mut().insert(CONTENT_TYPE, protobuf);
    if let Some(encoding) = encoding {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    request
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
