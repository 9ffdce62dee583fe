//! The first bytes of a connection: they tell HTTP/2 from HTTP/1, and whoever serves it reads them again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use super::activity::Activity;
use super::activity::PREFACE;
use super::activity::Speaks;
use super::tending::GracefulConnection;
use super::watched::Watched;

/// A connection that has not said yet what it speaks. It is tended like any other, so the time for its
/// handshake counts from its first moment.
#[derive(Debug)]
pub struct Opening<S> {
    /// Until it is known.
    stream: Option<Watched<S>>,
    activity: Arc<Activity>,
    first: [u8; PREFACE.len()],
    len: usize,
    is_closing: bool,
}

/// A connection that has said what it speaks.
#[derive(Debug)]
pub struct Opened<S> {
    /// Where the rest comes from.
    pub stream: Watched<S>,
    /// What has come: at most the preface of HTTP/2.
    pub first: Vec<u8>,
    /// Whether that is the preface of HTTP/2.
    pub is_http2: bool,
}

impl<S> Opening<S> {
    /// Begins with a stream that nobody has read; its activity is noted there.
    pub const fn new(stream: Watched<S>, activity: Arc<Activity>) -> Self {
        let first = [0; PREFACE.len()];
        Self { stream: Some(stream), activity, first, len: 0, is_closing: false }
    }
}

impl<S: AsyncRead + Unpin> GracefulConnection for Opening<S> {
    type Output = io::Result<Opened<S>>;

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut has_ended = self.is_closing;
        while let Some(stream) = &mut self.stream {
            let speaks = self.activity.speaks();
            if has_ended || speaks != Speaks::Unknown {
                break;
            }
            // Not a byte more than the preface, so nothing else is ever kept here.
            let mut rest = ReadBuf::new(&mut self.first[self.len..]);
            ready!(Pin::new(stream).poll_read(context, &mut rest))?;
            has_ended = rest.filled().is_empty();
            self.len += rest.filled().len();
        }
        // Polled after its end it has nothing more to say.
        let Some(stream) = self.stream.take() else { return Poll::Pending };
        let first = self.first[..self.len].to_vec();
        let is_http2 = self.activity.speaks() == Speaks::Http2;
        Poll::Ready(Ok(Opened { stream, first, is_http2 }))
    }

    fn close(&mut self) {
        self.is_closing = true;
    }
}

/// A stream some of whose bytes were read already: they come first.
#[derive(Debug)]
pub struct Rewound<S> {
    first: Vec<u8>,
    read: usize,
    stream: S,
}

impl<S> Rewound<S> {
    /// Puts bytes in front of the rest of a stream.
    pub const fn new(first: Vec<u8>, stream: S) -> Self {
        Self { first, read: 0, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = &this.first[this.read..];
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let len = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..len]);
        this.read += len;
        if this.read == this.first.len() {
            (this.first, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::io::duplex;

    use super::*;

    /// What comes out of a connection whose peer sends these pieces and ends its side.
    async fn opened(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let (ours, mut peer) = duplex(64);
        let activity = Activity::new();
        let mut opening = Opening::new(Watched::new(ours, Arc::clone(&activity)), activity);
        let (opened, ()) = tokio::join!(poll_fn(|context| opening.poll(context)), async {
            for piece in pieces {
                peer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(peer);
        });
        let Opened { stream, first, is_http2 } = opened.unwrap();
        let mut all = Vec::new();
        Rewound::new(first, stream).read_to_end(&mut all).await.unwrap();
        (is_http2, all)
    }

    #[tokio::test]
    async fn what_was_read_to_tell_the_protocol_is_read_again() {
        let whole = [&PREFACE[..], b"more"].concat();
        for at in 0..PREFACE.len() {
            let (head, tail) = PREFACE.split_at(at);
            assert_eq!(opened(&[head, tail, b"more"]).await, (true, whole.clone()), "{at}");
            assert_eq!(opened(&[head]).await, (false, head.to_vec()), "{at}: it has gone");
            let other = [head, b"?", b" HTTP/1.1"].concat();
            assert_eq!(opened(&[head, b"? HTTP/1.1"]).await, (false, other), "{at}");
        }
        assert_eq!(opened(&[&whole]).await, (true, whole));
    }

    #[tokio::test]
    async fn a_silent_connection_that_is_closed_ends() {
        let (ours, _peer) = duplex(64);
        let activity = Activity::new();
        let mut opening = Opening::new(Watched::new(ours, Arc::clone(&activity)), activity);
        let silent = poll_fn(|context| Poll::Ready(opening.poll(context).is_pending())).await;
        opening.close();
        let closed = poll_fn(|context| opening.poll(context)).await.unwrap();
        assert!(silent && !closed.is_http2 && closed.first.is_empty());
    }
}
