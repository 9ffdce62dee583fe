//! Heads, trailers, states of streams, answers.
//!
//! Source: RFC 9113, sections 5.1 and 8.

use gophership_http2::HeaderBlock;
use gophership_http2::Response;

use crate::client::*;

const ANSWER: &str = "HEADERS 1: :status 200\nDATA 1: 5 bytes\nHEADERS 1: grpc-status 0, end\n";

/// A literal field, in no table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let len = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, len(name)][..], name.as_bytes(), &[len(value)], value.as_bytes()].concat()
}

/// What a fresh connection answers to a request with further fields, and a body of three bytes.
fn with(fields: &[(&str, &str)]) -> String {
    let fields: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let head = frame(HEADERS, END_HEADERS, 1, &[POST, &fields].concat());
    Client::new().send(&[head, frame(DATA, END_STREAM, 1, b"abc")].concat())
}

#[test]
fn a_request_in_one_read_is_one_event_and_its_answer_three_frames() {
    let mut client = Client::new();
    assert_eq!(client.send(&request(1, b"abc")), "1 POST /v1/logs: 3 bytes\n");
    assert_eq!(client.answer(5), ANSWER);
    assert_eq!(client.connection.open_streams(), 0);
    let counters = client.connection.counters();
    assert_eq!((counters.requests, counters.answers, counters.data_bytes), (1, 1, 3));
}

#[test]
fn answers_come_in_any_order_and_go_out_together() {
    let mut client = Client::new();
    let told = client.send(&[request(1, b"a"), request(3, b"bc"), request(5, b"")].concat());
    let expected = "1 POST /v1/logs: 1 bytes\n3 POST /v1/logs: 2 bytes\n5 POST /v1/logs: empty\n";
    assert_eq!(told, expected);
    assert!(
        client.answer(0).starts_with("HEADERS 1: :status 200\nHEADERS 1: grpc-status 0, end\n")
    );
    assert!(client.answer(1).starts_with("HEADERS 3"));
    assert_eq!(client.connection.counters().known_heads, 2, "of three equal heads");
}

#[test]
fn an_answer_may_be_a_head_only_or_have_no_trailers() {
    let mut client = Client::new();
    client.send(&request(1, b"a"));
    client.send(&request(3, b"a"));
    let head = HeaderBlock::of_status(404);
    let mut streams = Vec::new();
    for (id, body) in [(1, &b""[..]), (3, &b"none"[..])] {
        let stream = client.requests[streams.len()];
        assert_eq!(stream.get(), id);
        let response = Response { head: &head, body, trailers: None };
        client.connection.respond(stream, &response).unwrap();
        streams.push(stream);
    }
    let told = client.told();
    assert_eq!(told, "HEADERS 1: :status 404, end\nHEADERS 3: :status 404\nDATA 3: 4 bytes, end\n");
    assert_eq!(client.answer_to(streams[0], 1), "gone\n", "it has its answer");
}

#[test]
fn a_long_block_of_an_answer_goes_on_in_continuation() {
    let mut client = Client::new();
    client.send(&request(1, b"a"));
    let mut head = HeaderBlock::of_status(200);
    head.push("long", &vec![b'x'; 40_000]).unwrap();
    let response = Response { head: &head, body: b"", trailers: None };
    client.connection.respond(client.requests[0], &response).unwrap();
    let output = client.connection.output();
    let mut kinds = Vec::new();
    let mut rest = &output[..];
    while let Some(head) = rest.first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        kinds.push((head[3], head[4], len));
        rest = &rest[9 + len..];
    }
    let last = head.as_bytes().len() - 2 * (16 << 10);
    assert_eq!(
        kinds,
        [
            (HEADERS, END_STREAM, 16 << 10),
            (CONTINUATION, 0, 16 << 10),
            (CONTINUATION, END_HEADERS, last)
        ]
    );
}

#[test]
fn trailers_end_a_request() {
    let trailers = |flags, fields: &[u8]| {
        let mut client = Client::new();
        client.send(&[head(1), frame(DATA, 0, 1, b"abc")].concat());
        client.send(&frame(HEADERS, END_HEADERS | flags, 1, fields))
    };
    assert_eq!(trailers(END_STREAM, &field("x", "1")), "1 POST /v1/logs: 3 bytes\n");
    assert_eq!(trailers(0, &field("x", "1")), "RST_STREAM 1: PROTOCOL_ERROR\n", "not at the end");
    assert_eq!(trailers(END_STREAM, &field(":path", "/")), "RST_STREAM 1: PROTOCOL_ERROR\n");
    assert_eq!(trailers(END_STREAM, &field("Upper", "1")), "RST_STREAM 1: PROTOCOL_ERROR\n");
}

#[test]
fn a_malformed_request_is_reset_and_the_connection_goes_on() {
    for fields in [("Upper", "1"), ("connection", "close"), ("te", "gzip"), ("content-length", "4")]
    {
        assert_eq!(with(&[fields]), "RST_STREAM 1: PROTOCOL_ERROR\n", "{fields:?}");
    }
    assert_eq!(with(&[("content-length", "2")]), "RST_STREAM 1: PROTOCOL_ERROR\n", "too long");
    assert_eq!(with(&[("content-length", "3"), ("te", "trailers")]), "1 POST /v1/logs: 3 bytes\n");
    let mut client = Client::new();
    let bad = frame(HEADERS, END_HEADERS, 1, &[POST, &field("Upper", "1")].concat());
    let told = client.send(&[bad, frame(DATA, END_STREAM, 1, b"abc"), request(3, b"d")].concat());
    assert_eq!(told, "3 POST /v1/logs: 1 bytes\nRST_STREAM 1: PROTOCOL_ERROR\n");
}

#[test]
fn a_body_that_is_announced_and_does_not_come_is_malformed() {
    let block = [POST, &field("content-length", "3")].concat();
    let told = Client::new().send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    assert_eq!(told, "RST_STREAM 1: PROTOCOL_ERROR\n");
}

#[test]
fn who_expects_leave_to_send_gets_it() {
    let block = [POST, &field("expect", "100-continue")].concat();
    let mut client = Client::new();
    let told = client.send(&frame(HEADERS, END_HEADERS, 1, &block));
    assert_eq!(told, "HEADERS 1: :status 100\n");
    assert_eq!(client.send(&frame(DATA, END_STREAM, 1, b"abc")), "1 POST /v1/logs: 3 bytes\n");
}

#[test]
fn a_stream_that_the_peer_has_ended_takes_no_more() {
    for more in [frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, 1, POST)] {
        let mut client = Client::new();
        client.send(&request(1, b"abc"));
        assert_eq!(client.send(&more), "1 is cancelled\nRST_STREAM 1: STREAM_CLOSED\n");
        assert_eq!(client.answer(1), "gone\n");
    }
}

#[test]
fn a_closed_stream_takes_nothing() {
    for more in [frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS, 1, POST)] {
        let mut answered = Client::new();
        answered.send(&request(1, b"abc"));
        answered.answer(1);
        assert_eq!(answered.send(&more), "GOAWAY 1: STREAM_CLOSED\n");
        let mut reset_by_peer = Client::new();
        reset_by_peer.send(&[head(1), reset(1)].concat());
        assert_eq!(reset_by_peer.send(&more), "GOAWAY 1: STREAM_CLOSED\n");
    }
    let mut answered = Client::new();
    answered.send(&request(1, b"abc"));
    answered.answer(1);
    let late = [window_update(1, 1), reset(1), frame(PRIORITY, 0, 1, &[0; 5])].concat();
    assert_eq!(answered.send(&late), "", "these may be late");
}

#[test]
fn numbers_of_streams_rise() {
    let mut client = Client::new();
    client.send(&request(5, b""));
    assert_eq!(client.send(&head(3)), "GOAWAY 5: PROTOCOL_ERROR\n");
}

#[test]
fn what_the_peer_gives_up_is_forgotten_and_the_caller_knows() {
    let mut client = Client::new();
    client.send(&[head(1), frame(DATA, 0, 1, b"abc"), request(3, b"abc")].concat());
    assert_eq!(client.send(&reset(1)), "", "the caller does not have it yet");
    assert_eq!(client.send(&reset(3)), "3 is cancelled\n");
    assert_eq!(client.answer(1), "gone\n");
    assert_eq!(client.connection.open_streams(), 0);
}

#[test]
fn an_answer_before_the_end_of_a_request_stops_the_peer() {
    let mut client = Client::new();
    client.memory.is_refusing = true;
    let begin = [head(1), frame(DATA, 0, 1, b"abc")].concat();
    assert_eq!(client.send(&begin), "1 POST /v1/logs: refused\n");
    assert_eq!(client.send(&frame(DATA, 0, 1, b"def")), "", "thrown away");
    assert_eq!(client.answer(5), format!("{ANSWER}RST_STREAM 1: NO_ERROR\n"));
    let late =
        [frame(DATA, 0, 1, b"ghi"), frame(HEADERS, END_HEADERS | END_STREAM, 1, b"")].concat();
    assert_eq!(client.send(&late), "", "the peer did not know");
    client.memory.is_refusing = false;
    assert_eq!(client.send(&request(3, b"a")), "3 POST /v1/logs: 1 bytes\n");
}

#[test]
fn a_body_that_grows_too_large_is_refused() {
    let mut client = Client::new();
    client.memory.body_bytes_max = 4;
    assert_eq!(client.send(&[head(1), frame(DATA, 0, 1, b"abc")].concat()), "");
    assert_eq!(client.send(&frame(DATA, 0, 1, b"de")), "1 POST /v1/logs: refused\n");
    assert_eq!(client.send(&frame(DATA, END_STREAM, 1, b"f")), "");
    assert_eq!(client.answer(5), ANSWER, "the peer has sent all of it");
}
