//! Sends one request to the server, over gRPC or HTTP, as an SDK's exporter does.

use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::client::Grpc;

use gophership::otlp_client::RawCodec;
use gophership::otlp_client::Verdict;
use gophership::otlp_client::retry_after;
use gophership_otlp::Signal;

const ANSWER_BYTES_MAX: usize = 4 << 20;

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    pub(super) const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc)
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The server answered OK, but for so many records.
    Taken { rejected: u64 },
    /// The server said no.
    Refused(Verdict),
    /// Nobody answered: the connection broke, or could not be made.
    Unanswered,
    /// There was no answer in time.
    Late,
}

/// One client's connection.
pub(super) struct Courier {
    client: legacy::Client<HttpConnector, Body>,
    uri: Uri,
    protocol: Protocol,
}

impl Courier {
    /// Makes a client; it connects when the first request is sent.
    pub(super) fn new(address: SocketAddr, protocol: Protocol) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let is_grpc = protocol.is_grpc();
        let client = legacy::Client::builder(TokioExecutor::new())
            .http2_only(is_grpc)
            .build::<_, Body>(connector);
        let path = if is_grpc { "" } else { Signal::Logs.http_path() };
        let uri = format!("http://{address}{path}");
        Self { client, uri: uri.parse().expect("an address makes a URI"), protocol }
    }

    /// Sends a request once. Dropped half-way it is given up, and may have been taken.
    pub(super) async fn send(&self, wire: Bytes) -> Answer {
        match self.protocol {
            Protocol::Grpc => self.send_grpc(wire).await,
            Protocol::Http => self.send_http(wire).await,
        }
    }

    async fn send_grpc(&self, wire: Bytes) -> Answer {
        let mut grpc = Grpc::with_origin(self.client.clone(), self.uri.clone());
        if grpc.ready().await.is_err() {
            return Answer::Unanswered;
        }
        let path = PathAndQuery::from_static(Signal::Logs.grpc_path());
        let request = tonic::Request::new(wire);
        match grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await {
            Ok(response) => taken(response.get_ref()),
            // A status that was made here, because the connection failed, carries its cause.
            Err(status) if std::error::Error::source(&status).is_some() => Answer::Unanswered,
            Err(status) => Answer::Refused(Verdict::of_status(&status)),
        }
    }

    async fn send_http(&self, wire: Bytes) -> Answer {
        let mut request = Request::new(Body::new(Full::new(wire)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(CONTENT_TYPE, protobuf);
        let Ok(response) = self.client.request(request).await else { return Answer::Unanswered };
        let status: StatusCode = response.status();
        let hint = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = hint.and_then(|text| retry_after(text, SystemTime::now()));
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        match body {
            Ok(body) if status.is_success() => taken(&body.to_bytes()),
            Err(_) if status.is_success() => Answer::Unanswered,
            _ => Answer::Refused(Verdict::of_http(status, after)),
        }
    }
}

fn taken(body: &[u8]) -> Answer {
    match Verdict::of_response(body) {
        Verdict::Delivered { rejected, .. } => Answer::Taken { rejected },
        other => Answer::Refused(other),
    }
}
