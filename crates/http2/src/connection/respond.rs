//! Answers: written at once as far as the peer's windows allow, the rest when it opens them.
//!
//! Source: RFC 9113, sections 5.2 and 8.1.

use super::Connection;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::exchange::Response;
use crate::exchange::StreamGone;
use crate::exchange::StreamId;
use crate::frame;
use crate::streams::Closed;
use crate::streams::QueuedAnswer;
use crate::streams::Stream;

impl<B> Connection<B> {
    /// Answers a request, at any time and in any order. A request that is not complete may be answered too; what
    /// is stored of it is dropped, and the peer is told to send no more of it.
    ///
    /// # Errors
    ///
    /// If there is nobody to answer any more.
    pub fn respond(&mut self, stream: StreamId, response: &Response<'_>) -> Result<(), StreamGone> {
        let id = stream.0;
        let frame_bytes = self.sending.frame_bytes;
        let Some(stream) = self.streams.get_mut(id) else { return Err(StreamGone) };
        if stream.answer.is_some() {
            return Err(StreamGone);
        }
        stream.body = None;
        let Response { head, body, trailers } = *response;
        let output = &mut self.output;
        let is_end = body.is_empty() && trailers.is_none();
        frame::write_headers(output, id, head.as_bytes(), is_end, frame_bytes);
        let len = sendable(self.sending.window, stream.send_window, body.len());
        let (now, later) = body.split_at(len);
        if !now.is_empty() {
            let is_end = later.is_empty() && trailers.is_none();
            frame::write_data(output, id, now, is_end, frame_bytes);
            self.sending.window -= signed(len);
            stream.send_window -= signed(len);
        }
        if later.is_empty() {
            if let Some(trailers) = trailers {
                frame::write_headers(output, id, trailers.as_bytes(), true, frame_bytes);
            }
            self.end_stream(id);
            return Ok(());
        }
        let trailers = trailers.map(|trailers| trailers.as_bytes().to_vec());
        self.queue(id, QueuedAnswer { body: later.to_vec(), sent: 0, trailers });
        Ok(())
    }

    /// Cuts a stream off without an answer.
    pub fn cancel(&mut self, stream: StreamId) {
        if let Some(removed) = self.streams.remove(stream.0, Closed::ByUs) {
            frame::write_reset(&mut self.output, stream.0, ErrorCode::Cancel);
            self.unqueue(&removed);
        }
    }

    /// Keeps an answer for later.
    fn queue(&mut self, id: u32, answer: QueuedAnswer) {
        self.sending.queued_bytes += answer.bytes();
        self.sending.waiting.push_back(id);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.answer = Some(answer);
        }
        if self.limits.queued_answer_bytes < self.sending.queued_bytes {
            let reason = "too many bytes of answers wait for a window";
            self.fail_of(FrameError::limit(Limit::QueuedAnswers, reason));
        }
    }

    pub(super) fn unqueue(&mut self, stream: &Stream<B>) {
        if let Some(answer) = &stream.answer {
            self.sending.queued_bytes -= answer.bytes();
            self.sending.waiting.retain(|id| *id != stream.id);
        }
    }

    /// The windows may have become larger.
    pub(super) fn send_waiting(&mut self) {
        if self.sending.waiting.is_empty() || self.sending.window <= 0 {
            return;
        }
        let mut waiting = std::mem::take(&mut self.sending.waiting);
        waiting.retain(|id| !self.send_queued(*id));
        self.sending.waiting = waiting;
    }

    /// The window of a stream has become larger.
    pub(super) fn send_waiting_stream(&mut self, id: u32) {
        if self.send_queued(id) {
            self.sending.waiting.retain(|waiting| *waiting != id);
        }
    }

    /// Sends what it can of an answer that waits; `true` if that was the rest.
    fn send_queued(&mut self, id: u32) -> bool {
        let frame_bytes = self.sending.frame_bytes;
        let Some(stream) = self.streams.get_mut(id) else { return true };
        let Some(answer) = &mut stream.answer else { return true };
        let rest = &answer.body[answer.sent..];
        let len = sendable(self.sending.window, stream.send_window, rest.len());
        if len == 0 {
            return false;
        }
        let is_last = len == rest.len();
        let is_end = is_last && answer.trailers.is_none();
        frame::write_data(&mut self.output, id, &rest[..len], is_end, frame_bytes);
        self.sending.window -= signed(len);
        stream.send_window -= signed(len);
        answer.sent += len;
        if !is_last {
            return false;
        }
        self.sending.queued_bytes -= answer.bytes();
        if let Some(trailers) = &answer.trailers {
            frame::write_headers(&mut self.output, id, trailers, true, frame_bytes);
        }
        self.end_stream(id);
        true
    }

    /// An answer is written. A peer that is still sending the request may stop.
    fn end_stream(&mut self, id: u32) {
        self.counters.answers += 1;
        let is_remote_closed = self.streams.get(id).is_some_and(|stream| stream.is_remote_closed);
        let closed = if is_remote_closed { Closed::ByPeer } else { Closed::ByUs };
        if !is_remote_closed {
            frame::write_reset(&mut self.output, id, ErrorCode::NoError);
        }
        self.streams.remove(id, closed);
    }
}

/// How many of `len` bytes may be sent now.
fn sendable(connection_window: i64, stream_window: i64, len: usize) -> usize {
    let window = connection_window.min(stream_window).max(0);
    usize::try_from(window).map_or(len, |window| window.min(len))
}

/// A length that a window allows, as windows count.
fn signed(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
