//! The way to a control port: TCP with mutual TLS 1.3.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A control port, and the files that a client proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its host and port, such as `host.example:9092`; `https://` may stand before it.
    pub endpoint: String,
    /// PEM file with the CA certificates that the server must descend from.
    pub ca: PathBuf,
    /// PEM file with the certificate chain of the client.
    pub cert: PathBuf,
    /// PEM file with the private key of the client.
    pub key: PathBuf,
}

/// A control port cannot be used with these options.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("the endpoint {0:?} is not an address like host.example:9092")]
    Endpoint(String),
    /// A file cannot be used.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key does not fit, or the library refuses the certificate.
    #[error("cannot use the client certificate: {0}")]
    Refused(#[from] rustls::Error),
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.address())
    }
}

/// Everything that a handshake needs.
pub(crate) struct Handshake {
    address: String,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl Remote {
    fn address(&self) -> &str {
        let address = self.endpoint.strip_prefix("https://").unwrap_or(&self.endpoint);
        address.strip_suffix('/').unwrap_or(address)
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Handshake, RemoteError> {
        let address = self.address().to_owned();
        let wrong = || RemoteError::Endpoint(self.endpoint.clone());
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| wrong())?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| file(&self.ca, error))?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&self.cert)?, key(&self.key)?)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Handshake { address, name, connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl Handshake {
    /// Connects. That the server accepts the client is known when it has sent its first byte.
    pub(crate) async fn connect(self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        // It only makes small requests faster.
        let _nodelay = stream.set_nodelay(true);
        self.connector.connect(self.name, stream).await
    }
}

fn file(path: &Path, reason: impl fmt::Display) -> RemoteError {
    RemoteError::File { path: path.to_owned(), reason: reason.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RemoteError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| file(path, error))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| file(path, error))?;
    if all.is_empty() {
        return Err(file(path, "it contains no certificate"));
    }
    Ok(all)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, RemoteError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_before_a_file_is_read() {
        for (endpoint, is_address) in [
            ("host.example:9092", true),
            ("https://host.example:9092/", true),
            ("[::1]:9092", true),
            ("host.example", false),
            ("host.example:port", false),
            ("http://host.example:9092", false),
            (":9092", false),
        ] {
            let none = PathBuf::from("/nonexistent");
            let (ca, cert, key) = (none.clone(), none.clone(), none);
            let remote = Remote { endpoint: endpoint.to_owned(), ca, cert, key };
            let error = remote.load().map(|_| ()).unwrap_err();
            let is_file = matches!(error, RemoteError::File { .. });
            assert_eq!(is_file, is_address, "{endpoint}: {error}");
        }
    }
}
