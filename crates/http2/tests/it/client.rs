//! A client that writes frames byte by byte, and tells what the server answers in words.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;
use std::time::Instant;

use gophership_http2::Admit;
use gophership_http2::Appended;
use gophership_http2::Body;
use gophership_http2::BodySource;
use gophership_http2::Connection;
use gophership_http2::Event;
use gophership_http2::HeaderBlock;
use gophership_http2::Incoming;
use gophership_http2::Limits;
use gophership_http2::RequestBody;
use gophership_http2::Response;
use gophership_http2::StreamId;
use gophership_http2::Timeouts;
use gophership_http2::Windows;
use gophership_http2::hpack::Decoder;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITISED: u8 = 0x20;
/// POST http /v1/logs, with nothing in a dynamic table.
pub(crate) const POST: &[u8] = b"\x83\x86\x04\x08/v1/logs";

/// Stores bodies as long as it has room.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) free_bytes: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) is_refusing: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: Vec<u8>,
    bytes_max: usize,
}

impl Body for Stored {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        if self.bytes_max < self.bytes.len() + bytes.len() {
            return Appended::Refused;
        }
        self.bytes.extend_from_slice(bytes);
        Appended::Stored
    }
}

impl BodySource for Memory {
    type Body = Stored;

    fn body(&mut self, incoming: &Incoming<'_>) -> Admit<Stored> {
        assert!(!incoming.first.is_empty());
        if self.is_refusing {
            return Admit::Refuse;
        }
        if self.free_bytes == 0 {
            return Admit::Wait;
        }
        Admit::Store(Stored { bytes: Vec::new(), bytes_max: self.body_bytes_max })
    }
}

/// A connection, seen from its client.
pub(crate) struct Client {
    pub(crate) connection: Connection<Stored>,
    pub(crate) memory: Memory,
    pub(crate) now: Instant,
    /// What was not taken.
    unread: Vec<u8>,
    decoder: Decoder,
    /// Those that the caller has.
    pub(crate) requests: VecDeque<StreamId>,
}

impl Client {
    /// Begins a connection, up to its settings.
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), Timeouts::default(), Windows::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::with(limits, Timeouts::default(), Windows::default())
    }

    pub(crate) fn with(limits: Limits, timeouts: Timeouts, windows: Windows) -> Self {
        let mut client = Self::silent(limits, timeouts, windows);
        client.send(PREFACE);
        client.send(&frame(SETTINGS, 0, 0, b""));
        client.send(&frame(SETTINGS, ACK, 0, b""));
        client
    }

    /// Begins a connection, and says nothing.
    pub(crate) fn silent(limits: Limits, timeouts: Timeouts, windows: Windows) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(limits, timeouts, windows, now),
            memory: Memory { free_bytes: 1, body_bytes_max: 1 << 20, is_refusing: false },
            now,
            unread: Vec::new(),
            decoder: Decoder::new(4096),
            requests: VecDeque::new(),
        }
    }

    /// Sends bytes, and returns what happens, a line each: first what the caller is told, then what is written.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> String {
        self.unread.extend_from_slice(bytes);
        let received = self.connection.receive(&self.unread, &mut self.memory, self.now);
        self.unread.drain(..received.bytes);
        let mut told = self.told();
        if let Some(stream) = received.waits {
            writeln!(told, "{stream} waits").unwrap();
        }
        told
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, seconds: u64) -> String {
        let end = self.now + Duration::from_secs(seconds);
        let mut told = String::new();
        while let Some(at) = self.connection.next_deadline().filter(|at| *at <= end) {
            assert!(self.now <= at, "a deadline is in the past");
            self.now = at;
            self.connection.on_time(at);
            told += &self.told();
        }
        self.now = end;
        told
    }

    /// Answers the oldest request that the caller has, with so many bytes and trailers.
    pub(crate) fn answer(&mut self, body_bytes: usize) -> String {
        let stream = self.requests.pop_front().unwrap();
        self.answer_to(stream, body_bytes)
    }

    pub(crate) fn answer_to(&mut self, stream: StreamId, body_bytes: usize) -> String {
        let head = HeaderBlock::of_status(200);
        let mut trailers = HeaderBlock::of_trailers();
        trailers.push("grpc-status", b"0").unwrap();
        let body = vec![7; body_bytes];
        let response = Response { head: &head, body: &body, trailers: Some(&trailers) };
        let result = self.connection.respond(stream, &response);
        let told = self.told();
        if result.is_err() { told + "gone\n" } else { told }
    }

    /// What the caller is told, and what is written.
    pub(crate) fn told(&mut self) -> String {
        let mut told = String::new();
        while let Some(event) = self.connection.next_event() {
            let line = match event {
                Event::Request(request) => {
                    self.requests.push_back(request.stream);
                    let body = match request.body {
                        RequestBody::Empty => "empty".to_owned(),
                        RequestBody::Whole(body) => format!("{} bytes", body.bytes.len()),
                        RequestBody::Refused(_) => "refused".to_owned(),
                    };
                    let (head, stream) = (request.head, request.stream);
                    format!("{stream} {} {}: {body}\n", head.method(), head.path())
                }
                Event::Cancelled(stream) => format!("{stream} is cancelled\n"),
                Event::Stalled(stream) => format!("{stream} stalls\n"),
                Event::Late(stream) => format!("{stream} is late\n"),
                Event::Idle => "idle\n".to_owned(),
            };
            told.push_str(&line);
        }
        let output = std::mem::take(self.connection.output());
        told + &self.frames(&output)
    }

    /// Frames in words.
    fn frames(&mut self, mut output: &[u8]) -> String {
        let mut text = String::new();
        while let Some((head, rest)) = output.split_first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (payload, rest) = rest.split_at(len);
            output = rest;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            let end = if head[4] & END_STREAM == 0 { "" } else { ", end" };
            match head[3] {
                DATA => writeln!(text, "DATA {stream}: {len} bytes{end}"),
                HEADERS => {
                    let mut fields = String::new();
                    let each = |name: &[u8], value: &[u8]| {
                        let text = [name, value].map(String::from_utf8_lossy);
                        write!(fields, " {} {}", text[0], text[1]).unwrap();
                    };
                    self.decoder.decode(payload, each).unwrap();
                    writeln!(text, "HEADERS {stream}:{fields}{end}")
                }
                RST_STREAM => writeln!(text, "RST_STREAM {stream}: {}", code(number(0))),
                SETTINGS if head[4] & ACK != 0 => writeln!(text, "SETTINGS ACK"),
                SETTINGS => writeln!(text, "SETTINGS: {len} bytes"),
                PING => writeln!(text, "PING{}", if head[4] & ACK == 0 { "" } else { " ACK" }),
                GOAWAY => writeln!(text, "GOAWAY {}: {}", number(0), code(number(4))),
                WINDOW_UPDATE => writeln!(text, "WINDOW_UPDATE {stream}: {} bytes", number(0)),
                kind => writeln!(text, "type {kind}"),
            }
            .unwrap();
        }
        assert!(output.is_empty(), "half a frame");
        text
    }
}

fn code(code: u32) -> &'static str {
    match code {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        4 => "SETTINGS_TIMEOUT",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        7 => "REFUSED_STREAM",
        8 => "CANCEL",
        9 => "COMPRESSION_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        _ => "another code",
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A whole request.
pub(crate) fn request(stream: u32, body: &[u8]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, POST);
    [head, frame(DATA, END_STREAM, stream, body)].concat()
}

/// The head of a request that goes on.
pub(crate) fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, POST)
}

/// One setting.
pub(crate) fn setting(number: u16, value: u32) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}
