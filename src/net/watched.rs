//! A stream that notes what its connection does, and lingers at its end.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use super::activity::Activity;

/// What a peer still sends after its answer is thrown away up to so many bytes.
const LINGER_BYTES_MAX: usize = 64 << 20;
const PIECE_BYTES: usize = 16 << 10;
/// Pieces at a time, before others have their turn.
const PIECES: usize = 16;

/// A stream that notes reads and blocked writes. When it is shut down it ends its own side, and goes on
/// reading for a while what the peer still sends: if it were closed at once, the system would tell the peer
/// that the connection is broken, and the peer would not see its answer.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    end: End,
}

/// How far the end of a stream is.
#[derive(Debug)]
enum End {
    Open,
    /// Our side is closed; so many bytes were thrown away.
    Lingering(usize),
}

impl<S> Watched<S> {
    /// Notes there what it does.
    pub const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, end: End::Open }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if result.is_ready() {
            self.activity.read(&buffer.filled()[before..]);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.write(result.is_pending());
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.end, End::Open) {
            let result = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.note(result))?;
            this.end = End::Lingering(0);
            if this.activity.is_unread() {
                this.activity.linger();
            }
        }
        let End::Lingering(thrown_away) = &mut this.end else { return Poll::Ready(Ok(())) };
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        for _ in 0..PIECES {
            let mut buffer = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                // Nothing comes, and nothing says that the peer wants to send more.
                Poll::Pending if this.activity.linger_ns().is_none() => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
                // It has hung up, or it does not matter any more how.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => *thrown_away += buffer.filled().len(),
            }
            if LINGER_BYTES_MAX < *thrown_away {
                return Poll::Ready(Ok(()));
            }
            if this.activity.linger_ns().is_none() {
                this.activity.linger();
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_noted_until_it_does() {
        let (ours, mut peer) = duplex(8);
        let activity = Activity::new();
        let mut watched = Watched::new(ours, Arc::clone(&activity));
        let writing = tokio::spawn(async move { watched.write_all(&[7; 16]).await });
        while activity.blocked_ns().is_none() {
            tokio::task::yield_now().await;
        }
        peer.read_exact(&mut [0; 16]).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(activity.blocked_ns(), None);
    }

    #[tokio::test]
    async fn it_lingers_for_a_peer_that_still_sends_and_for_no_other() {
        let (ours, _peer) = duplex(8);
        let activity = Activity::new();
        Watched::new(ours, Arc::clone(&activity)).shutdown().await.unwrap();
        assert_eq!(activity.linger_ns(), None, "a silent peer is not waited for");

        let (ours, mut peer) = duplex(8);
        let activity = Activity::new();
        activity.leave_unread();
        let mut watched = Watched::new(ours, Arc::clone(&activity));
        let ending = tokio::spawn(async move { watched.shutdown().await });
        peer.write_all(&[7; 100]).await.unwrap();
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0, "our side is closed");
        assert!(activity.linger_ns().is_some());
        drop(peer);
        ending.await.unwrap().unwrap();
    }
}
