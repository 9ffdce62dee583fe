//! HEADERS and CONTINUATION: new requests, and trailers.
//!
//! Source: RFC 9113, sections 6.2, 6.10 and 8.1.

use std::sync::Arc;
use std::time::Instant;

use super::Closing;
use super::Connection;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::exchange::Event;
use crate::exchange::Request;
use crate::exchange::RequestBody;
use crate::exchange::StreamId;
use crate::frame;
use crate::frame::FrameHead;
use crate::frame::flag;
use crate::head::BadHead;
use crate::head::HeaderBlockKind;
use crate::head::RequestHead;
use crate::head_reader::Head;
use crate::parser::Block;
use crate::streams::Closed;
use crate::streams::RequestState;
use crate::streams::Stream;

/// `:status: 100`, encoded.
const CONTINUE: &[u8] = &[8, 3, b'1', b'0', b'0'];
/// `:status: 431`, encoded: the head is too large.
const HEAD_TOO_LARGE: &[u8] = &[8, 3, b'4', b'3', b'1'];
const PRIORITY_BYTES: usize = 5;

/// A whole header block.
#[derive(Clone, Copy)]
struct WholeBlock<'b> {
    stream: u32,
    fragment: &'b [u8],
    is_end: bool,
    depends_on_itself: bool,
}

impl<B> Connection<B> {
    pub(super) fn on_headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        let mut fragment = payload;
        if head.has(flag::PADDED) {
            let Some((padding, rest)) = fragment.split_first() else {
                return Err(FrameError::frame_size("a padded frame has no length of padding"));
            };
            let Some(len) = rest.len().checked_sub(usize::from(*padding)) else {
                return Err(FrameError::protocol("the padding is longer than the frame"));
            };
            fragment = &rest[..len];
        }
        let mut depends_on_itself = false;
        if head.has(flag::PRIORITY) {
            let Some((priority, rest)) = fragment.split_first_chunk::<PRIORITY_BYTES>() else {
                return Err(FrameError::frame_size("HEADERS is too short for its priority"));
            };
            depends_on_itself = dependency(*priority) == head.stream;
            fragment = rest;
        }
        let (stream, is_end) = (head.stream, head.has(flag::END_STREAM));
        if head.has(flag::END_HEADERS) {
            return self.on_block(WholeBlock { stream, fragment, is_end, depends_on_itself }, now);
        }
        let fragment = fragment.to_vec();
        let continuations = 0;
        self.parser.block =
            Some(Block { stream, fragment, is_end, depends_on_itself, continuations });
        Ok(())
    }

    pub(super) fn on_continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        self.counters.continuations += 1;
        let Some(mut block) = self.parser.block.take() else { return Ok(()) };
        block.continuations += 1;
        if self.limits.continuations < block.continuations {
            return Err(FrameError::limit(Limit::Continuations, "too many CONTINUATION frames"));
        }
        block.fragment.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            self.parser.block = Some(block);
            return Ok(());
        }
        let Block { stream, ref fragment, is_end, depends_on_itself, .. } = block;
        self.on_block(WholeBlock { stream, fragment, is_end, depends_on_itself }, now)
    }

    fn on_block(&mut self, block: WholeBlock<'_>, now: Instant) -> Result<(), FrameError> {
        let id = block.stream;
        if id.is_multiple_of(2) {
            return Err(FrameError::protocol("a client opens a stream with an even number"));
        }
        if let Some(stream) = self.streams.get(id) {
            let is_closed = stream.is_remote_closed;
            let trailers = self.read(block, HeaderBlockKind::Trailers)?;
            if is_closed {
                return Err(FrameError::Stream(id, ErrorCode::StreamClosed));
            }
            return self.on_trailers(block, &trailers);
        }
        if self.last_stream < id {
            return self.on_request(block, now);
        }
        match self.streams.closed(id) {
            Some(Closed::ByUs) => {
                self.read(block, HeaderBlockKind::Trailers)?;
                self.ignore_frame(now)
            }
            Some(Closed::ByPeer) => Err(FrameError::connection(
                ErrorCode::StreamClosed,
                "HEADERS is on a closed stream",
            )),
            None => {
                Err(FrameError::protocol("the number of a stream is lower than an earlier one"))
            }
        }
    }

    fn on_trailers(&mut self, block: WholeBlock<'_>, trailers: &Head) -> Result<(), FrameError> {
        if trailers.head.is_err() || !block.is_end || block.depends_on_itself {
            self.counters.malformed += 1;
            return Err(FrameError::Stream(block.stream, ErrorCode::ProtocolError));
        }
        self.end_request(block.stream)
    }

    fn on_request(&mut self, block: WholeBlock<'_>, now: Instant) -> Result<(), FrameError> {
        let id = block.stream;
        if let Closing::Draining(last) = self.closing
            && last < id
        {
            // The table of HPACK is for all streams.
            self.read(block, HeaderBlockKind::Request)?;
            self.last_stream = id;
            self.streams.remember(id, Closed::ByUs);
            return self.ignore_frame(now);
        }
        self.last_stream = id;
        let Head { head, is_known } = self.read(block, HeaderBlockKind::Request)?;
        if self.limits.concurrent_streams as usize <= self.streams.len() {
            self.counters.refused_streams += 1;
            self.reset(id, ErrorCode::RefusedStream);
            if self.meters.refused_streams.take(self.limits.refused_streams, now) {
                return Ok(());
            }
            return Err(FrameError::limit(
                Limit::RefusedStreams,
                "too many streams at the same time",
            ));
        }
        match head {
            Ok(Some(head)) if !block.depends_on_itself => {
                self.counters.requests += 1;
                self.counters.known_heads += u64::from(is_known);
                self.meters.credit(&self.limits);
                self.open(block, head, now)
            }
            Err(BadHead::TooLarge) => self.refuse_large_head(block, now),
            _ => {
                self.counters.malformed += 1;
                Err(FrameError::Stream(id, ErrorCode::ProtocolError))
            }
        }
    }

    fn open(
        &mut self,
        block: WholeBlock<'_>,
        head: Arc<RequestHead>,
        now: Instant,
    ) -> Result<(), FrameError> {
        let (id, is_end) = (block.stream, block.is_end);
        if is_end && head.content_length().is_some_and(|length| 0 < length) {
            self.counters.malformed += 1;
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError));
        }
        self.clock.begin_request(&self.timeouts, is_end, now);
        if is_end {
            let (head, body) = (Arc::clone(&head), RequestBody::Empty);
            self.events.push_back(Event::Request(Request { stream: StreamId(id), head, body }));
        } else if head.expects_continue() {
            let frame_bytes = self.sending.frame_bytes;
            frame::write_headers(&mut self.output, id, CONTINUE, false, frame_bytes);
        }
        self.streams.insert(Stream {
            id,
            head,
            phase: if is_end { RequestState::Taken } else { RequestState::Reading },
            is_remote_closed: is_end,
            body: None,
            wants: None,
            received: 0,
            receive_window: self.receiving.stream,
            send_window: self.sending.stream_window,
            answer: None,
            opened: now,
            progress: (now, 0),
            is_late: false,
        });
        Ok(())
    }

    /// Answers a request whose head is too large to be kept.
    fn refuse_large_head(&mut self, block: WholeBlock<'_>, now: Instant) -> Result<(), FrameError> {
        self.counters.large_heads += 1;
        let id = block.stream;
        frame::write_headers(&mut self.output, id, HEAD_TOO_LARGE, true, self.sending.frame_bytes);
        if block.is_end {
            self.streams.remember(id, Closed::ByPeer);
        } else {
            self.reset(id, ErrorCode::NoError);
        }
        self.ignore_frame(now)
    }

    fn read(&mut self, block: WholeBlock<'_>, role: HeaderBlockKind) -> Result<Head, FrameError> {
        self.heads.read(block.fragment, role).map_err(|_| {
            FrameError::connection(ErrorCode::CompressionError, "a header block cannot be decoded")
        })
    }

    pub(super) fn on_priority(
        &mut self,
        id: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        self.counters.priorities += 1;
        if !self.meters.priorities.take(self.limits.priorities, now) {
            return Err(FrameError::limit(Limit::Priorities, "too many PRIORITY frames"));
        }
        let priority = payload.first_chunk::<PRIORITY_BYTES>();
        if priority.is_some_and(|priority| dependency(*priority) == id) {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError));
        }
        Ok(())
    }
}

/// The stream that another one depends on.
const fn dependency(priority: [u8; PRIORITY_BYTES]) -> u32 {
    let [a, b, c, d, _] = priority;
    u32::from_be_bytes([a, b, c, d]) & frame::STREAM_ID_MAX
}
