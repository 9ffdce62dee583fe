//! One connection to the service: HTTP/2, with limits of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use hyper_util::server::conn::auto::Builder;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use super::access::Peer;
use super::clients;
use super::gate::Gate;
use super::unsent::Taking;
use super::unsent::Unsent;
use super::unsent::Watching;
use crate::component::Admitted;
use crate::component::Stop;
use crate::net::PlainConnection;

/// Requests at the same time.
const STREAMS_MAX: u32 = 32;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What waits for a client that does not read.
const SEND_BYTES_MAX: usize = 256 << 10;
/// A peer that answers no ping is gone, after 20 seconds in all.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);

/// Serves a client until it goes, takes too long, or the listener is to stop; `close` asks it to come again.
pub(super) async fn serve<S>(
    stream: S,
    admitted: Admitted,
    peer: Peer,
    gate: Arc<Gate>,
    stop: Stop,
    close: Option<Stop>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::clone(admitted.activity());
    let peer = Arc::new(peer);
    let unsent = Arc::<Unsent>::default();
    let answers = Arc::clone(&unsent);
    let service = service_fn(move |request| {
        let (gate, peer) = (Arc::clone(&gate), Arc::clone(&peer));
        let unsent = Arc::clone(&answers);
        let answer = async move {
            let answer = gate.answer(peer, request).await;
            Ok::<_, Infallible>(answer.map(|body| Watching::new(body, &unsent)))
        };
        clients::counted(&activity, answer)
    });
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WITHIN);
    let connect = |stream| {
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = PlainConnection::new(connection, auto::Connection::graceful_shutdown);
        Taking { connection, unsent }
    };
    clients::serve(stream, admitted, connect, stop, close).await;
}
