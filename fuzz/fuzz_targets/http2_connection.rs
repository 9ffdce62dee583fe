//! A client that sends anything: nothing panics, what comes out is bounded and made of whole frames, and the
//! division of the input into reads changes nothing.
//!
//! The first byte chooses limits and answers, the second how long each read is.
#![no_main]

use std::sync::LazyLock;
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
use gophership_http2::Rate;
use gophership_http2::RequestBody;
use gophership_http2::Response;
use gophership_http2::Timeouts;
use gophership_http2::Windows;

const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BODY_BYTES_MAX: usize = 300;
const OUTPUT_BYTES_MAX: usize = 4096;
/// Answers that have waited for a window may all go at once.
const SLACK_BYTES: usize = 32 << 10;

static START_TIME: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Stored(Vec<u8>);

impl Body for Stored {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        if BODY_BYTES_MAX < self.0.len() + bytes.len() {
            return Appended::Refused;
        }
        self.0.extend_from_slice(bytes);
        Appended::Stored
    }
}

/// Has no memory every other time, if it is short of it.
struct Memory {
    is_short: bool,
    asked: usize,
}

impl BodySource for Memory {
    type Body = Stored;

    fn body(&mut self, incoming: &Incoming<'_>) -> Admit<Stored> {
        assert!(!incoming.first.is_empty());
        self.asked += 1;
        if self.is_short && self.asked % 2 == 1 {
            return Admit::Wait;
        }
        if incoming.head.path() == "/r" {
            return Admit::Refuse;
        }
        Admit::Store(Stored(Vec::new()))
    }
}

fn limits(choice: u8) -> Limits {
    if choice & 1 == 0 {
        return Limits { output_bytes: OUTPUT_BYTES_MAX, ..Limits::default() };
    }
    let few = Rate { burst: 4, per_second: 1 };
    Limits {
        concurrent_streams: 3,
        header_block_bytes: 200,
        continuations: 2,
        header_list_bytes: 300,
        header_fields: 6,
        header_table_bytes: if choice & 2 == 0 { 4096 } else { 100 },
        resets: few,
        refused_streams: few,
        settings: few,
        settings_entries: 3,
        pings: few,
        priorities: few,
        window_updates: few,
        empty_frames: few,
        ignored_frames: few,
        queued_answer_bytes: 100,
        output_bytes: OUTPUT_BYTES_MAX,
        ..Limits::default()
    }
}

/// What came out: the numbers of requests and their bodies, and what was written.
#[derive(Default, PartialEq, Debug)]
struct Outcome {
    requests: Vec<(u32, usize)>,
    written: Vec<u8>,
}

fn run(choice: u8, bytes: &[u8], read_bytes: usize, answers: bool) -> Outcome {
    let limits = limits(choice);
    let mut now = *START_TIME;
    let windows = Windows { connection_bytes: 70_000, stream_bytes: 1000 };
    let timeouts = Timeouts { idle: Some(Duration::from_secs(60)), ..Timeouts::default() };
    let mut connection = Connection::new(limits, timeouts, windows, now);
    let mut memory = Memory { is_short: choice & 4 != 0, asked: 0 };
    let mut outcome = Outcome::default();
    let ok = HeaderBlock::of_status(200);
    for mut read in [START, bytes].concat().chunks(read_bytes) {
        while !read.is_empty() {
            let received = connection.receive(read, &mut memory, now);
            assert!(received.waits.is_some() == (received.bytes < read.len()));
            read = &read[received.bytes..];
            while let Some(event) = connection.next_event() {
                let Event::Request(request) = event else { continue };
                let len = match &request.body {
                    RequestBody::Whole(body) => body.0.len(),
                    RequestBody::Empty => 0,
                    // How much was stored depends on the reads.
                    RequestBody::Refused(_) => usize::MAX,
                };
                outcome.requests.push((request.stream.get(), len));
                if answers {
                    let body = &[7; 90][..len.min(90)];
                    let response = Response { head: &ok, body, trailers: Some(&ok) };
                    let _ = connection.respond(request.stream, &response);
                }
            }
            assert!(connection.open_streams() <= limits.concurrent_streams as usize);
            let output = connection.output();
            assert!(
                output.len()
                    <= OUTPUT_BYTES_MAX + SLACK_BYTES + read_bytes.min(bytes.len() + 64) * 16
            );
            outcome.written.append(output);
        }
        if choice & 8 != 0 {
            now += Duration::from_secs(3);
            connection.on_time(now);
            assert!(connection.next_deadline().is_none_or(|at| now < at));
        }
    }
    outcome.written.append(connection.output());
    let mut rest = &outcome.written[..];
    while let Some(head) = rest.first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        rest = &rest[9 + len..];
    }
    assert!(rest.is_empty(), "half a frame is written");
    outcome
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [choice, read, bytes @ ..] = bytes else { return };
    let read_bytes = usize::from(*read) + 1;
    run(*choice, bytes, read_bytes, true);
    // Answers come in between where a read ends, and time goes by; without them reads do not matter.
    let choice = choice & !8;
    if choice & 16 != 0 {
        assert_eq!(run(choice, bytes, read_bytes, false), run(choice, bytes, usize::MAX, false));
    }
});
