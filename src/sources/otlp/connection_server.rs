//! Open connections. They outlive the source that accepted them: a source that replaces it on the
//! same terms takes over its connections, and requests go to the handler in force when they come.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_http2::Limits;
use gophership_http2::Windows;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;

use super::active_handler::ActiveHandler;
use super::active_handler::ActiveHandlers;
use super::admission::ConnectionShare;
use super::connection;
use super::connection::Http2Server;
use super::grpc;
use super::http as otlp_http;
use super::http2::Http2Connection;
use super::http2::Http2Terms;
use super::ingest_handler::IngestHandler;
use super::listener_protocol::ListenerProtocol;
use super::streams::NewStreams;
use super::streams::WithStreams;
use crate::component::Stop;
use crate::net::Activity;
use crate::net::ConnectionEnd;
use crate::net::ConnectionSlots;
use crate::net::ConnectionTimeouts;
use crate::net::Descriptors;
use crate::net::Opened;
use crate::net::Opening;
use crate::net::Rewound;
use crate::net::Tending;
use crate::net::Watched;
use crate::tls::ServerTls;

/// An HTTP/2 peer that answers no ping is gone, after 20 seconds in all.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// What a sender may have sent before anybody has read it, and so before it is counted: large enough
/// that most exports arrive in one or two frames, small beside the memory budget.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What HTTP/2 gives a connection before anybody has said anything.
const WINDOW_BYTES_MIN: u32 = 65_535;
const FRAME_BYTES_MAX: u32 = STREAM_WINDOW_BYTES;
const HTTP1_READ_BYTES_MAX: usize = 128 << 10;
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// What was agreed on when a connection was made; on other terms it must be made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) protocol: ListenerProtocol,
    pub(super) tls: Option<ServerTls>,
    /// At the same time.
    pub(super) connections: usize,
    /// The maximum number of concurrent requests per connection.
    pub(super) streams: u32,
    /// Timeouts of connections.
    pub(super) timeouts: ConnectionTimeouts,
    pub(super) http2: Http2Server,
}

/// The connections of one address.
pub(super) struct ConnectionServer {
    terms: Terms,
    slots: Arc<ConnectionSlots>,
    connections: TaskTracker,
    handlers: ActiveHandlers,
    /// The number of the newest claim, and how many there have been.
    newest: Mutex<u64>,
    claims: AtomicU64,
    /// Asks the connections to end.
    stop: Stop,
    /// Ends them.
    cut: Stop,
}

impl ConnectionServer {
    pub(super) fn new(terms: Terms, descriptors: Arc<Descriptors>) -> Self {
        Self {
            slots: ConnectionSlots::new(terms.connections, Some(descriptors)),
            terms,
            connections: TaskTracker::new(),
            handlers: ActiveHandlers::default(),
            newest: Mutex::new(0),
            claims: AtomicU64::new(0),
            stop: Stop::new(),
            cut: Stop::new(),
        }
    }

    /// Whether connections made on these terms may stay.
    pub(super) fn is_on(&self, terms: &Terms) -> bool {
        self.terms == *terms
    }

    /// Announces a source that will take over.
    pub(super) fn claim(self: Arc<Self>) -> ConnectionOwnership {
        let number = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        let previous = std::mem::replace(&mut *self.lock(), number);
        ConnectionOwnership {
            connection_server: self,
            number,
            previous,
            is_open: AtomicBool::new(false),
        }
    }

    pub(super) fn slots(&self) -> Arc<ConnectionSlots> {
        Arc::clone(&self.slots)
    }

    pub(super) const fn limit(&self) -> usize {
        self.terms.connections
    }

    pub(super) const fn timeouts(&self) -> &ConnectionTimeouts {
        &self.terms.timeouts
    }

    pub(super) const fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Waits until connections are asked to end.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Lets connections finish what they have begun, for at most `linger`.
    pub(super) async fn close(&self, linger: Duration) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(linger, self.connections.wait()).await.is_err() {
            tracing::debug!(
                left = self.connections.len(),
                "Closing connections that did not end in time."
            );
            self.cut.cancel();
        }
        // The handler holds the way into the pipeline open.
        self.handlers.close();
    }

    /// Serves one connection, and returns why it ended.
    pub(super) async fn serve<S>(&self, stream: S, activity: Arc<Activity>) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Watched::new(stream, Arc::clone(&activity));
        let timeouts = connection::spread(self.terms.timeouts);
        match (self.terms.http2, self.terms.protocol) {
            (Http2Server::Hyper, _) => {
                let stream = Rewound::new(Vec::new(), stream);
                self.serve_hyper(stream, activity, timeouts).await
            }
            (Http2Server::Builtin, ListenerProtocol::Grpc) => {
                self.serve_builtin(stream, Vec::new(), activity, timeouts).await
            }
            (Http2Server::Builtin, ListenerProtocol::Http) => {
                self.serve_either(stream, activity, timeouts).await
            }
        }
    }

    /// Serves one connection of which only its first bytes tell what it speaks: HTTP/2 with our own server, HTTP/1
    /// with hyper.
    async fn serve_either<S>(
        &self,
        stream: Watched<S>,
        activity: Arc<Activity>,
        timeouts: ConnectionTimeouts,
    ) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut opening = Opening::new(stream, Arc::clone(&activity));
        let tending = Tending::new(Arc::clone(&activity), timeouts);
        let served = tending.serve(&mut opening, &self.stop, &self.cut).await;
        let cause = served.cause();
        let ConnectionEnd::Ended(Ok(Opened { stream, first, is_http2 })) = served else {
            return cause;
        };
        if is_http2 {
            return self.serve_builtin(stream, first, activity, timeouts).await;
        }
        self.serve_hyper(Rewound::new(first, stream), activity, timeouts).await
    }

    /// Serves one connection with hyper. For one type of stream: each further one would be another copy of hyper.
    async fn serve_hyper<S>(
        &self,
        stream: Rewound<Watched<S>>,
        activity: Arc<Activity>,
        timeouts: ConnectionTimeouts,
    ) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let streams = NewStreams::default();
        let builder = self.builder(self.handlers.delay_severity(), streams.clone());
        let share = Arc::new(ConnectionShare::new());
        let service = service_fn(|request| self.answer(request, &activity, &share));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection =
            WithStreams::new(connection, streams, auto::Connection::graceful_shutdown);
        let tending = Tending::new(Arc::clone(&activity), timeouts);
        let served = tending.serve(&mut connection, &self.stop, &self.cut).await;
        if let ConnectionEnd::Ended(Err(error)) = &served {
            tracing::debug!(error, "Connection ended.");
        }
        served.cause()
    }

    /// Serves one connection, of which the `first` bytes were read already, with our own HTTP/2.
    async fn serve_builtin<S>(
        &self,
        stream: Watched<S>,
        first: Vec<u8>,
        activity: Arc<Activity>,
        timeouts: ConnectionTimeouts,
    ) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let terms = self.http2_terms(&timeouts);
        let mut connection = Http2Connection::new(stream, first, &terms, &self.handlers, &activity);
        let tending = Tending::new(activity, timeouts);
        let served = tending.serve(&mut connection, &self.stop, &self.cut).await;
        if let ConnectionEnd::Ended(Err(error)) = &served {
            tracing::debug!(%error, "Connection ended.");
            // Which limit it exceeded says more than that it failed.
            return error.limit().unwrap_or_else(|| served.cause());
        }
        served.cause()
    }

    /// The terms of the built-in HTTP/2. What a connection may do before its first request, and without one, is in
    /// `ConnectionTimeouts` and watched over by [`Tending`].
    fn http2_terms(&self, timeouts: &ConnectionTimeouts) -> Http2Terms {
        let stream_bytes = window(STREAM_WINDOW_BYTES, self.handlers.delay_severity());
        let limits = Limits {
            concurrent_streams: self.terms.streams,
            header_list_bytes: HEADER_BYTES_MAX,
            ..Limits::default()
        };
        let timeouts = gophership_http2::Timeouts {
            preface: None,
            header_block: Some(timeouts.header),
            request_progress: self.handlers.read_idle(),
            idle: None,
            keepalive_every: Some(KEEPALIVE_EVERY),
            keepalive_within: KEEPALIVE_WITHIN,
            ..gophership_http2::Timeouts::default()
        };
        let windows = Windows { stream_bytes, ..Windows::default() };
        Http2Terms { limits, timeouts, windows, protocol: self.terms.protocol }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
        share: &Arc<ConnectionShare>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
        let (begun, share) = (activity.begin(), Arc::clone(share));
        let active = self.handlers.active();
        let is_grpc = self.terms.protocol == ListenerProtocol::Grpc
            || grpc::is_grpc(request.version(), request.headers());
        async move {
            let Some((handler, _present)) = active else {
                return Ok(Status::unavailable("the source is not ready yet").into_http());
            };
            if is_grpc {
                grpc::answer(handler, request, begun, share).await
            } else {
                otlp_http::answer(handler, request, begun, share).await
            }
        }
    }

    /// `severity` is how slow answers are, from 0 to 1: then a sender may send less before it is read.
    fn builder(&self, severity: f64, streams: NewStreams) -> Builder<NewStreams> {
        let mut builder = Builder::new(streams);
        if self.terms.protocol == ListenerProtocol::Grpc {
            builder = builder.http2_only();
        } else if self.terms.http2 == Http2Server::Builtin {
            builder = builder.http1_only();
        }
        builder
            .http1()
            .timer(TokioTimer::new())
            // Headers, and the time between requests, have timeouts of their own.
            .header_read_timeout(None)
            .max_buf_size(HTTP1_READ_BYTES_MAX)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.terms.streams)
            .max_frame_size(FRAME_BYTES_MAX)
            .initial_stream_window_size(window(STREAM_WINDOW_BYTES, severity))
            .initial_connection_window_size(window(CONNECTION_WINDOW_BYTES, severity))
            .max_header_list_size(HEADER_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_WITHIN);
        builder
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.newest.lock()
    }
}

/// From all of a window down to what the protocol gives everybody.
fn window(bytes: u32, severity: f64) -> u32 {
    let above = f64::from(bytes - WINDOW_BYTES_MIN) * (1.0 - severity.clamp(0.0, 1.0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "part of a u32")]
    let above = above as u32;
    WINDOW_BYTES_MIN + above
}

/// The right of one source to the connections of an address, until a newer one has it. A source that
/// was built and never run gives it back.
pub(super) struct ConnectionOwnership {
    connection_server: Arc<ConnectionServer>,
    number: u64,
    previous: u64,
    is_open: AtomicBool,
}

impl ConnectionOwnership {
    pub(super) const fn connection_server(&self) -> &Arc<ConnectionServer> {
        &self.connection_server
    }

    pub(super) fn protocol(&self) -> ListenerProtocol {
        self.connection_server.terms.protocol
    }

    /// Requests come to this handler from now on.
    pub(super) fn open(&self, handler: Arc<IngestHandler>) -> Arc<ActiveHandler> {
        let active = self.connection_server.handlers.open(handler);
        self.is_open.store(true, Ordering::Relaxed);
        active
    }

    /// Whether nobody has come to take over.
    pub(super) fn is_newest(&self) -> bool {
        *self.connection_server.lock() == self.number
    }
}

impl Drop for ConnectionOwnership {
    fn drop(&mut self) {
        let mut newest = self.connection_server.lock();
        if !self.is_open.load(Ordering::Relaxed) && *newest == self.number {
            *newest = self.previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_to_what_the_protocol_gives_everybody() {
        for bytes in [STREAM_WINDOW_BYTES, CONNECTION_WINDOW_BYTES] {
            assert_eq!(window(bytes, 0.0), bytes);
            assert_eq!(window(bytes, 1.0), WINDOW_BYTES_MIN);
            let half = window(bytes, 0.5);
            assert!(WINDOW_BYTES_MIN < half && half < bytes, "{half}");
        }
    }
}
