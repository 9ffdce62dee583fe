//! TLS 1.3, both ways: what listeners present and ask for, and what outgoing connections trust.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A certificate, a key or the two together cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A PEM file cannot be read, or holds nothing of the kind.
    #[error("cannot read {path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds nothing of the kind.
    #[error("{path} contains no {what}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The key does not fit, or the library refuses the certificates.
    #[error("cannot use the certificates: {0}")]
    Refused(#[from] rustls::Error),
    /// The certificates that clients must descend from cannot be used.
    #[error("cannot use client_ca: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// TLS of a listener. TLS 1.3 only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate chain.
    cert: PathBuf,
    /// PEM file with the private key.
    key: PathBuf,
    /// PEM file with the CA certificates for client certificates. Without it GopherShip requires no
    /// client certificate.
    #[serde(default)]
    client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// The options that name files, and the files.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("cert", Some(&self.cert)),
            ("key", Some(&self.key)),
            ("client_ca", self.client_ca.as_ref()),
        ];
        all.into_iter().filter_map(|(option, path)| Some((option, path?.as_path())))
    }

    /// Reads the files and makes the configuration of a listener.
    ///
    /// # Errors
    ///
    /// [`TlsError`] that names the file at fault.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_single_cert(certificates(&self.cert)?, key(&self.key)?)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// TLS of the management service. TLS 1.3 only; each client must present a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// PEM file with the certificate chain of the server.
    cert: PathBuf,
    /// PEM file with the private key of the server.
    key: PathBuf,
    /// PEM file with the CA certificates that client certificates must descend from.
    client_ca: PathBuf,
    /// PEM file with certificate revocation lists, one for each CA of the chain. GopherShip refuses
    /// revoked clients, and clients whose CA has no list in the file.
    #[serde(default)]
    crl: Option<PathBuf>,
}

impl MutualTls {
    /// Reads the files and makes the configuration of a listener. It resumes no sessions: each
    /// connection proves its certificate.
    ///
    /// # Errors
    ///
    /// [`TlsError`] that names the file at fault.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let roots = Arc::new(roots(&self.client_ca)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if let Some(path) = &self.crl {
            verifier = verifier.with_crls(revocation_lists(path)?);
        }
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .with_client_cert_verifier(verifier.build()?)
            .with_single_cert(certificates(&self.cert)?, key(&self.key)?)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// The file with the certificate chain of the server.
    #[must_use]
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The files that it reads.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let all = [Some(&self.cert), Some(&self.key), Some(&self.client_ca), self.crl.as_ref()];
        all.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// TLS towards a backend. TLS 1.3 only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTls {
    /// PEM file with the CA certificates to verify the backend; by default those of the system.
    ca: Option<PathBuf>,
    /// PEM file with GopherShip's certificate chain, for mutual TLS; requires `key`.
    cert: Option<PathBuf>,
    /// PEM file with GopherShip's private key.
    key: Option<PathBuf>,
}

impl ClientTls {
    /// The options that name files, and the files.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        all.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    /// Reads the files and makes the configuration of a connector.
    ///
    /// # Errors
    ///
    /// [`TlsError`] that names the file at fault.
    pub fn load(&self) -> Result<ClientConfig, TlsError> {
        use hyper_rustls::ConfigBuilderExt;

        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let builder = match &self.ca {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => builder.with_native_roots().map_err(|error| {
                TlsError::Refused(rustls::Error::General(format!(
                    "the system has no root certificates: {error}"
                )))
            })?,
        };
        match (&self.cert, &self.key) {
            (Some(cert), Some(path)) => {
                Ok(builder.with_client_auth_cert(certificates(cert)?, key(path)?)?)
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }

    /// Whether a certificate is named without its key, or a key without its certificate.
    #[must_use]
    pub const fn is_half(&self) -> bool {
        self.cert.is_some() != self.key.is_some()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), source };
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(pem)?;
    let lists: Vec<_> = lists.collect::<Result<_, _>>().map_err(pem)?;
    if lists.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), what: "certificate revocation list" });
    }
    Ok(lists)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}
