//! The control port: TCP with mutual TLS. Whoever has no valid certificate is refused in the handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::access::Identity;
use super::access::Peer;
use super::certificate_names::CertificateNames;
use super::certificates::Certificates;
use super::clients;
use super::connection;
use super::gate::Gate;
use crate::component::Admitted;
use crate::component::Stop;
use crate::metrics::Metrics;
use crate::tls::MutualTls;
use crate::tls::TlsError;

/// A client that was refused may read why for so long, and send this much meanwhile.
const REFUSED_LINGER: Duration = Duration::from_secs(1);
const REFUSED_BYTES_MAX: u64 = 64 << 10;

/// The control port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlPortError {
    /// The system refuses the address.
    #[error("cannot listen on {address} for control.listen: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("cannot use control.tls: {0}")]
    Tls(#[from] TlsError),
}

/// The listener for clients with certificates.
pub struct ControlPort {
    listener: TcpListener,
    certificates: Arc<Certificates>,
}

/// The certificates of a control port that is served. Cheap to clone.
#[derive(Clone)]
pub struct PortCertificates(Arc<Certificates>);

impl PortCertificates {
    /// Reads certificates.
    ///
    /// # Errors
    ///
    /// [`TlsError`] that names the file at fault.
    pub fn load(options: MutualTls) -> Result<Self, TlsError> {
        Certificates::load(options).map(|loaded| Self(Arc::new(loaded)))
    }

    /// Follows a reload: takes over other options, or reads the same files again if they changed or could
    /// not be used. Clients that these let in prove themselves again.
    pub fn follow(&self, other: &Self) {
        if !self.0.has_options_of(&other.0) {
            self.0.replace(&other.0);
        }
        self.0.refresh(true);
    }
}

impl ControlPort {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// [`ControlPortError`].
    pub async fn bind(
        address: SocketAddr,
        certificates: PortCertificates,
    ) -> Result<Self, ControlPortError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ControlPortError::Listen { address, source })?;
        Ok(Self { listener, certificates: certificates.0 })
    }

    /// Answers until stopped.
    pub async fn serve(self, gate: Arc<Gate>, metrics: Arc<Metrics>, stop: Stop) {
        let address = self.listener.local_addr();
        let address = address.map_or_else(|_| String::new(), |address| address.to_string());
        tracing::info!(address, "Listening for gs-ctl with mutual TLS.");
        let connections = clients::connections("control_tls", &metrics);
        tokio::spawn(Arc::clone(&self.certificates).follow(Arc::clone(&metrics), stop.clone()));
        while let Some((stream, from)) = connections.accept(|| self.listener.accept(), &stop).await
        {
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => return,
            };
            let Some(admitted) = admitted else {
                gate.audit.refuse_unknown(&from.to_string(), "connect", "too many connections");
                continue;
            };
            let welcome = Welcome { gate: Arc::clone(&gate), from, stop: stop.clone() };
            tokio::spawn(welcome.serve(stream, admitted, Arc::clone(&self.certificates)));
        }
    }
}

/// What a new connection is served with.
struct Welcome {
    gate: Arc<Gate>,
    from: SocketAddr,
    stop: Stop,
}

impl Welcome {
    async fn serve(
        self,
        stream: TcpStream,
        mut admitted: Admitted,
        certificates: Arc<Certificates>,
    ) {
        // It only makes small answers faster.
        let _nodelay = stream.set_nodelay(true);
        let loaded = certificates.current();
        let activity = Arc::clone(admitted.activity());
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.config));
        let handshake = acceptor.accept(stream).into_fallible();
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(clients::HANDSHAKE_WITHIN, handshake) => handshake,
            () = activity.asked_to_close() => return admitted.ends("evicted"),
            () = self.stop.cancelled() => return admitted.ends("stopped"),
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                admitted.ends("tls");
                self.refuse(&error.to_string());
                return linger(stream).await;
            }
            Err(_late) => {
                self.refuse("the TLS handshake took too long");
                return admitted.ends("handshake_timeout");
            }
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(|it: &CertificateDer<'_>| CertificateNames::of(it));
        // The handshake fails without a certificate; this is in case that ever changes.
        let Some(names) = names else { return self.refuse("no client certificate") };
        let identity = Identity::Certificate(names);
        let peer = Peer { identity, from: self.from.to_string() };
        let close = Some(loaded.retired.clone());
        connection::serve(stream, admitted, peer, self.gate, self.stop, close).await;
    }

    fn refuse(&self, outcome: &str) {
        self.gate.audit.refuse_unknown(&self.from.to_string(), "connect", outcome);
    }
}

/// Reads on for a moment: if the stream were closed at once, the client would not see why.
async fn linger(mut stream: TcpStream) {
    let read_on = async {
        stream.shutdown().await?;
        let mut rest = stream.take(REFUSED_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // It has been refused; whatever else happens to it is its own affair.
    let _end = tokio::time::timeout(REFUSED_LINGER, read_on).await;
}
