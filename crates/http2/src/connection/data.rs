//! DATA: goes from the caller's read buffer to the caller's buffer of the request, and nowhere between.
//!
//! Source: RFC 9113, section 6.1.

use std::time::Instant;

use super::Connection;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::exchange::Admit;
use crate::exchange::Appended;
use crate::exchange::Body;
use crate::exchange::BodySource;
use crate::exchange::Event;
use crate::exchange::Incoming;
use crate::exchange::Request;
use crate::exchange::RequestBody;
use crate::exchange::StreamId;
use crate::frame::FrameHead;
use crate::frame::flag;
use crate::parser::DataFrame;
use crate::parser::ParseProgress;
use crate::parser::State;
use crate::streams::Closed;
use crate::streams::RequestState;
use crate::streams::Stream;
use crate::streams::Wants;

/// Shorter frames that come for a stream that we have closed are counted.
const LATE_BYTES_MIN: u32 = 1 << 10;

impl<B> Connection<B> {
    /// Checks the windows and the stream of a DATA frame.
    pub(super) fn begin_data(&mut self, head: FrameHead, now: Instant) -> Result<(), FrameError> {
        let len = i64::from(head.len);
        if self.receiving.connection < len {
            let reason = "DATA is larger than the window of the connection";
            return Err(FrameError::connection(ErrorCode::FlowControlError, reason));
        }
        self.receiving.connection -= len;
        let Some(stream) = self.streams.get_mut(head.stream) else {
            return self.data_of_no_stream(head, now);
        };
        if stream.is_remote_closed {
            return Err(FrameError::Stream(head.stream, ErrorCode::StreamClosed));
        }
        if stream.receive_window < len {
            return Err(FrameError::Stream(head.stream, ErrorCode::FlowControlError));
        }
        stream.receive_window -= len;
        if head.has(flag::PADDED) {
            if head.len == 0 {
                return Err(FrameError::frame_size("a padded frame has no length of padding"));
            }
            self.parser.state = State::PadLength(head);
            return Ok(());
        }
        self.begin_payload(head, head.len, 0, now)
    }

    pub(super) fn pad_length(
        &mut self,
        head: FrameHead,
        padding: u8,
        now: Instant,
    ) -> Result<(), FrameError> {
        let padding = u32::from(padding);
        match (head.len - 1).checked_sub(padding) {
            Some(len) => self.begin_payload(head, len, padding, now),
            None => Err(FrameError::protocol("the padding is longer than the frame")),
        }
    }

    fn begin_payload(
        &mut self,
        head: FrameHead,
        left: u32,
        padding: u32,
        now: Instant,
    ) -> Result<(), FrameError> {
        let is_end = head.has(flag::END_STREAM);
        let data = DataFrame { stream: head.stream, left, padding, is_end };
        if 0 < left {
            self.parser.state = State::Data(data);
            return Ok(());
        }
        if !is_end {
            self.counters.empty_frames += 1;
            if !self.meters.empty_frames.take(self.limits.empty_frames, now) {
                return Err(FrameError::limit(
                    Limit::EmptyFrames,
                    "too many DATA frames without data",
                ));
            }
        }
        self.end_data(data)
    }

    /// Takes the data that has come of a frame.
    pub(super) fn data<S>(
        &mut self,
        mut data: DataFrame,
        input: &[u8],
        source: &mut S,
        now: Instant,
    ) -> ParseProgress
    where
        S: BodySource<Body = B>,
        B: Body,
    {
        let taken = (data.left as usize).min(input.len());
        let is_last = data.is_end && taken == data.left as usize;
        // At most what is left.
        data.left -= u32::try_from(taken).unwrap_or(data.left);
        let stored = match self.streams.get_mut(data.stream) {
            Some(stream) if stream.phase == RequestState::Reading => {
                store(stream, &input[..taken], is_last, source)
            }
            // It was answered in the meantime, or refused.
            _ => Ok(Appended::Stored),
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(fault) => {
                self.counters.malformed += 1;
                self.parser.skip(data.left + data.padding);
                self.open_connection_window();
                return (taken, Err(fault));
            }
        };
        match stored {
            Appended::Wait => return (0, Ok(Some(StreamId(data.stream)))),
            Appended::Refused => self.refuse(data.stream),
            Appended::Stored => {}
        }
        self.ask_body(data.stream);
        self.note_progress(data.stream, taken as u64, now);
        if 0 < data.left {
            self.parser.state = State::Data(data);
            return (taken, Ok(None));
        }
        (taken, self.end_data(data).map(|()| None))
    }

    /// Notes what the body of a request wants of the peer.
    pub(super) fn ask_body(&mut self, id: u32)
    where
        B: Body,
    {
        let usual = self.receiving.wanted().stream_bytes;
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.wants = stream.body.as_ref().map(|body| Wants {
            window_bytes: body.window_bytes(usual),
            progress_bytes: body.progress_bytes(self.timeouts.request_progress_bytes),
        });
    }

    fn note_progress(&mut self, id: u32, bytes: u64, now: Instant) {
        self.counters.data_bytes += bytes;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.received += bytes;
            let usual = self.timeouts.request_progress_bytes;
            let wanted = stream.wants.map_or(usual, |wants| wants.progress_bytes);
            if wanted <= stream.received - stream.progress.1 {
                stream.progress = (now, stream.received);
            }
        }
    }

    /// Ends a DATA frame, but for its padding.
    fn end_data(&mut self, data: DataFrame) -> Result<(), FrameError> {
        self.parser.skip(data.padding);
        self.open_connection_window();
        if data.is_end {
            return self.end_request(data.stream);
        }
        self.open_stream_window(data.stream);
        Ok(())
    }

    /// The peer has sent all of a request.
    pub(super) fn end_request(&mut self, id: u32) -> Result<(), FrameError> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        stream.is_remote_closed = true;
        if stream.phase != RequestState::Reading {
            return Ok(());
        }
        if stream.head.content_length().is_some_and(|length| length != stream.received) {
            self.counters.malformed += 1;
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError));
        }
        stream.phase = RequestState::Taken;
        let body = stream.body.take().map_or(RequestBody::Empty, RequestBody::Whole);
        self.give(id, body);
        Ok(())
    }

    /// Stops to store the body of a request, and gives it to the caller.
    fn refuse(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.phase = RequestState::Discarding;
        let body = RequestBody::Refused(stream.body.take());
        self.give(id, body);
    }

    fn give(&mut self, id: u32, body: RequestBody<B>) {
        if let Some(stream) = self.streams.get(id) {
            let head = stream.head.clone();
            self.events.push_back(Event::Request(Request { stream: StreamId(id), head, body }));
        }
    }

    /// A DATA frame came on a stream that is not open.
    fn data_of_no_stream(&mut self, head: FrameHead, now: Instant) -> Result<(), FrameError> {
        if self.last_stream < head.stream || head.stream.is_multiple_of(2) {
            return Err(FrameError::protocol("DATA is on a stream that was never opened"));
        }
        self.open_connection_window();
        let closed = self.streams.closed(head.stream);
        // What was on its way when we closed a stream may be a window full of data.
        if closed != Some(Closed::ByUs) || head.len < LATE_BYTES_MIN {
            self.ignore_frame(now)?;
        }
        match closed {
            Some(Closed::ByUs) => Ok(()),
            Some(Closed::ByPeer) => {
                Err(FrameError::connection(ErrorCode::StreamClosed, "DATA is on a closed stream"))
            }
            // It was closed long ago; by whom is not known any more.
            None => Err(FrameError::Stream(head.stream, ErrorCode::StreamClosed)),
        }
    }
}

/// Stores the next bytes of a request.
fn store<S: BodySource>(
    stream: &mut Stream<S::Body>,
    bytes: &[u8],
    is_last: bool,
    source: &mut S,
) -> Result<Appended, FrameError> {
    let received = stream.received + bytes.len() as u64;
    if stream.head.content_length().is_some_and(|length| length < received) {
        return Err(FrameError::Stream(stream.id, ErrorCode::ProtocolError));
    }
    let body = if let Some(body) = &mut stream.body {
        body
    } else {
        let (id, head) = (StreamId(stream.id), &stream.head);
        let is_whole = is_last && stream.received == 0;
        match source.body(&Incoming { stream: id, head, first: bytes, is_whole }) {
            Admit::Store(body) => stream.body.insert(body),
            Admit::Wait => return Ok(Appended::Wait),
            Admit::Refuse => return Ok(Appended::Refused),
        }
    };
    Ok(body.append(bytes))
}
