//! Deadlines and the end of a connection.

use std::time::Duration;

use gophership_http2::Limit;
use gophership_http2::Limits;
use gophership_http2::Timeouts;
use gophership_http2::Windows;

use crate::client::*;

const NONE: Timeouts = Timeouts {
    preface: None,
    settings_ack: None,
    header_block: None,
    request_progress: None,
    request_progress_bytes: 64 << 10,
    request_age: None,
    idle: None,
    keepalive_every: None,
    keepalive_within: Duration::from_secs(10),
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn client(timeouts: Timeouts) -> Client {
    let mut client = Client::with(Limits::default(), timeouts, Windows::default());
    client.told();
    client
}

fn silent(timeouts: Timeouts) -> Client {
    let mut client = Client::silent(Limits::default(), timeouts, Windows::default());
    client.told();
    client
}

#[test]
fn without_timeouts_there_is_no_deadline() {
    let mut client = client(NONE);
    client.send(&head(1));
    assert_eq!(client.connection.next_deadline(), None);
}

#[test]
fn the_preface_and_the_acknowledgement_of_settings_must_come() {
    let mut client = silent(Timeouts { preface: Some(seconds(5)), ..NONE });
    client.send(PREFACE);
    assert_eq!(client.wait(4), "");
    assert_eq!(client.wait(1), "GOAWAY 0: PROTOCOL_ERROR\n");
    let mut client = silent(Timeouts { settings_ack: Some(seconds(5)), ..NONE });
    client.send(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    assert_eq!(client.wait(5), "GOAWAY 0: SETTINGS_TIMEOUT\n");
    assert_eq!(client.connection.error().unwrap().limit, Some(Limit::Time));
}

#[test]
fn a_header_block_has_its_time_however_it_trickles() {
    let timeouts = Timeouts { header_block: Some(seconds(5)), ..NONE };
    let mut continued = client(timeouts);
    continued.send(&frame(HEADERS, 0, 1, POST));
    for _ in 0..4 {
        assert_eq!(continued.wait(1), "");
        continued.send(&frame(CONTINUATION, 0, 1, b""));
    }
    assert_eq!(continued.wait(1), "GOAWAY 0: ENHANCE_YOUR_CALM\n");
    let mut trickling = client(timeouts);
    let mut head = head(1);
    head.truncate(6);
    for byte in &head[..5] {
        assert_eq!(trickling.send(&[*byte]), "");
        assert_eq!(trickling.connection.error(), None);
        trickling.wait(1);
    }
    assert!(trickling.connection.error().is_some());
    let mut busy = client(timeouts);
    let whole = request(1, b"a");
    // Each read ends inside of a frame, and each time of another one.
    busy.send(&whole[..5]);
    for idx in 0..10 {
        busy.wait(3);
        busy.send(&[&request(2 * idx + 1, b"a")[5..], &whole[..3]].concat());
        busy.send(&request(2 * idx + 3, b"a")[3..5]);
    }
    assert_eq!(busy.connection.error(), None);
}

#[test]
fn a_silent_peer_is_asked_and_then_cut_off() {
    let mut client = client(Timeouts { keepalive_every: Some(seconds(10)), ..NONE });
    client.wait(5);
    client.send(&request(1, b"a"));
    assert_eq!(client.wait(9), "");
    assert_eq!(client.wait(1), "PING\n");
    client.send(&frame(PING, ACK, 0, b"are.you?"));
    assert_eq!(client.wait(10), "PING\n");
    assert_eq!(client.wait(10), "GOAWAY 1: NO_ERROR\n");
}

#[test]
fn a_request_that_does_not_come_on_stalls_and_an_old_one_is_late() {
    let timeouts =
        Timeouts { request_progress: Some(seconds(5)), request_age: Some(seconds(12)), ..NONE };
    let mut client = client(timeouts);
    client.send(&head(1));
    for _ in 0..2 {
        client.wait(4);
        client.send(&frame(DATA, 0, 1, &vec![7; 64 << 10]));
    }
    assert_eq!(client.wait(3), "");
    client.send(&frame(DATA, 0, 1, &vec![7; 1000]));
    assert_eq!(client.wait(1), "1 is late\n");
    assert_eq!(client.wait(1), "1 stalls\n");
    assert_eq!(client.send(&frame(DATA, END_STREAM, 1, b"")), "1 POST /v1/logs: 132072 bytes\n");
    assert_eq!(client.wait(60), "", "its answer is the caller's affair");
}

#[test]
fn a_connection_without_requests_is_idle() {
    let mut client = client(Timeouts { idle: Some(seconds(60)), ..NONE });
    client.wait(30);
    client.send(&request(1, b"a"));
    assert_eq!(client.wait(100), "");
    client.answer(0);
    let told = client.wait(120);
    assert_eq!(told, "idle\n", "between 60 and 120 seconds after the last answer");
    assert_eq!(client.wait(600), "", "once");
}

#[test]
fn the_end_is_announced_and_requests_on_their_way_are_answered() {
    let mut client = Client::new();
    client.send(&request(1, b"a"));
    client.connection.shut_down();
    assert_eq!(client.told(), "GOAWAY 2147483647: NO_ERROR\nPING\n");
    assert_eq!(client.send(&request(3, b"a")), "3 POST /v1/logs: 1 bytes\n", "sent before it knew");
    assert_eq!(client.send(&frame(PING, ACK, 0, b"closing.")), "GOAWAY 3: NO_ERROR\n");
    assert_eq!(client.send(&request(5, b"a")), "", "ignored");
    client.answer(0);
    assert!(!client.connection.is_finished());
    client.answer(0);
    assert!(client.connection.is_finished());
    assert_eq!(client.connection.error(), None);
}

#[test]
fn a_second_demand_to_end_does_not_wait_for_the_peer() {
    let mut client = Client::new();
    client.connection.shut_down();
    client.told();
    client.connection.shut_down();
    assert_eq!(client.told(), "GOAWAY 0: NO_ERROR\n");
    assert!(client.connection.is_finished());
}

#[test]
fn a_peer_that_says_goodbye_gets_its_answers() {
    let mut client = Client::new();
    client.send(&request(1, b"a"));
    assert_eq!(client.send(&frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0and some text")), "");
    assert!(!client.connection.is_finished());
    assert!(client.answer(1).ends_with("end\n"));
    assert!(client.connection.is_finished());
}
