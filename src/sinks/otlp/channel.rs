//! What the requests of one sink are sent over and made with, in both protocols.

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
use super::codes::Codes;
use super::last_words::Heard;
use super::options::CompressionOption;
use super::options::Protocol;
use crate::config::running::BuildError;
use crate::delivery::Endpoint;
use crate::delivery::Headers;
use crate::tls::ClientTls;

/// OTLP recommends that a client reads no more of an answer.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The connections to the backend: one client for all endpoints and both protocols. Each new connection
/// resolves its name again.
pub(super) type HttpClient = hyper_util::client::legacy::Client<Connector, Body>;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connector = MapResponse<HttpsConnector<HttpConnector>, fn(Stream) -> Heard<Stream>>;

/// Connections, and what every request has.
pub(super) struct Channel {
    pub(super) http: HttpClient,
    pub(super) headers: Headers,
    pub(super) compression: CompressionOption,
    /// Codes that mean something else.
    pub(super) codes: Codes,
}

impl Channel {
    /// Makes a channel; connects when the first request is sent.
    pub(super) fn new(
        config: &OtlpSinkConfig,
        endpoints: &[Endpoint],
        headers: Headers,
    ) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout.0));
        tcp.set_keepalive(Some(config.keepalive.interval.0));
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(
            config.tls.as_ref().map_or_else(|| ClientTls::default().load(), ClientTls::load)?,
        );
        // Whatever a request says: nothing goes out in plain text unless an endpoint is.
        let is_tls = endpoints.iter().all(Endpoint::is_tls);
        let tls = if is_tls { tls.https_only() } else { tls.https_or_http() };
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
            http: builder.build(connector),
            headers,
            compression: config.compression,
            codes: config.codes(),
        })
    }
}
