//! Whether a client takes its answers: one that makes no room for what waits for it is cut off.
//!
//! HTTP/2 asks a body for its next frame only when the client has room for it. So a body that has a frame and is
//! not asked waits for its client. The connection asks [`Unsent`] as it does for the writes of its stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;

use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::SizeHint;

use crate::net::GracefulConnection;

/// The answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Bodies that have something for the client.
    waiting: AtomicU32,
    /// How often the client has made room.
    taken: AtomicU64,
}

impl Unsent {
    /// How often the client has made room, if answers wait for it to do so.
    fn get(&self) -> Option<u64> {
        (0 < self.waiting.load(Ordering::Relaxed)).then(|| self.taken.load(Ordering::Relaxed))
    }
}

/// Whether one body has something for the client.
#[derive(Debug)]
struct Mark {
    unsent: Arc<Unsent>,
    is_waiting: AtomicBool,
    /// The body is gone; who still knows its waker may wake it.
    is_over: AtomicBool,
}

impl Mark {
    fn set(&self, is_waiting: bool) {
        let is_waiting = is_waiting && !self.is_over.load(Ordering::Relaxed);
        if self.is_waiting.swap(is_waiting, Ordering::Relaxed) == is_waiting {
            return;
        }
        if is_waiting {
            self.unsent.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.unsent.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Notes that a body has something again, and passes that on.
struct Woken {
    mark: Arc<Mark>,
    waker: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark.set(true);
        self.waker.wake_by_ref();
    }
}

/// A body that shows whether it waits for its client.
pub(super) struct Watching<B> {
    body: B,
    mark: Arc<Mark>,
}

impl<B> Watching<B> {
    /// The body of an answer that is to be sent now.
    pub(super) fn new(body: B, unsent: &Arc<Unsent>) -> Self {
        let (is_waiting, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let mark = Mark { unsent: Arc::clone(unsent), is_waiting, is_over };
        mark.set(true);
        Self { body, mark: Arc::new(mark) }
    }
}

impl<B: Body + Unpin> Body for Watching<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.mark.unsent.taken.fetch_add(1, Ordering::Relaxed);
        // Before the body is asked, so that a wake-up meanwhile counts.
        self.mark.set(false);
        let (mark, waker) = (Arc::clone(&self.mark), context.waker().clone());
        let waker = Waker::from(Arc::new(Woken { mark, waker }));
        let polled = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker));
        if matches!(polled, Poll::Ready(Some(_))) && !self.body.is_end_stream() {
            self.mark.set(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Watching<B> {
    fn drop(&mut self) {
        self.mark.is_over.store(true, Ordering::Relaxed);
        self.mark.set(false);
    }
}

/// A connection whose client has to take its answers.
pub(super) struct Taking<C> {
    /// The connection.
    pub(super) connection: C,
    /// Its answers.
    pub(super) unsent: Arc<Unsent>,
}

impl<C: GracefulConnection> GracefulConnection for Taking<C> {
    type Output = C::Output;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        self.connection.poll(context)
    }

    fn close(&mut self) {
        self.connection.close();
    }

    fn unsent(&self, _requests: u32) -> Option<u64> {
        self.unsent.get()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::BodyExt;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_body_waits_from_when_it_has_a_frame_until_it_is_asked_for_it() {
        let (sender, receiver) = mpsc::channel::<Bytes>(4);
        let frames = stream::unfold(receiver, |mut receiver| async {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, std::io::Error>(Frame::data(bytes)), receiver))
        });
        let unsent = Arc::<Unsent>::default();
        let mut body = Watching::new(StreamBody::new(Box::pin(frames)), &unsent);
        assert_eq!(unsent.get(), Some(0), "nobody asked yet");
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(unsent.get(), None, "there is nothing to take");
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(unsent.get(), Some(1), "the client makes no room");
        assert!(futures_util::poll!(body.frame()).is_ready());
        assert_eq!(unsent.get(), Some(2), "there may be more");
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(unsent.get(), None);
        sender.send(Bytes::from_static(b"b")).await.unwrap();
        assert_eq!(unsent.get(), Some(3));
        drop(body);
        assert_eq!(unsent.get(), None, "it is gone");
    }
}
