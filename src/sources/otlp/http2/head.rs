//! What the head of a request means. Senders repeat their heads, so the last ones are remembered.

use std::collections::VecDeque;
use std::sync::Arc;

use gophership_http2::RequestHead;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Version;
use http::request::Parts;

use crate::event::Signal;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::grpc;
use crate::sources::otlp::health;
use crate::sources::otlp::http::Asked;
use crate::sources::otlp::inflate::RequestEncoding;
use crate::sources::otlp::listener_protocol::ListenerProtocol;

/// How many heads of a connection are remembered: those of the three signals, with some to spare.
const KNOWN_LEN_MAX: usize = 4;

/// What the head of a request means.
#[derive(Debug)]
pub(super) struct ParsedHead {
    pub(super) call: RequestTarget,
    pub(super) head: Parts,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum RequestTarget {
    /// To take telemetry.
    Export(Signal, RequestEncoding),
    /// Whether the server serves: the path of the method.
    Health(String),
    /// What nobody does.
    Unknown(Unknown),
    /// OTLP/HTTP.
    Http(Asked),
}

/// A call that is refused whatever its message is.
#[derive(Debug)]
pub(super) enum Unknown {
    Grpc(RefusedRequest),
    /// It is no gRPC request, and gets an answer of HTTP.
    NotGrpc(RefusedRequest),
}

/// The heads that a connection has had lately.
#[derive(Debug)]
pub(super) struct Heads {
    protocol: ListenerProtocol,
    known: VecDeque<(Arc<RequestHead>, Arc<ParsedHead>)>,
}

impl Heads {
    /// Of a connection of such a listener.
    pub(super) const fn new(protocol: ListenerProtocol) -> Self {
        Self { protocol, known: VecDeque::new() }
    }

    /// Returns what a head means.
    pub(super) fn meaning(&mut self, head: &Arc<RequestHead>) -> Arc<ParsedHead> {
        if let Some((_, meaning)) = self.known.iter().find(|(known, _)| Arc::ptr_eq(known, head)) {
            return Arc::clone(meaning);
        }
        let meaning = Arc::new(ParsedHead::of(head, self.protocol));
        if self.known.len() == KNOWN_LEN_MAX {
            self.known.pop_front();
        }
        self.known.push_back((Arc::clone(head), Arc::clone(&meaning)));
        meaning
    }
}

impl ParsedHead {
    fn of(head: &RequestHead, protocol: ListenerProtocol) -> Self {
        let head = parts(head);
        let is_grpc =
            protocol == ListenerProtocol::Grpc || grpc::is_grpc(head.version, &head.headers);
        let call = if is_grpc {
            RequestTarget::of_grpc(&head)
        } else {
            RequestTarget::Http(Asked::of(&head))
        };
        Self { call, head }
    }
}

impl RequestTarget {
    fn of_grpc(head: &Parts) -> Self {
        let path = head.uri.path();
        match grpc::not_grpc(&head.method, &head.headers) {
            Some(refused) => Self::Unknown(Unknown::NotGrpc(refused)),
            None if path.starts_with(health::PREFIX) => Self::Health(path.to_owned()),
            None => match grpc::check(path, &head.headers) {
                Ok((signal, encoding)) => Self::Export(signal, encoding),
                Err(refused) => Self::Unknown(Unknown::Grpc(refused)),
            },
        }
    }
}

/// The head as the rest of the source knows it.
fn parts(head: &RequestHead) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.version = Version::HTTP_2;
    // A method that is no token is not POST either.
    parts.method = Method::from_bytes(head.method().as_bytes()).unwrap_or_default();
    // A path that is none is not one of ours.
    parts.uri = head.path().parse().unwrap_or_default();
    parts.headers = headers(head);
    parts
}

fn headers(head: &RequestHead) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in head.fields().filter(|(name, _)| !name.starts_with(b":")) {
        // Both were checked as they came.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}
