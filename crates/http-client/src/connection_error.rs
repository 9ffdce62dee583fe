//! The error that a connection ended with, for requests that only learn that it is closed.
//!
//! With TLS 1.3 a peer refuses a client's certificate when the connection already carries a request. The
//! request then fails with "connection closed" as often as with the alert, and only the reader of the
//! connection has seen why.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;

use http::Extensions;
use hyper::rt::Read;
use hyper::rt::ReadBuf;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::connect::Connection;

use crate::answer::Answer;
use crate::causes::chain;

/// The first error in reading from a connection.
type ConnectionError = Arc<OnceLock<String>>;

/// A connection that keeps the first error in reading from it.
pub struct ErrorRecorder<C> {
    connection: C,
    connection_error: ConnectionError,
    /// It leads to a proxy that forwards requests.
    is_forwarded: bool,
    /// Why writing failed, while what the peer said before it hung up is still to be read.
    failed: Option<io::Error>,
}

impl<C> ErrorRecorder<C> {
    pub(crate) fn new(connection: C, is_forwarded: bool) -> Self {
        Self { connection, connection_error: Arc::default(), is_forwarded, failed: None }
    }
}

impl<C: Connection> Connection for ErrorRecorder<C> {
    fn connected(&self) -> Connected {
        let connected = self.connection.connected().extra(Arc::clone(&self.connection_error));
        connected.proxy(self.is_forwarded)
    }
}

impl<C: Read + Unpin> ErrorRecorder<C> {
    fn read(&mut self, context: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.connection).poll_read(context, into);
        if let Poll::Ready(Err(error)) = &read {
            self.connection_error.get_or_init(|| chain(error));
        }
        read
    }

    /// Where writing fails, nobody reads any more what the peer said before it hung up: that comes first.
    fn write<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut C>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.failed.is_none() {
            match write(Pin::new(&mut self.connection), context) {
                Poll::Ready(Err(error)) if has_hung_up(&error) => self.failed = Some(error),
                written => return written,
            }
        }
        let mut piece = [0; 1024];
        loop {
            let mut into = ReadBuf::new(&mut piece);
            match self.read(context, into.unfilled()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {}
                Poll::Ready(_) => break,
            }
        }
        let failed = self.failed.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        Poll::Ready(Err(failed))
    }
}

impl<C: Read + Unpin> Read for ErrorRecorder<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.read(context, into)
    }
}

impl<C: Read + Write + Unpin> Write for ErrorRecorder<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |connection, context| connection.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, Write::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |connection, context| connection.poll_write_vectored(context, pieces))
    }
}

/// Whether the peer is gone, so that reading does not wait for it either.
fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// Adds to why a request got no answer the error that its connection ended with, if `error` is of a connection.
#[must_use]
pub fn with_connection_error(answer: Answer, error: &(dyn Error + 'static)) -> Answer {
    match (answer, connection_error(error)) {
        (Answer::Retry { after, reason }, Some(words)) if !reason.contains(&words) => {
            let reason = format!("{reason}; its connection ended with: {words}");
            Answer::Retry { after, reason }
        }
        (answer, _) => answer,
    }
}

fn connection_error(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    let failed = loop {
        match cause?.downcast_ref::<legacy::Error>() {
            Some(failed) => break failed,
            None => cause = cause?.source(),
        }
    };
    let mut extras = Extensions::new();
    failed.connect_info()?.get_extras(&mut extras);
    extras.get::<ConnectionError>()?.get().cloned()
}
