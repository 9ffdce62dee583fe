//! The streams of a connection, which go on in the task that reads it.
//!
//! Tasks of their own would be put behind all that their worker has to do already, whole requests in
//! memory, and a connection with several streams would wait for its neighbours: at 10,000 requests a
//! second that was the longest part of the way to their place (`benches/pace.rs`). Here a request goes on
//! as soon as its bytes are read. So one connection keeps one processor busy, and no more; what takes long
//! is done on other threads (`inflate.rs`, `http.rs`).

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::stream::FuturesUnordered;
use futures_util::stream::Stream;
use hyper::rt::Executor;
use parking_lot::Mutex;

use crate::net::GracefulConnection;

/// A request up to its answer.
type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection puts the streams that begin. The lock is free: both sides are in one task.
#[derive(Clone, Default)]
pub(super) struct NewStreams(Arc<Mutex<Vec<Exchange>>>);

impl NewStreams {
    fn take(&self) -> Vec<Exchange> {
        mem::take(&mut *self.0.lock())
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for NewStreams {
    fn execute(&self, exchange: F) {
        self.0.lock().push(Box::pin(exchange));
    }
}

/// A connection and its streams; ends with the connection, and drops what streams are left then: nobody
/// would get their answers.
pub(super) struct WithStreams<C> {
    connection: Pin<Box<C>>,
    new: NewStreams,
    streams: FuturesUnordered<Exchange>,
    /// Streams that have ended.
    ended: u64,
    close: fn(Pin<&mut C>),
}

impl<C> WithStreams<C> {
    /// The connection puts its streams into `new`, and ends after `close` when they have ended.
    pub(super) fn new(connection: C, new: NewStreams, close: fn(Pin<&mut C>)) -> Self {
        let (connection, streams) = (Box::pin(connection), FuturesUnordered::new());
        Self { connection, new, streams, ended: 0, close }
    }
}

impl<C: Future> GracefulConnection for WithStreams<C> {
    type Output = C::Output;

    fn close(&mut self) {
        (self.close)(self.connection.as_mut());
    }

    /// A stream that is not being answered any more has its answer, and cannot get rid of it.
    fn unsent(&self, requests: u32) -> Option<u64> {
        let is_stuck =
            usize::try_from(requests).is_ok_and(|requests| requests < self.streams.len());
        is_stuck.then_some(self.ended)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        let result = self.connection.as_mut().poll(context);
        let new = self.new.take();
        self.streams.extend(new);
        // Also if the connection has ended: what came last may be a whole request, which can be kept.
        while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(context) {
            self.ended += 1;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    use super::*;

    /// Polls once a connection that begins two streams, of which one never ends, and then is `result`.
    /// Returns what that gave, and how many streams got to their end.
    async fn poll_once(result: Poll<u8>) -> (Poll<u8>, u32) {
        let (new, ended) = (NewStreams::default(), Arc::<AtomicU32>::default());
        let (begin, counter) = (new.clone(), Arc::clone(&ended));
        let connection = poll_fn(move |_| {
            begin.execute(pending());
            let counter = Arc::clone(&counter);
            begin.execute(async move {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            result
        });
        let mut connection = WithStreams::new(connection, new, |_| {});
        let polled = poll_fn(|context| Poll::Ready(connection.poll(context))).await;
        (polled, ended.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_stream_goes_on_at_once_and_past_one_that_waits() {
        assert_eq!(poll_once(Poll::Pending).await, (Poll::Pending, 1));
    }

    #[tokio::test]
    async fn what_came_before_the_end_of_a_connection_is_taken() {
        assert_eq!(poll_once(Poll::Ready(7)).await, (Poll::Ready(7), 1));
    }

    #[tokio::test]
    async fn a_stream_that_is_woken_wakes_its_connection() {
        let (new, notify) = (NewStreams::default(), Arc::<tokio::sync::Notify>::default());
        let ended = Arc::<AtomicU32>::default();
        let (woken, counter) = (Arc::clone(&notify), Arc::clone(&ended));
        new.execute(async move {
            woken.notified().await;
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut connection = WithStreams::new(pending::<()>(), new, |_| {});
        let connection = tokio::spawn(async move {
            poll_fn(|context| connection.poll(context)).await;
        });
        tokio::task::yield_now().await;
        notify.notify_one();
        while ended.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        connection.abort();
    }
}
