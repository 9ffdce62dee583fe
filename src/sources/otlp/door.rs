//! Listener and TLS: takes connections in, and hands them to the reception.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::desk::Desk;
use super::reception::Claim;
use super::reception::Protocol;
use super::reception::Reception;
use crate::config::ComponentId;
use crate::config::running::Stop;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// After `accept` fails for want of a file descriptor, wait this long rather than spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// One listener.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) claim: Claim,
    /// The largest request.
    pub(super) message_bytes: u64,
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

    /// Accepts connections until stopped. A successor on the same terms takes over those that are
    /// open; without one they finish what they have begun.
    pub(super) async fn run(self, desk: Arc<Desk>, stop: Stop) {
        let Self { listener, tls, claim, message_bytes, linger } = self;
        let tls = tls.map(TlsAcceptor::from);
        let counter = claim.open(desk, message_bytes);
        let reception = claim.reception();
        loop {
            let next = accept(&listener, reception.slots());
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let welcome = welcome(Arc::clone(reception), stream, tls.clone(), slot);
                    reception.connections().spawn(welcome);
                }
                Err(error) => {
                    tracing::warn!(%error, "Connection cannot be accepted.");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
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
    slot: OwnedSemaphorePermit,
) {
    let served = match tls {
        None => reception.serve(stream).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => reception.serve(stream).await,
            Ok(Err(error)) => Err(error.into()),
            Err(late) => Err(late.into()),
        },
    };
    if let Err(error) = served {
        tracing::debug!(error, "Connection ended.");
    }
    drop(slot);
}

/// Waits for a free slot first, so that a connection too many waits in the system's backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}
