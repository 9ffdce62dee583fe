//! Listener and TLS: takes connections in, and hands them to the reception.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::desk::Desk;
use super::reception::Claim;
use super::reception::Protocol;
use super::reception::Reception;
use crate::config::ComponentId;
use crate::config::connections::Admitted;
use crate::config::connections::Connections;
use crate::config::running::Stop;
use crate::metrics::Metrics;

/// One listener.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) claim: Claim,
    /// How long a connection may take to end once the source is stopped.
    pub(super) linger: Duration,
}

impl Door {
    /// Says in the log where the door is.
    pub(super) fn announce(&self, source: &ComponentId) {
        let address =
            self.listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
        let protocol = match self.claim.protocol() {
            Protocol::Grpc => "OTLP/gRPC",
            Protocol::Http => "OTLP/HTTP",
        };
        tracing::info!(%source, address, tls = self.tls.is_some(), "Listening for {protocol}.");
    }

    /// The connections of this listener, which it admits and counts.
    pub(super) fn connections(&self, source: &ComponentId, metrics: &Metrics) -> Arc<Connections> {
        let protocol = match self.claim.protocol() {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        };
        let name = format!("{source}/{protocol}");
        let metrics = metrics.listener(&name);
        let reception = self.claim.reception();
        let wait_max = reception.timeouts().handshake;
        Connections::new(name, reception.limit(), reception.slots(), wait_max, metrics)
    }

    /// Accepts connections until stopped. A successor on the same terms takes over those that are
    /// open; without one they finish what they have begun.
    pub(super) async fn run(self, desk: Arc<Desk>, connections: Arc<Connections>, stop: Stop) {
        let Self { listener, tls, claim, linger } = self;
        let tls = tls.map(TlsAcceptor::from);
        let counter = claim.open(desk);
        let reception = claim.reception();
        while let Some((stream, _peer)) = connections.accept(|| listener.accept(), &stop).await {
            // One connection waits here for its slot, and the others in the system's backlog.
            let admitted = tokio::select! {
                admitted = connections.admit() => admitted,
                () = stop.cancelled() => {
                    // A successor on the same terms serves it.
                    let late = Arc::clone(&connections);
                    let (reception, tls) = (Arc::clone(reception), tls.clone());
                    let waits = reception.connections().clone();
                    waits.spawn(async move {
                        if let Some(admitted) = late.admit().await {
                            welcome(reception, stream, tls, admitted).await;
                        }
                    });
                    break;
                }
            };
            if let Some(admitted) = admitted {
                let welcome = welcome(Arc::clone(reception), stream, tls.clone(), admitted);
                reception.connections().spawn(welcome);
            }
        }
        if claim.is_newest() {
            reception.close(linger).await;
        }
        counter.finish(linger).await;
    }
}

async fn welcome(
    reception: Arc<Reception>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    mut admitted: Admitted,
) {
    // It only makes small answers faster.
    let _nodelay = stream.set_nodelay(true);
    let activity = Arc::clone(admitted.activity());
    let Some(tls) = tls else {
        let served = reception.serve(stream, activity).await;
        return admitted.ends(served);
    };
    let within = reception.timeouts().handshake;
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(within, tls.accept(stream)) => handshake,
        () = activity.asked_to_close() => return admitted.ends("evicted"),
        () = reception.stopped() => return admitted.ends("stopped"),
    };
    let cause = match handshake {
        Ok(Ok(stream)) => reception.serve(stream, activity).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed.");
            "tls"
        }
        Err(_late) => "handshake_timeout",
    };
    admitted.ends(cause);
}
