//! The client of OTLP backends: it sends requests as the bytes they are, over gRPC or HTTP, and judges
//! the answers.
//!
//! There is one for all: the `otlp` sink, `gophership vault export`, and the clients of the drill and of
//! the tests. It makes one attempt; whether there is another one, and how long one may take, is the
//! caller's affair.

mod codec;
mod codes;
mod exchange;
mod grpc;
mod http;
mod json;

pub mod judge;

use ::http::HeaderMap;
use ::http::HeaderValue;
use ::http::Uri;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::body::Body;

use gophership_http_client::Answer;
use gophership_http_client::Compression;
use gophership_http_client::ConnectOptions;
use gophership_http_client::HttpClient;
use gophership_http_client::HttpVersion;
use gophership_http_client::Proxies;
use gophership_http_client::connect;
use gophership_otlp::Signal;

pub use codec::RawCodec;
pub use codes::CodeOption;
pub use codes::Codes;

/// What requests say about their sender, unless their headers say it. Source: opentelemetry-specification,
/// protocol/exporter.md, "User Agent".
const USER_AGENT_TEXT: HeaderValue =
    HeaderValue::from_static(concat!("GopherShip/", env!("CARGO_PKG_VERSION")));

/// What a backend says is shown up to this length: it goes to logs, terminals and dead letters.
const SAID_BYTES_MAX: usize = 512;

/// The protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP.
    Http,
}

/// How requests are written over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Protobuf, the bytes as they came.
    #[default]
    Protobuf,
    /// OTLP JSON, which is several times larger.
    Json,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What the backend said by itself: its code over gRPC, its status over HTTP; nothing without an
    /// answer.
    pub code: Option<CodeOption>,
    /// What that means.
    pub answer: Answer,
}

impl Reply {
    fn none(answer: Answer) -> Self {
        Self { code: None, answer }
    }
}

/// Sends single requests to any endpoint of a backend. Cheap to clone.
#[derive(Clone)]
pub struct OtlpClient {
    http: HttpClient<Body>,
    protocol: Protocol,
    proxies: Proxies,
    compression: Compression,
    encoding: Encoding,
    codes: Codes,
}

impl OtlpClient {
    /// Makes a client of a protocol, which decides on the version of HTTP; it connects when the first
    /// request is sent.
    #[must_use]
    pub fn new(protocol: Protocol, mut options: ConnectOptions) -> Self {
        options.version = match protocol {
            Protocol::Grpc => HttpVersion::Two,
            Protocol::Http => HttpVersion::Any,
        };
        Self {
            proxies: options.proxies.clone(),
            http: connect(options),
            protocol,
            compression: Compression::None,
            encoding: Encoding::default(),
            codes: Codes::default(),
        }
    }

    /// Writes requests in this form over HTTP.
    #[must_use]
    pub fn encoded(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Compresses what it sends.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// Takes some codes for something else than OTLP says.
    #[must_use]
    pub fn overruled(self, codes: Codes) -> Self {
        Self { codes, ..self }
    }

    /// Sends a request once. Dropped half-way it is given up, and may have been taken.
    pub async fn send(
        &self,
        endpoint: &Uri,
        headers: &HeaderMap,
        signal: Signal,
        wire: Bytes,
    ) -> Reply {
        match self.protocol {
            Protocol::Grpc => grpc::send(self, endpoint, headers, signal, wire).await,
            Protocol::Http => http::send(self, endpoint, headers, signal, wire).await,
        }
    }
}
