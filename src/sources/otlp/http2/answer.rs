//! What is written for an answer: constant bytes if the request was accepted.

use std::sync::LazyLock;

use bytes::Bytes;
use gophership_http2::Connection;
use gophership_http2::HeaderBlock;
use gophership_http2::Response;
use gophership_http2::StreamGone;
use gophership_http2::StreamId;
use http::header::CONTENT_LENGTH;
use tonic::Status;

use crate::sources::otlp::answer as otlp_answer;
use crate::sources::otlp::answer::ContentType;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::grpc;

/// What a request comes to.
#[derive(Debug)]
pub(super) enum StreamResponse {
    /// A framed message, and OK behind it.
    Message(Bytes),
    Refused(RefusedRequest),
    Failed(Status),
    /// The OK of OTLP/HTTP, with nothing to be told beside it.
    Accepted(ContentType),
    /// Any other answer of HTTP.
    Http(http::Response<Bytes>),
}

struct Blocks {
    head: HeaderBlock,
    trailers: HeaderBlock,
}

static ACCEPTED: LazyLock<Blocks> = LazyLock::new(|| {
    let mut head = HeaderBlock::of_status(200);
    let mut trailers = HeaderBlock::of_trailers();
    push(&mut head, "content-type", b"application/grpc");
    push(&mut trailers, grpc::GRPC_STATUS, b"0");
    Blocks { head, trailers }
});

/// The OK of OTLP/HTTP.
struct Accepted {
    head: HeaderBlock,
    body: Bytes,
}

static ACCEPTED_PROTOBUF: LazyLock<Accepted> = LazyLock::new(|| accepted(ContentType::Protobuf));
static ACCEPTED_JSON: LazyLock<Accepted> = LazyLock::new(|| accepted(ContentType::Json));

fn accepted(encoding: ContentType) -> Accepted {
    let response = otlp_answer::accepted(encoding, None);
    Accepted { head: block(&response, response.body()), body: response.body().clone() }
}

impl StreamResponse {
    /// Writes the answer. The client may have gone.
    pub(super) fn write<B>(&self, connection: &mut Connection<B>, stream: StreamId) {
        let is_written = match self {
            Self::Message(frame) => {
                let Blocks { head, trailers } = &*ACCEPTED;
                let response = Response { head, body: frame, trailers: Some(trailers) };
                connection.respond(stream, &response)
            }
            Self::Refused(refused) => {
                respond_with(connection, stream, &grpc::refused_response(refused), &[])
            }
            Self::Failed(status) => {
                let response = status.clone().into_http::<()>();
                respond_with(connection, stream, &response, &[])
            }
            Self::Accepted(encoding) => {
                let Accepted { head, body } = match encoding {
                    ContentType::Protobuf => &*ACCEPTED_PROTOBUF,
                    ContentType::Json => &*ACCEPTED_JSON,
                };
                connection.respond(stream, &Response { head, body, trailers: None })
            }
            Self::Http(response) => respond_with(connection, stream, response, response.body()),
        };
        if is_written.is_err() {
            tracing::trace!(%stream, "The sender has not waited for its answer.");
        }
    }
}

fn respond_with<B, T>(
    connection: &mut Connection<B>,
    stream: StreamId,
    response: &http::Response<T>,
    body: &[u8],
) -> Result<(), StreamGone> {
    let head = &block(response, body);
    connection.respond(stream, &Response { head, body, trailers: None })
}

fn block<T>(response: &http::Response<T>, body: &[u8]) -> HeaderBlock {
    let mut block = HeaderBlock::of_status(response.status().as_u16());
    for (name, value) in response.headers() {
        push(&mut block, name.as_str(), value.as_bytes());
    }
    if !body.is_empty() {
        push(&mut block, CONTENT_LENGTH.as_str(), body.len().to_string().as_bytes());
    }
    block
}

fn push(block: &mut HeaderBlock, name: &str, value: &[u8]) {
    if block.push(name, value).is_err() {
        // Names are ours, and values come out of a `HeaderValue`.
        tracing::debug!(
            name,
            "Left a header out of an answer, because HTTP/2 does not allow its value."
        );
    }
}
