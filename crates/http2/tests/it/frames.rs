//! The preface, frames and their places.
//!
//! Source: RFC 9113, sections 3.4, 4 and 6.

use gophership_http2::Limits;
use gophership_http2::Timeouts;
use gophership_http2::Windows;

use crate::client::*;

/// What a fresh connection answers to a frame.
fn after(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> String {
    Client::new().send(&frame(kind, flags, stream, payload))
}

fn goaway(stream: u32, code: &str) -> String {
    format!("GOAWAY {stream}: {code}\n")
}

#[test]
fn the_server_speaks_first_and_acknowledges_settings() {
    let mut client = Client::silent(Limits::default(), Timeouts::default(), Windows::default());
    assert_eq!(client.told(), "SETTINGS: 30 bytes\nWINDOW_UPDATE 0: 16711681 bytes\n");
    assert_eq!(client.send(PREFACE), "");
    assert_eq!(client.send(&setting(3, 100)), "SETTINGS ACK\n");
    assert_eq!(client.send(&frame(SETTINGS, ACK, 0, b"")), "");
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"] {
        let mut client = Client::silent(Limits::default(), Timeouts::default(), Windows::default());
        client.told();
        assert_eq!(client.send(bytes), goaway(0, "PROTOCOL_ERROR"));
        assert_eq!(client.send(PREFACE), "", "nothing follows");
        assert!(client.connection.is_finished());
    }
}

#[test]
fn the_first_frame_is_settings() {
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, b""), head(1)] {
        let mut client = Client::silent(Limits::default(), Timeouts::default(), Windows::default());
        client.told();
        assert_eq!(client.send(&[PREFACE, &first].concat()), goaway(0, "PROTOCOL_ERROR"));
    }
}

#[test]
fn frames_of_the_wrong_length_end_the_connection() {
    for (kind, flags, stream, len) in [
        (PING, 0, 0, 7),
        (PING, 0, 0, 9),
        (RST_STREAM, 0, 1, 3),
        (WINDOW_UPDATE, 0, 0, 5),
        (SETTINGS, 0, 0, 5),
        (SETTINGS, ACK, 0, 6),
        (GOAWAY, 0, 0, 7),
        (HEADERS, END_HEADERS | PADDED, 1, 0),
        (HEADERS, END_HEADERS | PRIORITISED, 1, 4),
    ] {
        let told = after(kind, flags, stream, &vec![0; len]);
        assert_eq!(told, goaway(0, "FRAME_SIZE_ERROR"), "type {kind} of {len}");
    }
    assert_eq!(after(PRIORITY, 0, 1, &[0; 4]), "RST_STREAM 1: FRAME_SIZE_ERROR\n");
    let large = Limits { frame_bytes: 16 << 10, ..Limits::default() };
    let mut client = Client::with_limits(large);
    let told = client.send(&frame(DATA, 0, 1, &vec![0; (16 << 10) + 1]));
    assert_eq!(told, goaway(0, "FRAME_SIZE_ERROR"));
}

#[test]
fn frames_on_the_wrong_stream_end_the_connection() {
    for (kind, stream, len) in [
        (SETTINGS, 1, 0),
        (PING, 1, 8),
        (GOAWAY, 1, 8),
        (DATA, 0, 1),
        (HEADERS, 0, 1),
        (PRIORITY, 0, 5),
        (RST_STREAM, 0, 4),
        (RST_STREAM, 1, 4),
        (WINDOW_UPDATE, 1, 4),
        (WINDOW_UPDATE, 2, 4),
        (DATA, 1, 1),
        (DATA, 2, 1),
        (CONTINUATION, 1, 1),
        (PUSH_PROMISE, 1, 4),
    ] {
        let told = after(kind, END_HEADERS & !ACK, stream, &vec![1; len]);
        assert_eq!(told, goaway(0, "PROTOCOL_ERROR"), "type {kind} on {stream}");
    }
    assert_eq!(after(HEADERS, END_HEADERS, 2, POST), goaway(0, "PROTOCOL_ERROR"));
}

#[test]
fn settings_that_are_not_allowed_end_the_connection() {
    for (number, value, code) in [
        (2, 2, "PROTOCOL_ERROR"),
        (4, 1 << 31, "FLOW_CONTROL_ERROR"),
        (5, (16 << 10) - 1, "PROTOCOL_ERROR"),
        (5, 1 << 24, "PROTOCOL_ERROR"),
    ] {
        assert_eq!(Client::new().send(&setting(number, value)), goaway(0, code), "{number}");
    }
    for (number, value) in [(2, 0), (2, 1), (4, 0), (5, 1 << 20), (99, 7)] {
        assert_eq!(Client::new().send(&setting(number, value)), "SETTINGS ACK\n", "{number}");
    }
}

#[test]
fn pings_are_answered_and_their_answers_are_not() {
    assert_eq!(after(PING, 0, 0, &[0; 8]), "PING ACK\n");
    assert_eq!(after(PING, ACK, 0, &[0; 8]), "");
}

#[test]
fn unknown_frames_and_unknown_flags_are_ignored() {
    let mut client = Client::new();
    assert_eq!(client.send(&frame(0x16, 0xff, 0, &[0; 8])), "");
    assert_eq!(client.send(&frame(0x16, 0xff, 7, &[])), "");
    assert_eq!(client.send(&frame(PING, 0xfe, 0, &[0; 8])), "PING ACK\n");
    assert_eq!(client.send(&request(1, b"abc")), "1 POST /v1/logs: 3 bytes\n");
    assert_eq!(client.connection.counters().ignored_frames, 2);
}

#[test]
fn a_header_block_goes_on_in_continuation_and_nowhere_else() {
    let begin = frame(HEADERS, END_STREAM, 1, &POST[..5]);
    let mut client = Client::new();
    assert_eq!(client.send(&begin), "");
    assert_eq!(client.send(&frame(CONTINUATION, 0, 1, &POST[5..7])), "");
    let told = client.send(&frame(CONTINUATION, END_HEADERS, 1, &POST[7..]));
    assert_eq!(told, "1 POST /v1/logs: empty\n");
    for inside in [
        frame(PING, 0, 0, &[0; 8]),
        frame(CONTINUATION, END_HEADERS, 3, &POST[5..]),
        frame(DATA, 0, 1, b""),
        frame(0x16, 0, 1, b""),
        head(3),
    ] {
        let mut client = Client::new();
        let told = client.send(&[&begin[..], &inside].concat());
        assert_eq!(told, goaway(0, "PROTOCOL_ERROR"));
    }
}

#[test]
fn padding_is_thrown_away() {
    let mut client = Client::new();
    let padded = [&[3][..], POST, &[0; 3]].concat();
    let head = frame(HEADERS, END_HEADERS | PADDED, 1, &padded);
    let data = frame(DATA, END_STREAM | PADDED, 1, b"\x02abc\0\0");
    assert_eq!(client.send(&[head, data].concat()), "1 POST /v1/logs: 3 bytes\n");
    let only = frame(DATA, END_STREAM | PADDED, 3, &[3, 0, 0, 0]);
    assert_eq!(client.send(&[crate::client::head(3), only].concat()), "3 POST /v1/logs: empty\n");
    for (kind, payload) in [(DATA, &[4, 0, 0, 0][..]), (HEADERS, &[200, 0x83, 0x86][..])] {
        let mut client = Client::new();
        client.send(&crate::client::head(1));
        let told = client.send(&frame(kind, END_HEADERS | PADDED, 1, payload));
        assert_eq!(told, goaway(1, "PROTOCOL_ERROR"));
    }
}

#[test]
fn a_header_block_that_cannot_be_decoded_ends_the_connection() {
    assert_eq!(after(HEADERS, END_HEADERS, 1, &[0x80]), goaway(1, "COMPRESSION_ERROR"));
    let mut client = Client::new();
    client.send(&head(1));
    let told = client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff]));
    assert_eq!(told, goaway(1, "COMPRESSION_ERROR"));
}

#[test]
fn a_stream_that_depends_on_itself_is_reset() {
    assert_eq!(after(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]), "RST_STREAM 1: PROTOCOL_ERROR\n");
    assert_eq!(after(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), "");
    let of = |on: u8| [&[0x80, 0, 0, on, 9][..], POST].concat();
    let flags = END_HEADERS | END_STREAM | PRIORITISED;
    assert_eq!(after(HEADERS, flags, 1, &of(1)), "RST_STREAM 1: PROTOCOL_ERROR\n");
    assert_eq!(after(HEADERS, flags, 1, &of(3)), "1 POST /v1/logs: empty\n");
}
