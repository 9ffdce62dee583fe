//! When the newest bytes of a connection came: where the time of a request to its place begins.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// What the times of all connections are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When the newest bytes of one connection were read from its socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Arc<AtomicU64>);

/// A connection that notes when bytes come.
pub(super) struct Watched<S> {
    stream: S,
    arrivals: Arrivals,
}

impl Arrivals {
    /// Notes its reads from now on.
    pub(super) const fn watch<S>(self, stream: S) -> Watched<S> {
        Watched { stream, arrivals: self }
    }

    /// When the newest bytes were read.
    pub(super) fn newest(&self) -> Instant {
        *EPOCH + Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let since = u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.store(since, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if result.is_ready() {
            self.arrivals.note();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
