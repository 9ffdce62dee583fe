//! The target: where requests go, how, and the connections to it.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gophership_http_client::Compression;
use gophership_http_client::ConnectOptions;
use gophership_otlp::Signal;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::OtlpClient;
use gophership_otlp_client::Protocol;
use gophership_units::HumanDuration;
use http::HeaderMap;
use http::Uri;
use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinSet;

use crate::error::LoadError;
use crate::outcome::SendOutcome;

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub struct LoadTarget {
    /// With scheme and host; over HTTP the path of the signal is added to its path.
    pub url: Uri,
    /// What is spoken.
    pub protocol: Protocol,
    /// How requests are written over HTTP.
    pub encoding: Encoding,
    /// How bodies are compressed.
    pub compression: Compression,
    /// What the records are.
    pub signal: Signal,
    /// Sent with each request.
    pub headers: HeaderMap,
    /// The certificates that the target must descend from, if it is `https`; by default those of the system.
    pub ca_file: Option<PathBuf>,
}

impl LoadTarget {
    /// What is spoken, in words.
    #[must_use]
    pub const fn protocol_name(&self) -> &'static str {
        match (self.protocol, self.encoding) {
            (Protocol::Grpc, _) => "OTLP/gRPC",
            (Protocol::Http, Encoding::Protobuf) => "OTLP/HTTP",
            (Protocol::Http, Encoding::Json) => "OTLP/HTTP with JSON",
        }
    }

    /// The URL as people write it.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.to_string().trim_end_matches('/').to_owned()
    }

    /// What to look at if there is no connection.
    fn hint(&self) -> String {
        let protocol = self.protocol_name();
        if self.url.scheme_str() == Some("https") {
            return format!(
                "is the target running, is this its port for {protocol} with TLS, and does the system or --ca-file have its CA?"
            );
        }
        format!("is the target running, and is this its port for {protocol}?")
    }

    fn tls(&self) -> Result<Option<ClientConfig>, LoadError> {
        if self.url.scheme_str() != Some("https") {
            return Ok(None);
        }
        let refused = |error: rustls::Error| LoadError::Tls { reason: error.to_string() };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?;
        let builder = match &self.ca_file {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => builder
                .with_native_roots()
                .map_err(|error| LoadError::Tls { reason: format!("{error}; give --ca-file") })?,
        };
        Ok(Some(builder.with_no_client_auth()))
    }
}

fn roots(path: &Path) -> Result<RootCertStore, LoadError> {
    let refused = |reason: String| LoadError::CaFile { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("it contains no certificate".to_owned()));
    }
    Ok(roots)
}

/// The connections to a target. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TargetConnections {
    target: Arc<LoadTarget>,
    clients: Arc<[OtlpClient]>,
    timeout: Duration,
    opened: Arc<AtomicU64>,
}

impl TargetConnections {
    /// Opens so many with an empty request each, which has no records. Returns what the target said if it refused
    /// one.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the target does not answer.
    pub(crate) async fn open(
        target: LoadTarget,
        count: usize,
        timeout: Duration,
    ) -> Result<(Self, Option<String>), LoadError> {
        let (opened, tls) = (Arc::<AtomicU64>::default(), target.tls()?);
        let client = |_| {
            let opened = Arc::clone(&opened);
            let options = ConnectOptions { tls: tls.clone(), opened, ..ConnectOptions::default() };
            let client = OtlpClient::new(target.protocol, options);
            client.encoded(target.encoding).compressed(target.compression)
        };
        let clients: Arc<[OtlpClient]> = (0..count).map(client).collect();
        let connections = Self { target: Arc::new(target), clients, timeout, opened };
        let refusal = connections.greet().await?;
        Ok((connections, refusal))
    }

    /// Sends a request once over one of the connections.
    pub(crate) async fn send(&self, idx: usize, wire: Bytes) -> SendOutcome {
        let LoadTarget { url, headers, signal, .. } = &*self.target;
        let sent = self.clients[idx].send(url, headers, *signal, wire);
        let late = |_| {
            let timeout = HumanDuration(self.timeout);
            SendOutcome::Unanswered { reason: format!("nothing came within {timeout}") }
        };
        tokio::time::timeout(self.timeout, sent).await.map_or_else(late, SendOutcome::of)
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// How many connections were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    async fn greet(&self) -> Result<Option<String>, LoadError> {
        let mut greetings = JoinSet::new();
        for idx in 0..self.clients.len() {
            let connections = self.clone();
            greetings.spawn(async move { connections.send(idx, Bytes::new()).await });
        }
        let mut refusal = None;
        while let Some(greeted) = greetings.join_next().await {
            let (url, protocol) = (self.target.address(), self.target.protocol_name());
            match greeted.expect("sending does not panic, and nobody cancels it") {
                SendOutcome::Accepted { .. } => {}
                SendOutcome::Refused { reason, .. } => refusal = Some(reason),
                SendOutcome::NotConnected { reason } => {
                    let hint = self.target.hint();
                    return Err(LoadError::NoConnection { url, reason, hint });
                }
                SendOutcome::Unanswered { reason } => {
                    return Err(LoadError::NoAnswer { url, protocol, reason });
                }
            }
        }
        Ok(refusal)
    }
}
