//! TLS, both ways: what listeners present and ask for, and what outgoing connections trust. Listeners speak
//! TLS 1.3 only; a backend that has no 1.3 is reached over 1.2 if the configuration says so.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::InvalidDnsNameError;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// Of outgoing connections alone, and if they are told to.
const VERSIONS_WITH_1_2: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

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

/// The lowest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
enum TlsVersion {
    /// TLS 1.2 or 1.3.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[default]
    #[serde(rename = "1.3")]
    V13,
}

impl<'de> Deserialize<'de> for TlsVersion {
    /// `1.2` without quotes is a number in YAML.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VersionVisitor)
    }
}

struct VersionVisitor;

impl Visitor<'_> for VersionVisitor {
    type Value = TlsVersion;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("\"1.2\" or \"1.3\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TlsVersion, E> {
        match text {
            "1.2" => Ok(TlsVersion::V12),
            "1.3" => Ok(TlsVersion::V13),
            _ => Err(E::custom("must be \"1.2\" or \"1.3\"")),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<TlsVersion, E> {
        self.visit_str(&number.to_string())
    }
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTls {
    /// PEM file with the CA certificates to verify the backend; by default those of the system.
    ca: Option<PathBuf>,
    /// PEM file with GopherShip's certificate chain, for mutual TLS; requires `key`.
    cert: Option<PathBuf>,
    /// PEM file with GopherShip's private key.
    key: Option<PathBuf>,
    /// The name that the backend's certificate must have, and that GopherShip asks for (SNI), instead
    /// of the host of the endpoint.
    server_name: Option<String>,
    /// The lowest version of TLS: "1.3", or "1.2" for a backend that has no 1.3. GopherShip itself
    /// accepts TLS 1.3 only.
    min_version: TlsVersion,
    /// Accept any certificate of the backend, so anyone on the network path can read and change what
    /// the sink sends. The log has a warning at each start and reload, `gs-ctl status` shows it, and
    /// `gophership_sink_tls_unverified` is 1.
    insecure_skip_verify: bool,
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

        let versions = match self.min_version {
            TlsVersion::V12 => VERSIONS_WITH_1_2,
            TlsVersion::V13 => VERSIONS,
        };
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let builder = match &self.ca {
            _ if self.insecure_skip_verify => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate))
            }
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

    /// The name to ask for and to verify, if it is not that of the endpoint.
    ///
    /// # Errors
    ///
    /// The text is neither a name nor an address.
    pub fn server_name(&self) -> Result<Option<ServerName<'static>>, InvalidDnsNameError> {
        self.server_name.clone().map(ServerName::try_from).transpose()
    }

    /// Whether any certificate of the backend is accepted.
    #[must_use]
    pub const fn is_unverified(&self) -> bool {
        self.insecure_skip_verify
    }

    /// Whether a certificate is named without its key, or a key without its certificate.
    #[must_use]
    pub const fn is_half(&self) -> bool {
        self.cert.is_some() != self.key.is_some()
    }
}

/// Accepts any certificate, for those who asked for it; who presents it must have its key.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
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
