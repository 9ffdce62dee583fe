//! Listener, TLS and connections. Knows HTTP, and hands every request to one of two protocols.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use super::desk::Desk;
use super::grpc;
use super::http as otlp_http;
use crate::config::ComponentId;
use crate::config::running::Stop;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// After `accept` fails for want of a file descriptor, wait this long rather than spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Most exports then arrive in few frames, and window updates are rare.
const FRAME_BYTES_MAX: u32 = 1 << 20;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// OTLP/gRPC, HTTP/2 only.
    Grpc,
    /// OTLP/HTTP; a gRPC request that comes here is answered as well.
    Http,
}

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) message_bytes: u64,
    pub(super) connections: usize,
    pub(super) streams: u32,
    /// How long a connection may take to end once the source is stopped.
    pub(super) linger: Duration,
}

/// One listener.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) limits: Limits,
}

impl Door {
    /// Says in the log where the door is.
    pub(super) fn announce(&self, source: &ComponentId) {
        let address =
            self.listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
        let protocol = match self.protocol {
            Protocol::Grpc => "OTLP/gRPC",
            Protocol::Http => "OTLP/HTTP",
        };
        tracing::info!(%source, address, tls = self.tls.is_some(), "Listening for {protocol}.");
    }

    /// Accepts connections until stopped; connections then finish what they have begun.
    pub(super) async fn run(self, desk: Arc<Desk>, stop: Stop, connections: TaskTracker) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let reception = Arc::new(Reception {
            desk,
            protocol: self.protocol,
            limits: self.limits,
            tls: self.tls.map(TlsAcceptor::from),
        });
        loop {
            let next = accept(&self.listener, &slots);
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let reception = Arc::clone(&reception);
                    connections.spawn(reception.receive(stream, slot, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "Connection cannot be accepted.");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
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

/// Serves the connections of one door.
struct Reception {
    desk: Arc<Desk>,
    protocol: Protocol,
    limits: Limits,
    tls: Option<TlsAcceptor>,
}

impl Reception {
    async fn receive(self: Arc<Self>, stream: TcpStream, slot: OwnedSemaphorePermit, stop: Stop) {
        let served = match &self.tls {
            None => self.serve(stream, stop).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream, stop).await,
                Ok(Err(error)) => Err(error.into()),
                Err(late) => Err(late.into()),
            },
        };
        if let Err(error) = served {
            tracing::debug!(error, "Connection ended.");
        }
        drop(slot);
    }

    async fn serve<S>(
        &self,
        stream: S,
        stop: Stop,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let builder = self.builder();
        let service = service_fn(|request| self.answer(request));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // What was asked is answered by then; who has sent half a request has not asked yet.
        tokio::time::timeout(self.limits.linger, connection).await?
    }

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
        let desk = Arc::clone(&self.desk);
        let limit = self.limits.message_bytes;
        let is_grpc = self.protocol == Protocol::Grpc || grpc::is_grpc(&request);
        async move {
            if is_grpc {
                grpc::answer(desk, limit, request).await
            } else {
                otlp_http::answer(desk, limit, request).await
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        if self.protocol == Protocol::Grpc {
            builder = builder.http2_only();
        }
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_frame_size(FRAME_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_WITHIN);
        builder
    }
}
