//! One exchange over gRPC: the answer is read to its end, and what the backend itself said in it is noted.
//!
//! Where an answer has no status of gRPC, because a proxy cut the trailers off, reset the stream or sent a
//! page of its own, tonic makes one up, which nobody can tell from the backend's word afterwards.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::Code;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower::Service;

use gophership_http_client::ANSWER_BYTES_MAX;
use gophership_http_client::HttpClient;
use gophership_http_client::redirect_words;

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";
/// Of a text of a stranger no more is told.
const TOLD_LEN_MAX: usize = 80;
/// What stands before a message in its frame.
const FRAME_HEAD_LEN: usize = 5;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an answer says by itself.
#[derive(Debug)]
pub(super) struct Said {
    /// The code, and what is beside it; none if it has none that gRPC knows.
    pub(super) status: Option<(Code, Status)>,
    /// Whether it has a message.
    pub(super) has_message: bool,
    /// Whether it is longer than is read.
    pub(super) is_too_long: bool,
    /// What it is, in words.
    words: String,
}

impl Said {
    /// Why it is no answer.
    pub(super) fn no_answer(&self) -> String {
        format!("not a gRPC answer, but {}", self.words)
    }
}

/// The way of one request.
#[derive(Clone)]
pub(super) struct BufferingService {
    client: HttpClient<Body>,
    said: Arc<OnceLock<Said>>,
}

impl BufferingService {
    pub(super) fn over(client: HttpClient<Body>) -> Self {
        Self { client, said: Arc::default() }
    }

    /// What will have been said, if there was an answer.
    pub(super) fn said(&self) -> Arc<OnceLock<Said>> {
        Arc::clone(&self.said)
    }
}

impl Service<Request<Body>> for BufferingService {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { client, said } = self.clone();
        Box::pin(async move {
            let (mut head, body) = client.request(request).await?.into_parts();
            let mut whole = Whole::read(body).await?;
            mend(&mut head.headers);
            mend(&mut whole.trailers);
            let _first = said.set(whole.said(head.status, &head.headers));
            let trailers = whole.trailers;
            let body = Full::new(whole.data).with_trailers(async move { Some(Ok(trailers)) });
            Ok(Response::from_parts(head, Body::new(body)))
        })
    }
}

/// An answer that was read to its end.
struct Whole {
    data: Bytes,
    is_too_long: bool,
    trailers: HeaderMap,
}

impl Whole {
    /// Reads it; of one that is too long the rest is let go, up to the trailers, which say whether the
    /// request was taken.
    async fn read(mut body: Incoming) -> Result<Self, hyper::Error> {
        let (mut data, mut is_too_long) = (BytesMut::new(), false);
        let mut trailers = HeaderMap::new();
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(piece) if data.len() + piece.len() <= ANSWER_BYTES_MAX => {
                    data.extend_from_slice(&piece);
                }
                Ok(_) => is_too_long = true,
                Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
            }
        }
        Ok(Self { data: data.freeze(), is_too_long, trailers })
    }

    fn said(&self, http: StatusCode, headers: &HeaderMap) -> Said {
        // An answer without a message has it in its headers.
        let from = if headers.contains_key(STATUS) { headers } else { &self.trailers };
        let number = from.get(STATUS).map(HeaderValue::as_bytes);
        let code = number.and_then(code);
        let status = code.zip(Status::from_header_map(from));
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let what = match number {
            Some(number) => format!(" with the code {:?}", told(number)),
            None if kind.starts_with(b"application/grpc") => {
                " that is cut off before its status".to_owned()
            }
            None => String::new(),
        };
        let to = redirect_words(http, headers);
        let words = format!("HTTP {http}, {:?}{what}{to}", told(kind));
        let has_message = FRAME_HEAD_LEN <= self.data.len();
        Said { status, has_message, is_too_long: self.is_too_long, words }
    }
}

/// The code of a number, if it is one.
fn code(number: &[u8]) -> Option<Code> {
    let number: i32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (0..=Code::Unauthenticated as i32).contains(&number).then(|| Code::from_i32(number))
}

/// Takes out what tonic would not survive: details that are not of base 64.
fn mend(headers: &mut HeaderMap) {
    let Some(details) = headers.get(DETAILS) else { return };
    let map = HeaderMap::from_iter([(http::HeaderName::from_static(DETAILS), details.clone())]);
    let map = MetadataMap::from_headers(map);
    let is_readable = map.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_ok());
    if !is_readable {
        headers.remove(DETAILS);
    }
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(TOLD_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_grpc_are_codes() {
        assert_eq!(code(b"0"), Some(Code::Ok));
        assert_eq!(code(b"16"), Some(Code::Unauthenticated));
        for number in ["", "17", "-1", "99999999999", "junk", "0x1", "1.0"] {
            assert_eq!(code(number.as_bytes()), None, "{number:?}");
        }
    }

    #[test]
    fn details_that_cannot_be_read_are_taken_out() {
        let details = |text: &'static str| {
            let name = http::HeaderName::from_static(DETAILS);
            let mut headers = HeaderMap::from_iter([(name, HeaderValue::from_static(text))]);
            headers.insert(STATUS, 14.into());
            mend(&mut headers);
            // tonic panics on what is left in.
            Status::from_header_map(&headers).unwrap().details().to_vec()
        };
        assert_eq!(details("AQID"), [1, 2, 3]);
        for text in ["!!!", "A", "AQIDBA=", "AR"] {
            let _no_panic = details(text);
        }
    }
}
