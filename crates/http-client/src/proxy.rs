//! The proxy on the way to a backend: from the configuration, or from the environment as curl reads it.
//!
//! ```text
//!  https, or HTTP/2   a tunnel (CONNECT); TLS is with the backend
//!  http over HTTP/1   the request goes to the proxy, with the whole address in its first line
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;
use tower::ServiceExt;

use crate::causes::chain;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which backends are reached through a proxy.
#[derive(Clone, Default)]
pub struct Proxies {
    matcher: Option<Arc<Matcher>>,
    /// What is on this machine is reached without one.
    skips_loopback: bool,
}

impl fmt::Debug for Proxies {
    /// Without the password that may be in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Proxies")
            .field("is_set", &self.matcher.is_some())
            .finish_non_exhaustive()
    }
}

impl Proxies {
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, also in lower case. Backends on
    /// loopback are reached without a proxy.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { matcher: Some(Arc::new(Matcher::from_env())), skips_loopback: true }
    }

    /// One for every backend.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with the URL.
    pub fn fixed(url: &str) -> Result<Self, &'static str> {
        const FORM: &str =
            "must be a URL like `http://proxy:3128` or `http://USER:PASSWORD@proxy:3128`";
        let uri: Uri = url.parse().map_err(|_| FORM)?;
        let is_http = uri.scheme_str() == Some("http");
        let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        if !is_http || uri.host().is_none_or(str::is_empty) || has_path {
            return Err(FORM);
        }
        let matcher = Arc::new(Matcher::builder().all(url.to_owned()).build());
        Ok(Self { matcher: Some(matcher), skips_loopback: false })
    }

    fn of(&self, to: &Uri) -> Option<Intercept> {
        let matcher = self.matcher.as_ref()?;
        if self.skips_loopback && is_loopback(to.host()?) {
            return None;
        }
        matcher.intercept(to)
    }

    /// What a request must say to the proxy that it goes to itself; one in a tunnel says nothing to it.
    #[must_use]
    pub fn authorization(&self, to: &Uri) -> Option<HeaderValue> {
        if to.scheme_str() != Some("http") {
            return None;
        }
        self.of(to)?.basic_auth().cloned()
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address =
        |text: &str| text.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    bare.eq_ignore_ascii_case("localhost") || is_address(bare)
}

/// Makes TCP connections to backends, straight or through their proxies.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) tcp: HttpConnector,
    pub(crate) proxies: Proxies,
    /// Nothing but HTTP/2 is spoken, which no proxy reads.
    pub(crate) is_http2: bool,
    pub(crate) within: Duration,
}

impl Dialer {
    /// Whether requests to a backend go to a proxy, with the whole address in their first line.
    pub(crate) fn forwards(&self, to: &Uri) -> bool {
        !self.is_http2 && to.scheme_str() == Some("http") && self.proxies.of(to).is_some()
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.of(&to) else {
            let connecting = self.tcp.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let (tcp, within) = (self.tcp.clone(), self.within);
        let forwards = self.forwards(&to);
        Box::pin(async move {
            let name = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
            let connecting = through(&proxy, tcp, to, forwards);
            let connected = tokio::time::timeout(within, connecting).await;
            let reason = match connected {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(reason)) => reason,
                Err(_late) => "no answer in time".to_owned(),
            };
            Err(io::Error::other(format!("the proxy {name} opened no connection: {reason}")).into())
        })
    }
}

/// Connects to the proxy, and through it unless it is to forward requests.
async fn through(
    proxy: &Intercept,
    tcp: HttpConnector,
    to: Uri,
    forwards: bool,
) -> Result<TokioIo<TcpStream>, String> {
    if proxy.uri().scheme_str() != Some("http") {
        return Err("GopherShip speaks to proxies over `http` only".to_owned());
    }
    if forwards {
        return tcp.oneshot(proxy.uri().clone()).await.map_err(|error| chain(&error));
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
    if let Some(basic) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(basic.clone());
    }
    let to = with_port(to).ok_or("the endpoint has no host")?;
    tunnel.oneshot(to).await.map_err(|error| chain(&error))
}

/// The same address with the port that its scheme stands for: a tunnel needs one.
fn with_port(to: Uri) -> Option<Uri> {
    if to.port().is_some() {
        return Some(to);
    }
    let port = if to.scheme_str() == Some("http") { 80 } else { 443 };
    format!("{}://{}:{port}/", to.scheme_str()?, to.host()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_http_url_without_a_path() {
        for right in
            ["http://proxy:3128", "http://proxy", "http://u:p@proxy:3128/", "http://[::1]:1"]
        {
            assert!(Proxies::fixed(right).is_ok(), "{right}");
        }
        for wrong in ["proxy:3128", "https://proxy", "socks5://proxy", "http://", "http://p/x", ""]
        {
            assert!(Proxies::fixed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_told_to_the_proxy_and_to_nobody_else() {
        let proxies = Proxies::fixed("http://user:hunter2@proxy:3128").unwrap();
        let plain = proxies.authorization(&Uri::from_static("http://backend:4318/v1/logs"));
        assert_eq!(plain.unwrap(), "Basic dXNlcjpodW50ZXIy");
        assert!(proxies.authorization(&Uri::from_static("https://backend:4318/")).is_none());
        assert!(!format!("{proxies:?}").contains("hunter2"));
    }

    #[test]
    fn a_tunnel_has_a_port() {
        for (to, port) in [("http://h", 80), ("https://h/a", 443), ("http://[::1]:7", 7)] {
            assert_eq!(with_port(Uri::from_static(to)).unwrap().port_u16(), Some(port), "{to}");
        }
        assert!(["localhost", "127.1.2.3", "[::1]"].into_iter().all(is_loopback));
        assert!(!is_loopback("localhost.example.com"));
    }
}
