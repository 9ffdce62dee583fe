//! The body of an answer of which only half comes.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::SizeHint;

use crate::line::Reset;

/// What comes after the half.
pub(crate) enum HalfEnd {
    /// Nothing, and the connection stays.
    Stall,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset(Reset),
}

/// Half of a body.
pub(crate) struct HalfBody {
    half: Option<Bytes>,
    whole_bytes: u64,
    is_sent: bool,
    end: HalfEnd,
}

impl HalfBody {
    /// The first half of a body.
    pub(crate) fn new(whole: &Bytes, end: HalfEnd) -> Self {
        let half = Some(whole.slice(..whole.len() / 2));
        Self { half, whole_bytes: whole.len() as u64, is_sent: false, end }
    }
}

impl Body for HalfBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.is_sent {
            // Whoever writes flushes what it has before it asks again.
            self.is_sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match &self.end {
            HalfEnd::Stall => return Poll::Pending,
            HalfEnd::Close => {}
            HalfEnd::Reset(reset) => reset.set(),
        }
        Poll::Ready(Some(Err(io::Error::other("half is enough"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.whole_bytes)
    }
}
