//! The connections to backends, and how they are made.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http::Uri;
use hyper::body::Body;
use hyper_rustls::DefaultServerNameResolver;
use hyper_rustls::FixedServerNameResolver;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::Service;

use crate::connection_error::ErrorRecorder;
use crate::proxy::Dialer;
use crate::proxy::Proxies;

/// A client reads no more of an answer, as OTLP recommends.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The connections to any number of backends. Each new connection resolves its name again. Cheap to clone.
pub type HttpClient<B> = Client<Connector, B>;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn Error + Send + Sync>;

/// The versions of HTTP that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 alone, also in plain text.
    Two,
    /// What TLS agrees on; HTTP/1.1 in plain text.
    Any,
}

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What is trusted and shown where an address is `https`; without it no certificate is trusted.
    pub tls: Option<ClientConfig>,
    /// Whatever an address says, nothing goes out in plain text.
    pub https_only: bool,
    /// What is spoken.
    pub version: HttpVersion,
    /// A connection that takes longer to open has failed.
    pub connect_timeout: Duration,
    /// After this long without a word from the backend it is asked whether it is there: over HTTP/2 with a
    /// ping, over HTTP/1 with what TCP has for it.
    pub keepalive_interval: Duration,
    /// A connection whose ping has no answer for this long is closed.
    pub keepalive_timeout: Duration,
    /// The name that is asked for and verified over TLS, instead of that in the address.
    pub server_name: Option<ServerName<'static>>,
    /// Which backends are reached through a proxy.
    pub proxies: Proxies,
    /// Counts the connections that are opened.
    pub opened: Arc<AtomicU64>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            tls: None,
            https_only: false,
            version: HttpVersion::Any,
            connect_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            server_name: None,
            proxies: Proxies::default(),
            opened: Arc::default(),
        }
    }
}

/// Makes a client; it connects when the first request is sent.
#[must_use]
pub fn connect<B>(options: ConnectOptions) -> HttpClient<B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    tcp.set_keepalive(Some(options.keepalive_interval));
    tcp.enforce_http(false);
    let tls =
        HttpsConnectorBuilder::new().with_tls_config(options.tls.unwrap_or_else(trusting_nobody));
    let tls = if options.https_only { tls.https_only() } else { tls.https_or_http() };
    let is_http2 = options.version == HttpVersion::Two;
    let (proxies, within) = (options.proxies, options.connect_timeout);
    let dialer = Dialer { tcp, proxies, is_http2, within };
    let tls = match options.server_name {
        Some(name) => tls.with_server_name_resolver(FixedServerNameResolver::new(name)),
        None => tls.with_server_name_resolver(DefaultServerNameResolver::default()),
    };
    let connector = match options.version {
        HttpVersion::Two => tls.enable_http2().wrap_connector(dialer.clone()),
        HttpVersion::Any => tls.enable_all_versions().wrap_connector(dialer.clone()),
    };
    let mut builder = Client::builder(TokioExecutor::new());
    builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
    builder
        .http2_keep_alive_interval(options.keepalive_interval)
        .http2_keep_alive_timeout(options.keepalive_timeout)
        .http2_only(is_http2);
    builder.build(Connector { https: connector, dialer, opened: options.opened })
}

/// Makes connections, and lets each be heard to its end.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<Dialer>,
    dialer: Dialer,
    opened: Arc<AtomicU64>,
}

impl Service<Uri> for Connector {
    type Response = ErrorRecorder<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<ErrorRecorder<Stream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let is_forwarded = self.dialer.forwards(&to);
        let (connecting, opened) = (self.https.call(to), Arc::clone(&self.opened));
        Box::pin(async move {
            let stream = connecting.await?;
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(ErrorRecorder::new(stream, is_forwarded))
        })
    }
}

fn trusting_nobody() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("this provider has ciphers of TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
