//! The connection to the backend: one HTTP client for both protocols.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use tonic::body::Body;

use super::CompressionOption;
use super::OtlpSinkConfig;
use super::Protocol;
use crate::config::running::BuildError;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);

/// The transport that both protocols use.
pub(super) type Transport = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// Sends single requests to one backend. Cheap to clone; connections are shared.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) transport: Transport,
    pub(super) endpoint: Uri,
    pub(super) headers: HeaderMap,
    pub(super) compression: CompressionOption,
    pub(super) protocol: Protocol,
}

impl Client {
    /// Makes a client; connects when the first request is sent.
    pub(super) fn new(config: &OtlpSinkConfig) -> Result<Self, BuildError> {
        let endpoint = endpoint(&config.endpoint).map_err(BuildError::Option)?;
        let headers = headers(&config.headers).map_err(|(_, reason)| BuildError::Option(reason))?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_tls_config(config.tls.load()?).https_or_http();
        let connector = match config.protocol {
            Protocol::Grpc => tls.enable_http2().wrap_connector(tcp),
            Protocol::Http => tls.enable_all_versions().wrap_connector(tcp),
        };
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        if config.protocol == Protocol::Grpc {
            builder
                .http2_only(true)
                .http2_keep_alive_interval(KEEPALIVE_EVERY)
                .http2_keep_alive_timeout(KEEPALIVE_WITHIN);
        }
        Ok(Self {
            transport: builder.build(connector),
            endpoint,
            headers,
            compression: config.compression,
            protocol: config.protocol,
        })
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

/// Reads headers; the error names the header at fault.
pub(super) fn headers(texts: &BTreeMap<String, String>) -> Result<HeaderMap, (String, String)> {
    let mut headers = HeaderMap::new();
    for (name, value) in texts {
        let fault = |reason: String| (name.clone(), reason);
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| fault(format!("{name:?} is not a header name")))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| fault(format!("the value of {name:?} is not a header value")))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
