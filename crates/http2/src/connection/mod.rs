//! One connection: the state that its parts share, and what its caller does with it.

mod control;
mod data;
mod frames;
mod headers;
mod respond;
mod time;
mod windows;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::error::ConnectionError;
use crate::error::ErrorCode;
use crate::error::FrameError;
use crate::error::Limit;
use crate::exchange::Body;
use crate::exchange::BodySource;
use crate::exchange::Event;
use crate::exchange::Received;
use crate::exchange::StreamId;
use crate::frame;
use crate::frame::setting;
use crate::head::HeadLimits;
use crate::head::RequestHead;
use crate::head_reader::HeadReader;
use crate::hpack::TABLE_BYTES_DEFAULT;
use crate::limits::Counters;
use crate::limits::Limits;
use crate::limits::Meter;
use crate::limits::Timeouts;
use crate::limits::Windows;
use crate::parser::Parser;
use crate::receive_windows::ReceiveWindows;
use crate::streams::Closed;
use crate::streams::RequestState;
use crate::streams::Stream;
use crate::streams::Streams;

/// Room for more events than this is given back when there is none.
const KEPT_EVENTS_MAX: usize = 32;

/// What the PING behind the first GOAWAY says.
const CLOSING_PING: [u8; 8] = *b"closing.";

/// The server's side of one HTTP/2 connection. `B` is what bodies of requests are stored in.
///
/// See the documentation of the crate for how it is driven.
#[derive(Debug)]
pub struct Connection<B> {
    limits: Limits,
    timeouts: Timeouts,
    parser: Parser,
    heads: HeadReader,
    streams: Streams<B>,
    /// The highest number of a stream that the peer has opened.
    last_stream: u32,
    receiving: ReceiveWindows,
    sending: Sending,
    output: Vec<u8>,
    events: VecDeque<Event<B>>,
    closing: Closing,
    error: Option<ConnectionError>,
    meters: Meters,
    counters: Counters,
    clock: Clock,
}

/// What the peer has told about what it takes.
#[derive(Debug)]
struct Sending {
    /// What we may send on all streams together.
    window: i64,
    /// What we may send on a stream that begins.
    stream_window: i64,
    frame_bytes: usize,
    /// The streams whose answers wait for a window, in order.
    waiting: VecDeque<u32>,
    queued_bytes: usize,
}

/// How far the end of the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// Not begun.
    Open,
    /// The peer is told that there is an end, and may have sent requests before it knows.
    Announced,
    /// Requests up to this stream are answered, later ones ignored.
    Draining(u32),
    /// The peer has said that it sends no further requests.
    ByPeer,
}

/// What is left of each rate.
#[derive(Debug)]
struct Meters {
    resets: Meter,
    refused_streams: Meter,
    settings: Meter,
    pings: Meter,
    priorities: Meter,
    window_updates: Meter,
    empty_frames: Meter,
    ignored_frames: Meter,
}

impl<B> Connection<B> {
    /// Begins a connection. Its first output is there at once.
    ///
    /// # Panics
    ///
    /// If a limit or window is outside of what HTTP/2 allows.
    #[must_use]
    pub fn new(limits: Limits, timeouts: Timeouts, windows: Windows, now: Instant) -> Self {
        let frame_bytes = frame::FRAME_BYTES_DEFAULT..=frame::FRAME_BYTES_MAX;
        assert!(frame_bytes.contains(&limits.frame_bytes), "frames have 16 KiB to 16 MiB");
        let head_limits = HeadLimits {
            list_bytes: limits.header_list_bytes as usize,
            fields: limits.header_fields as usize,
        };
        // Until the peer has acknowledged a smaller table it may use what HTTP/2 gives it.
        let table_bytes = limits.header_table_bytes.max(TABLE_BYTES_DEFAULT);
        let mut connection = Self {
            limits,
            timeouts,
            parser: Parser::new(),
            heads: HeadReader::new(table_bytes as usize, head_limits),
            streams: Streams::new(),
            last_stream: 0,
            receiving: ReceiveWindows::new(windows),
            sending: Sending::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            closing: Closing::Open,
            error: None,
            meters: Meters::new(&limits, now),
            counters: Counters::default(),
            clock: Clock::new(&timeouts, now),
        };
        connection.greet();
        connection
    }

    /// Takes bytes that came from the peer. `source` gives buffers for the bodies of requests, `now` is the time
    /// at which the bytes came.
    ///
    /// Takes all bytes, unless a request waits for memory ([`Received::waits`]): then the rest is to be passed
    /// again when there is memory, or when the request was answered. After an error all bytes are ignored.
    pub fn receive<S>(&mut self, input: &[u8], source: &mut S, now: Instant) -> Received
    where
        S: BodySource<Body = B>,
        B: Body,
    {
        self.clock.hear(now);
        let before = self.block_mark();
        let mut rest = input;
        let mut waits = None;
        while !rest.is_empty() && self.error.is_none() {
            let (taken, result) = self.step(rest, source, now);
            rest = &rest[taken..];
            match result {
                Ok(None) => {}
                Ok(Some(stream)) => {
                    waits = Some(stream);
                    break;
                }
                Err(fault) => self.settle(fault, now),
            }
        }
        if self.error.is_some() {
            return Received { bytes: input.len(), waits: None };
        }
        self.watch_block(before, now);
        self.check_output();
        Received { bytes: input.len() - rest.len(), waits }
    }

    /// Returns the next thing to do.
    pub fn next_event(&mut self) -> Option<Event<B>> {
        let event = self.events.pop_front();
        if event.is_none() && KEPT_EVENTS_MAX < self.events.capacity() {
            self.events = VecDeque::new();
        }
        event
    }

    /// The bytes for the peer. The caller sends them and removes what is sent, or takes them with
    /// [`std::mem::take`]. Nothing is written anywhere else, so the answers to all requests of one read can go out
    /// in one write.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Begins the end: the peer is told to open no further streams, and the connection is finished when those that
    /// it has opened by then are answered. A second call does not wait for streams that the peer opened before it
    /// knew.
    pub fn shut_down(&mut self) {
        match self.closing {
            Closing::Open | Closing::ByPeer => {
                self.closing = Closing::Announced;
                let last_stream = frame::STREAM_ID_MAX;
                frame::write_goaway(&mut self.output, last_stream, ErrorCode::NoError, "");
                // Its answer shows that the peer has seen it.
                frame::write_ping(&mut self.output, 0, CLOSING_PING);
            }
            Closing::Announced => self.drain(),
            Closing::Draining(_) => {}
        }
    }

    /// Whether nothing can follow: what is in the output is the last. The caller sends it and closes the
    /// connection.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let is_ending = matches!(self.closing, Closing::Draining(_) | Closing::ByPeer);
        self.error.is_some() || (is_ending && self.streams.is_empty())
    }

    /// Why the connection is closed; `None` if it is not, or if it has ended well.
    #[must_use]
    pub const fn error(&self) -> Option<&ConnectionError> {
        self.error.as_ref()
    }

    /// The streams that are open: requests that are incomplete, with the caller, or not answered to their end.
    #[must_use]
    pub const fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The answers that wait until the peer opens a window. With [`Counters::answers`] it shows whether a peer
    /// takes its answers.
    #[must_use]
    pub fn waiting_answers(&self) -> usize {
        self.sending.waiting.len()
    }

    /// The body of a request that is not complete; `None` if the caller has it already, or never had one.
    pub fn body_mut(&mut self, stream: StreamId) -> Option<&mut B> {
        self.streams.get_mut(stream.get())?.body.as_mut()
    }

    /// The head of a request that is not answered to its end.
    #[must_use]
    pub fn request_head(&self, stream: StreamId) -> Option<&Arc<RequestHead>> {
        Some(&self.streams.get(stream.get())?.head)
    }

    /// What the connection has done.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the connection keeps no byte of the peer's: the caller may give back its buffers.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.parser.is_between_frames()
    }

    /// Says what we want of the peer.
    fn greet(&mut self) {
        let (limits, wanted) = (&self.limits, self.receiving.wanted());
        let settings = [
            (setting::HEADER_TABLE_SIZE, limits.header_table_bytes),
            (setting::MAX_CONCURRENT_STREAMS, limits.concurrent_streams),
            (setting::INITIAL_WINDOW_SIZE, wanted.stream_bytes),
            (setting::MAX_FRAME_SIZE, limits.frame_bytes),
            (setting::MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
        ];
        frame::write_settings(&mut self.output, &settings);
        self.receiving.announce(wanted.stream_bytes);
        self.open_connection_window_by(1);
    }

    /// Tells the peer which streams are answered, and that the others are not.
    fn drain(&mut self) {
        self.closing = Closing::Draining(self.last_stream);
        frame::write_goaway(&mut self.output, self.last_stream, ErrorCode::NoError, "");
    }

    /// Does what a fault demands.
    fn settle(&mut self, fault: FrameError, now: Instant) {
        match fault {
            FrameError::Connection(error) => self.fail(error),
            FrameError::Stream(id, code) => {
                self.counters.resets_sent += 1;
                self.reset(id, code);
                self.open_connection_window();
                if !self.meters.resets.take(self.limits.resets, now) {
                    self.fail_of(FrameError::limit(Limit::Resets, "too many streams with errors"));
                }
            }
        }
    }

    /// Ends a stream, and lets the caller know if it has the request.
    fn reset(&mut self, id: u32, code: ErrorCode) {
        frame::write_reset(&mut self.output, id, code);
        match self.streams.remove(id, Closed::ByUs) {
            Some(stream) => self.forget(&stream),
            None => self.streams.remember(id, Closed::ByUs),
        }
    }

    /// Lets go of a stream that was not answered.
    fn forget(&mut self, stream: &Stream<B>) {
        if stream.answer.is_some() {
            self.unqueue(stream);
        } else if stream.phase != RequestState::Reading {
            self.events.push_back(Event::Cancelled(StreamId(stream.id)));
        }
    }

    /// Ends the connection.
    fn fail(&mut self, error: ConnectionError) {
        if self.error.is_some() {
            return;
        }
        let last_stream = match self.closing {
            Closing::Draining(last) => last,
            _ => self.last_stream,
        };
        frame::write_goaway(&mut self.output, last_stream, error.code, error.reason);
        self.error = Some(error);
        self.streams.clear();
        self.sending.waiting.clear();
        self.parser = Parser::new();
    }

    /// Ends the connection for a fault that no frame of a stream has caused.
    fn fail_of(&mut self, fault: FrameError) {
        if let FrameError::Connection(error) = fault {
            self.fail(error);
        }
    }

    /// A caller that sends nothing must not go on reading.
    fn check_output(&mut self) {
        if self.limits.output_bytes < self.output.len() {
            self.fail_of(FrameError::limit(Limit::Output, "the peer reads no answers"));
        }
    }
}

impl Sending {
    fn new() -> Self {
        Self {
            window: i64::from(frame::WINDOW_BYTES_DEFAULT),
            stream_window: i64::from(frame::WINDOW_BYTES_DEFAULT),
            frame_bytes: frame::FRAME_BYTES_DEFAULT as usize,
            waiting: VecDeque::new(),
            queued_bytes: 0,
        }
    }
}

impl Meters {
    const fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            resets: Meter::new(limits.resets, now),
            refused_streams: Meter::new(limits.refused_streams, now),
            settings: Meter::new(limits.settings, now),
            pings: Meter::new(limits.pings, now),
            priorities: Meter::new(limits.priorities, now),
            window_updates: Meter::new(limits.window_updates, now),
            empty_frames: Meter::new(limits.empty_frames, now),
            ignored_frames: Meter::new(limits.ignored_frames, now),
        }
    }

    /// A request is work, and so are the frames beside it.
    const fn credit(&mut self, limits: &Limits) {
        /// Of each kind for one request.
        const FRAMES: u32 = 4;
        self.pings.credit(limits.pings, FRAMES);
        self.priorities.credit(limits.priorities, FRAMES);
        self.window_updates.credit(limits.window_updates, FRAMES);
        self.empty_frames.credit(limits.empty_frames, FRAMES);
    }
}
