//! The connections to the backend: one HTTP client for all endpoints and both protocols.

use bytes::Bytes;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::MapResponse;

use super::OtlpSinkConfig;
use super::grpc;
use super::http as http_protocol;
use super::last_words::Heard;
use super::options::CompressionOption;
use super::options::Protocol;
use crate::config::running::BuildError;
use crate::delivery::Answer;
use crate::delivery::Courier;
use crate::delivery::Headers;
use crate::event::Batch;
use crate::otlp;
use crate::otlp::Verdict;

/// The transport that both protocols use.
pub(super) type Transport = hyper_util::client::legacy::Client<Connector, Body>;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connector = MapResponse<HttpsConnector<HttpConnector>, fn(Stream) -> Heard<Stream>>;

/// Sends single requests to the endpoints of one sink. Each new connection resolves its name again.
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) headers: Headers,
    pub(super) compression: CompressionOption,
    endpoints: Vec<Uri>,
    protocol: Protocol,
}

impl Client {
    /// Makes a client; connects when the first request is sent.
    pub(super) fn new(config: &OtlpSinkConfig, headers: Headers) -> Result<Self, BuildError> {
        let endpoints = config.endpoints().map_err(|(_, reason)| BuildError::Option(reason))?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout.0));
        tcp.set_keepalive(Some(config.keepalive.interval.0));
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(config.tls.load()?).https_or_http();
        let connector = match config.protocol {
            Protocol::Grpc => tls.enable_http2().wrap_connector(tcp),
            Protocol::Http => tls.enable_all_versions().wrap_connector(tcp),
        };
        let connector: Connector = connector.map_response(Heard::new);
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder
            .http2_keep_alive_interval(config.keepalive.interval.0)
            .http2_keep_alive_timeout(config.keepalive.timeout.0)
            .http2_only(config.protocol == Protocol::Grpc);
        Ok(Self {
            transport: builder.build(connector),
            headers,
            compression: config.compression,
            endpoints,
            protocol: config.protocol,
        })
    }
}

impl Courier for Client {
    async fn send(&self, endpoint_idx: usize, batches: &[Batch]) -> Answer {
        let endpoint = self.endpoints.get(endpoint_idx);
        let (Some(endpoint), Some(first)) = (endpoint, batches.first()) else {
            return Answer::unanswered("nothing to send, or nowhere to send it");
        };
        let wires: Vec<Bytes> = batches.iter().map(|batch| batch.wire().clone()).collect();
        let (signal, wire) = (first.signal(), otlp::merge(&wires));
        let verdict = match self.protocol {
            Protocol::Grpc => grpc::send(self, endpoint, signal, wire).await,
            Protocol::Http => http_protocol::send(self, endpoint, signal, wire).await,
        };
        match verdict {
            Verdict::Delivered { rejected, message } => Answer::Delivered { rejected, message },
            Verdict::Retry { after, reason } => Answer::Retry { after, reason },
            Verdict::Rejected { reason } => Answer::Rejected { reason },
        }
    }
}

/// Reads an endpoint; a bare `host:port` is taken for `http`.
pub(super) fn endpoint(text: &str) -> Result<Uri, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = full.parse().map_err(|error| format!("{text:?} is not an address: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("{text:?} must begin with http:// or https://"));
    }
    if uri.query().is_some() {
        return Err(format!("{text:?} must not have a query"));
    }
    Ok(uri)
}

/// What an endpoint is called in logs and metrics: without what may be secret in it.
pub(super) fn name(endpoint: &Uri) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = endpoint.host().unwrap_or_default();
    let path = endpoint.path().trim_end_matches('/');
    format!("{}://{host}{port}{path}", endpoint.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_without_secrets_and_differ_where_endpoints_do() {
        for (text, expected) in [
            ("host:4317", "http://host:4317"),
            ("https://user:secret@host/", "https://host"),
            ("https://[::1]:4317/a/b/", "https://[::1]:4317/a/b"),
        ] {
            assert_eq!(name(&endpoint(text).unwrap()), expected);
        }
    }
}
