//! The clients of a listener of the management plane: how many there may be, and how long they may take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::component::Admitted;
use crate::component::Connections;
use crate::component::Stop;
use crate::metrics::Metrics;
use crate::net::Activity;
use crate::net::Connection;
use crate::net::ConnectionSlots;
use crate::net::Served;
use crate::net::Tending;
use crate::net::Timeouts;
use crate::net::Watched;

/// At the same time, on each listener.
const CONNECTIONS_MAX: usize = 64;
/// Clients ask as soon as they are connected.
const TIMEOUTS: Timeouts = Timeouts {
    handshake: Duration::from_secs(5),
    first_request: Duration::from_secs(30),
    header: Duration::from_secs(5),
    write: Duration::from_secs(10),
    // Longer than those wait who come for metrics.
    idle: Duration::from_mins(5),
    age: None,
    age_grace: Duration::from_secs(10),
};

/// Admits the clients of one listener, which `metrics` call so.
pub(super) fn connections(listener: &str, metrics: &Metrics) -> Arc<Connections> {
    let slots = ConnectionSlots::new(CONNECTIONS_MAX, None);
    let figures = metrics.listener(listener);
    Connections::new(listener.to_owned(), CONNECTIONS_MAX, slots, TIMEOUTS.handshake, figures)
}

/// Serves one client until it goes, takes too long, or the listener is to stop.
pub(super) async fn serve<S, C, F, T, E>(stream: S, mut admitted: Admitted, connect: F, stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection<Output = Result<T, E>>,
    F: FnOnce(Watched<S>) -> C,
    E: std::fmt::Debug,
{
    let activity = Arc::clone(admitted.activity());
    let mut connection = connect(Watched::new(stream, Arc::clone(&activity)));
    // Nobody waits for these clients when the process ends.
    let served = Tending::new(activity, TIMEOUTS).serve(&mut connection, &stop, &stop).await;
    if let Served::Ended(Err(error)) = &served {
        tracing::debug!(?error, "Control or metrics connection ended.");
    }
    admitted.ends(served.cause());
}

/// Counts a request as long as it is answered.
pub(super) fn counted<A: Future>(
    activity: &Arc<Activity>,
    answer: A,
) -> impl Future<Output = A::Output> + use<A> {
    let begun = activity.begin();
    async move {
        let answer = answer.await;
        drop(begun);
        answer
    }
}
