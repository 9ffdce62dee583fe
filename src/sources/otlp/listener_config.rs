//! The options of one listener.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::cors::CorsConfig;
use crate::component::NamedFile;
use crate::component::read_listen;
use crate::tls::ServerTls;

/// One listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerConfig {
    /// Address and port.
    #[serde(deserialize_with = "read_listen")]
    pub(super) listen: SocketAddr,
    /// TLS 1.3; without it the listener speaks plain text.
    #[serde(default)]
    pub(super) tls: Option<ServerTls>,
}

/// The listener for HTTP.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpListenerConfig {
    /// Address and port.
    #[serde(deserialize_with = "read_listen")]
    pub(super) listen: SocketAddr,
    /// TLS 1.3; without it the listener speaks plain text.
    #[serde(default)]
    pub(super) tls: Option<ServerTls>,
    /// Which web pages may send from a browser. Without it no page of another origin may.
    #[serde(default)]
    pub(super) cors: Option<CorsConfig>,
}

impl HttpListenerConfig {
    /// What it has in common with the other one.
    pub(super) fn listener(&self) -> ListenerConfig {
        ListenerConfig { listen: self.listen, tls: self.tls.clone() }
    }
}

impl ListenerConfig {
    /// Whether others than this machine can read what is sent to it.
    pub(super) fn is_readable(&self) -> bool {
        self.tls.is_none() && !self.listen.ip().is_loopback()
    }
}

/// The files that a listener reads, if there is one; `option` holds its TLS options.
pub(super) fn files(option: &str, listener: Option<ListenerConfig>) -> Vec<NamedFile> {
    let tls = listener.and_then(|listener| listener.tls);
    tls.map_or_else(Vec::new, |tls| NamedFile::all_inside(option, tls.files()))
}
