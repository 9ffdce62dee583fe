//! Divides what comes into frames, in place where it can: only a head, or a frame that is not DATA, of which a
//! part is missing at the end of a read is copied.

use std::time::Instant;

use super::Connection;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::exchange::Body;
use crate::exchange::BodySource;
use crate::frame::FrameHead;
use crate::frame::HEAD_BYTES;
use crate::frame::PREFACE;
use crate::frame::flag;
use crate::frame::kind;
use crate::parser::ParseProgress;
use crate::parser::State;

/// What a setting takes in SETTINGS.
const SETTING_BYTES: u32 = 6;
/// What GOAWAY has before its text, which is not read.
const GOAWAY_BYTES: u32 = 8;
/// Longer room for parts of frames is given back after each.
const KEPT_BYTES_MAX: usize = 1 << 10;
/// What HEADERS has at most beside its block: the length of padding, padding, and a priority.
const HEADERS_EXTRA_BYTES: u32 = 1 + 255 + 5;

impl<B> Connection<B> {
    /// Goes on with what is next. Takes at least a byte, unless a stream waits for memory.
    pub(super) fn step<S>(&mut self, input: &[u8], source: &mut S, now: Instant) -> ParseProgress
    where
        S: BodySource<Body = B>,
        B: Body,
    {
        match self.parser.state {
            State::Head => self.head(input, now),
            State::Data(data) => self.data(data, input, source, now),
            State::Payload(head, needed) => self.payload(head, needed as usize, input, now),
            State::PadLength(head) => (1, self.pad_length(head, input[0], now).map(|()| None)),
            State::Skip(left) => {
                let taken = (left as usize).min(input.len());
                // At most `left`.
                self.parser.skip(left - u32::try_from(taken).unwrap_or(left));
                (taken, Ok(None))
            }
            State::Preface(matched) => {
                let expected = &PREFACE[matched..];
                let taken = expected.len().min(input.len());
                if expected[..taken] != input[..taken] {
                    return (taken, Err(FrameError::protocol("the peer does not speak HTTP/2")));
                }
                let is_whole = taken == expected.len();
                self.parser.state =
                    if is_whole { State::Head } else { State::Preface(matched + taken) };
                (taken, Ok(None))
            }
        }
    }

    fn head(&mut self, input: &[u8], now: Instant) -> ParseProgress {
        let partial = &mut self.parser.partial;
        let (head, taken) = match input.first_chunk::<HEAD_BYTES>() {
            Some(head) if partial.is_empty() => (*head, HEAD_BYTES),
            _ => {
                let taken = (HEAD_BYTES - partial.len()).min(input.len());
                partial.extend_from_slice(&input[..taken]);
                let Some(head) = partial.first_chunk::<HEAD_BYTES>() else {
                    return (taken, Ok(None));
                };
                let head = *head;
                partial.clear();
                (head, taken)
            }
        };
        let head = FrameHead::read(&head);
        self.counters.frames += 1;
        // In case that the frame is against the rules of its stream only.
        self.parser.skip(head.len);
        let begun = self.begin(head, now);
        let result = match (begun, self.parser.state) {
            (Ok(()), State::Payload(head, 0)) => self.take_payload(head, 0, &[], now),
            (begun, _) => begun,
        };
        (taken, result.map(|()| None))
    }

    /// Waits until a payload is there.
    fn payload(
        &mut self,
        head: FrameHead,
        needed: usize,
        input: &[u8],
        now: Instant,
    ) -> ParseProgress {
        if self.parser.partial.is_empty()
            && let Some(payload) = input.get(..needed)
        {
            return (needed, self.take_payload(head, needed, payload, now).map(|()| None));
        }
        let partial = &mut self.parser.partial;
        let taken = (needed - partial.len()).min(input.len());
        partial.extend_from_slice(&input[..taken]);
        if partial.len() < needed {
            return (taken, Ok(None));
        }
        let mut payload = std::mem::take(partial);
        let result = self.take_payload(head, needed, &payload, now);
        if payload.capacity() <= KEPT_BYTES_MAX {
            payload.clear();
            self.parser.partial = payload;
        }
        (taken, result.map(|()| None))
    }

    fn take_payload(
        &mut self,
        head: FrameHead,
        needed: usize,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        // Needed is at most what the frame has.
        self.parser.skip(head.len - u32::try_from(needed).unwrap_or(head.len));
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload, now),
            kind::CONTINUATION => self.on_continuation(head, payload, now),
            kind::PRIORITY => self.on_priority(head.stream, payload, now),
            kind::RST_STREAM => self.on_reset(head.stream, now),
            kind::SETTINGS => self.on_settings(head.has(flag::ACK), payload, now),
            kind::PING => self.on_ping(head.has(flag::ACK), payload, now),
            kind::GOAWAY => {
                self.on_goaway();
                Ok(())
            }
            _ => self.on_window_update(head.stream, payload, now),
        }
    }

    /// Checks the head of a frame, and says what of it is needed.
    fn begin(&mut self, head: FrameHead, now: Instant) -> Result<(), FrameError> {
        if self.limits.frame_bytes < head.len {
            return Err(FrameError::frame_size("a frame is larger than SETTINGS_MAX_FRAME_SIZE"));
        }
        if !self.parser.is_greeted {
            if head.kind != kind::SETTINGS || head.has(flag::ACK) {
                return Err(FrameError::protocol("the first frame is not SETTINGS"));
            }
            self.parser.is_greeted = true;
        }
        if let Some(block) = &self.parser.block
            && (head.kind != kind::CONTINUATION || head.stream != block.stream)
        {
            return Err(FrameError::protocol("a frame is inside of a header block"));
        }
        check_stream(head)?;
        let needed = match head.kind {
            kind::DATA => return self.begin_data(head, now),
            kind::PUSH_PROMISE => return Err(FrameError::protocol("a client cannot push")),
            kind::PRIORITY if head.len != 5 => {
                return Err(FrameError::Stream(head.stream, ErrorCode::FrameSizeError));
            }
            kind::PRIORITY => 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => exactly(head, 4)?,
            kind::PING => exactly(head, 8)?,
            kind::SETTINGS if head.has(flag::ACK) => exactly(head, 0)?,
            kind::SETTINGS => self.check_settings(head)?,
            kind::GOAWAY if head.len < GOAWAY_BYTES => {
                return Err(FrameError::frame_size("GOAWAY is too short"));
            }
            kind::GOAWAY => GOAWAY_BYTES,
            kind::HEADERS | kind::CONTINUATION => self.check_block(head)?,
            _ => return self.ignore_frame(now),
        };
        self.parser.state = State::Payload(head, needed);
        Ok(())
    }

    fn check_settings(&self, head: FrameHead) -> Result<u32, FrameError> {
        if !head.len.is_multiple_of(SETTING_BYTES) {
            return Err(FrameError::frame_size("SETTINGS has a part of a setting"));
        }
        if self.limits.settings_entries < head.len / SETTING_BYTES {
            return Err(FrameError::limit(Limit::Settings, "too many settings in a frame"));
        }
        Ok(head.len)
    }

    /// Checks the size of a header block before it is kept.
    fn check_block(&self, head: FrameHead) -> Result<u32, FrameError> {
        let before = match (&self.parser.block, head.kind) {
            (None, kind::CONTINUATION) => {
                return Err(FrameError::protocol("CONTINUATION without a header block"));
            }
            (Some(block), _) => block.fragment.len(),
            (None, _) => 0,
        };
        let extra = if head.kind == kind::HEADERS { HEADERS_EXTRA_BYTES } else { 0 };
        let max = (self.limits.header_block_bytes + extra) as usize;
        if max < before + head.len as usize {
            return Err(FrameError::limit(Limit::HeaderBlock, "a header block is too large"));
        }
        Ok(head.len)
    }

    /// Counts a frame that means nothing here.
    pub(super) fn ignore_frame(&mut self, now: Instant) -> Result<(), FrameError> {
        self.counters.ignored_frames += 1;
        if self.meters.ignored_frames.take(self.limits.ignored_frames, now) {
            return Ok(());
        }
        Err(FrameError::limit(Limit::IgnoredFrames, "too many frames that mean nothing"))
    }
}

/// Checks whether a frame is of a stream or of the connection, as its type demands.
fn check_stream(head: FrameHead) -> Result<(), FrameError> {
    let is_right = match head.kind {
        kind::SETTINGS | kind::PING | kind::GOAWAY => head.stream == 0,
        kind::DATA
        | kind::HEADERS
        | kind::PRIORITY
        | kind::RST_STREAM
        | kind::PUSH_PROMISE
        | kind::CONTINUATION => head.stream != 0,
        _ => true,
    };
    if is_right { Ok(()) } else { Err(FrameError::protocol("a frame is on the wrong stream")) }
}

const fn exactly(head: FrameHead, len: u32) -> Result<u32, FrameError> {
    if head.len == len {
        Ok(len)
    } else {
        Err(FrameError::frame_size("a frame has the wrong length"))
    }
}
