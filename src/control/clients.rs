//! The clients of a listener of the management plane: how many there may be, and how long they may take.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http::Response;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::SizeHint;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::component::Admitted;
use crate::component::Connections;
use crate::component::Stop;
use crate::metrics::Metrics;
use crate::net::ActiveRequest;
use crate::net::Activity;
use crate::net::ConnectionEnd;
use crate::net::ConnectionSlots;
use crate::net::ConnectionTimeouts;
use crate::net::GracefulConnection;
use crate::net::Tending;
use crate::net::Watched;

/// At the same time, on each listener.
const CONNECTIONS_MAX: usize = 64;
/// Clients ask as soon as they are connected.
const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
    handshake: Duration::from_secs(5),
    first_request: Duration::from_secs(30),
    header: Duration::from_secs(5),
    write: Duration::from_secs(10),
    // Longer than those wait who come for metrics.
    idle: Duration::from_mins(5),
    age: None,
    age_grace: Duration::from_secs(10),
};

/// Whoever came with a certificate proves now and then that it is valid still.
const REMOTE_TIMEOUTS: ConnectionTimeouts =
    ConnectionTimeouts { age: Some(Duration::from_hours(12)), age_grace: CLOSE_WITHIN, ..TIMEOUTS };
/// Who is asked to come again has so long to end what he has begun.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Admits the clients of one listener, which `metrics` call so.
pub(super) fn connections(listener: &str, metrics: &Metrics) -> Arc<Connections> {
    let slots = ConnectionSlots::new(CONNECTIONS_MAX, None);
    let figures = metrics.listener(listener);
    Connections::new(listener.to_owned(), CONNECTIONS_MAX, slots, TIMEOUTS.handshake, figures)
}

/// Serves one client until it goes, takes too long, or the listener is to stop; `close` asks it to come
/// again.
pub(super) async fn serve<S, C, F, T, E>(
    stream: S,
    mut admitted: Admitted,
    connect: F,
    stop: Stop,
    close: Option<Stop>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    C: GracefulConnection<Output = Result<T, E>>,
    F: FnOnce(Watched<S>) -> C,
    E: std::fmt::Display,
{
    let activity = Arc::clone(admitted.activity());
    let mut connection = connect(Watched::new(stream, Arc::clone(&activity)));
    let timeouts = if close.is_some() { REMOTE_TIMEOUTS } else { TIMEOUTS };
    // Nobody waits for these clients when the process ends.
    let (asked, cut) = (stop.child_token(), stop.child_token());
    let leave = async {
        match close {
            Some(close) => close.cancelled().await,
            None => std::future::pending().await,
        }
        asked.cancel();
        tokio::time::sleep(CLOSE_WITHIN).await;
        cut.cancel();
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        served = Tending::new(activity, timeouts).serve(&mut connection, &asked, &cut) => served,
        () = leave => return,
    };
    if let ConnectionEnd::Ended(Err(error)) = &served {
        tracing::debug!(%error, "Control or metrics connection ended.");
    }
    admitted.ends(served.cause());
}

/// How long a TLS handshake may take.
pub(super) const HANDSHAKE_WITHIN: Duration = TIMEOUTS.handshake;

/// Counts a request until its answer is sent to the end.
pub(super) fn counted<A, B, E>(
    activity: &Arc<Activity>,
    answer: A,
) -> impl Future<Output = Result<Response<TrackedBody<B>>, E>> + use<A, B, E>
where
    A: Future<Output = Result<Response<B>, E>>,
{
    let request = activity.begin();
    async move { answer.await.map(|answer| answer.map(|body| TrackedBody { body, _request: request })) }
}

/// The body of an answer, which ends with its request.
pub(super) struct TrackedBody<B> {
    body: B,
    _request: ActiveRequest,
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
