//! Listener and TLS: takes connections in, and hands them to the connection server.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection_server::ConnectionOwnership;
use super::connection_server::ConnectionServer;
use super::ingest_handler::IngestHandler;
use super::listener_protocol::ListenerProtocol;
use crate::component::Admitted;
use crate::component::ComponentId;
use crate::component::Connections;
use crate::component::Stop;
use crate::metrics::Metrics;
use crate::metrics::ShownCertificate;

/// One listener.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// Its certificate, in the metrics.
    pub(super) certificate: Option<ShownCertificate>,
    pub(super) claim: ConnectionOwnership,
    /// How long a connection may take to end once the source is stopped.
    pub(super) linger: Duration,
}

impl Listener {
    /// Says in the log its address.
    pub(super) fn announce(&self, source: &ComponentId) {
        let address = self.socket.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
        let protocol = match self.claim.protocol() {
            ListenerProtocol::Grpc => "OTLP/gRPC",
            ListenerProtocol::Http => "OTLP/HTTP",
        };
        tracing::info!(%source, address, tls = self.tls.is_some(), "Listening for {protocol}.");
    }

    /// The connections of this listener, which it admits and counts.
    pub(super) fn connections(&self, source: &ComponentId, metrics: &Metrics) -> Arc<Connections> {
        let protocol = match self.claim.protocol() {
            ListenerProtocol::Grpc => "grpc",
            ListenerProtocol::Http => "http",
        };
        let name = format!("{source}/{protocol}");
        let metrics = metrics.listener(&name);
        let connection_server = self.claim.connection_server();
        let wait_max = connection_server.timeouts().handshake;
        Connections::new(
            name,
            connection_server.limit(),
            connection_server.slots(),
            wait_max,
            metrics,
        )
    }

    /// Accepts connections until stopped. A successor on the same terms takes over those that are
    /// open; without one they finish what they have begun.
    pub(super) async fn run(
        self,
        handler: Arc<IngestHandler>,
        connections: Arc<Connections>,
        stop: Stop,
    ) {
        let Self { socket, tls, certificate: _shown, claim, linger } = self;
        let tls = tls.map(TlsAcceptor::from);
        let active = claim.open(handler);
        let connection_server = claim.connection_server();
        while let Some((stream, _peer)) = connections.accept(|| socket.accept(), &stop).await {
            // One connection waits here for its slot, and the others in the system's backlog.
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => {
                    // A successor on the same terms serves it.
                    let late = Arc::clone(&connections);
                    let (connection_server, tls) = (Arc::clone(connection_server), tls.clone());
                    let waits = connection_server.connections().clone();
                    waits.spawn(async move {
                        if let Some(admitted) = late.admit().await {
                            welcome(connection_server, stream, tls, admitted).await;
                        }
                    });
                    break;
                }
            };
            if let Some(admitted) = admitted {
                let welcome = welcome(Arc::clone(connection_server), stream, tls.clone(), admitted);
                connection_server.connections().spawn(welcome);
            }
        }
        if claim.is_newest() {
            connection_server.close(linger).await;
        }
        active.finish(linger).await;
    }
}

async fn welcome(
    connection_server: Arc<ConnectionServer>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    mut admitted: Admitted,
) {
    // It only makes small answers faster.
    let _nodelay = stream.set_nodelay(true);
    let activity = Arc::clone(admitted.activity());
    let Some(tls) = tls else {
        let served = connection_server.serve(stream, activity).await;
        return admitted.ends(served);
    };
    let within = connection_server.timeouts().handshake;
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(within, tls.accept(stream)) => handshake,
        () = activity.asked_to_close() => return admitted.ends("evicted"),
        () = connection_server.stopped() => return admitted.ends("stopped"),
    };
    let cause = match handshake {
        Ok(Ok(stream)) => connection_server.serve(stream, activity).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed.");
            "tls"
        }
        Err(_late) => "handshake_timeout",
    };
    admitted.ends(cause);
}
