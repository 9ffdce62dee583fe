//! What the head of a request means. Senders repeat their heads, so the last ones are remembered.

use std::collections::VecDeque;
use std::sync::Arc;

use gophership_http2::RequestHead;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;

use crate::event::Signal;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::grpc;
use crate::sources::otlp::health;
use crate::sources::otlp::inflate::RequestEncoding;

/// How many heads of a connection are remembered: those of the three signals, with some to spare.
const KNOWN_LEN_MAX: usize = 4;

/// What the head of a request means.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) request: Call,
    pub(super) headers: HeaderMap,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Call {
    /// To take telemetry.
    Export(Signal, RequestEncoding),
    /// Whether the server serves: the path of the method.
    Health(String),
    /// What nobody does.
    Unknown(Unknown),
}

/// A call that is refused whatever its message is.
#[derive(Debug)]
pub(super) enum Unknown {
    Grpc(RefusedRequest),
    /// It is no gRPC request, and gets an answer of HTTP.
    NotGrpc(RefusedRequest),
}

/// The heads that a connection has had lately.
#[derive(Debug, Default)]
pub(super) struct Heads(VecDeque<(Arc<RequestHead>, Arc<Meaning>)>);

impl Heads {
    /// Returns what a head means.
    pub(super) fn meaning(&mut self, head: &Arc<RequestHead>) -> Arc<Meaning> {
        if let Some((_, meaning)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, head)) {
            return Arc::clone(meaning);
        }
        let meaning = Arc::new(Meaning::of(head));
        if self.0.len() == KNOWN_LEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back((Arc::clone(head), Arc::clone(&meaning)));
        meaning
    }
}

impl Meaning {
    fn of(head: &RequestHead) -> Self {
        let headers = headers(head);
        // A method that is no token is not POST either.
        let method = Method::from_bytes(head.method().as_bytes()).unwrap_or_default();
        let path = path(head);
        let request = match grpc::not_grpc(&method, &headers) {
            Some(refused) => Call::Unknown(Unknown::NotGrpc(refused)),
            None if path.starts_with(health::PREFIX) => Call::Health(path.to_owned()),
            None => match grpc::check(path, &headers) {
                Ok((signal, encoding)) => Call::Export(signal, encoding),
                Err(refused) => Call::Unknown(Unknown::Grpc(refused)),
            },
        };
        Self { request, headers }
    }
}

/// The path without a query.
fn path(head: &RequestHead) -> &str {
    let path = head.path();
    path.split_once('?').map_or(path, |(path, _query)| path)
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
