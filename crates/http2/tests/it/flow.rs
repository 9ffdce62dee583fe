//! Windows in both directions, and memory that is short.
//!
//! Source: RFC 9113, section 5.2 and 6.9.

use gophership_http2::Limits;
use gophership_http2::Timeouts;
use gophership_http2::Windows;

use crate::client::*;

/// A client with windows of so many bytes for the connection and each stream.
fn client(connection_bytes: u32, stream_bytes: u32) -> Client {
    let windows = Windows { connection_bytes, stream_bytes };
    let mut client = Client::with(Limits::default(), Timeouts::default(), windows);
    client.told();
    client
}

fn data(stream: u32, bytes: usize) -> Vec<u8> {
    frame(DATA, 0, stream, &vec![7; bytes])
}

#[test]
fn windows_are_opened_when_half_of_them_is_used() {
    let mut client = client(200_000, 100_000);
    client.send(&head(1));
    assert_eq!(client.send(&data(1, 49_999)), "");
    assert_eq!(client.send(&data(1, 1)), "WINDOW_UPDATE 1: 50000 bytes\n");
    let told = client.send(&data(1, 50_000));
    assert_eq!(told, "WINDOW_UPDATE 0: 100000 bytes\nWINDOW_UPDATE 1: 50000 bytes\n");
    let end = frame(DATA, END_STREAM, 1, &vec![7; 60_000]);
    assert_eq!(client.send(&end), "1 POST /v1/logs: 160000 bytes\n", "nothing for an ended stream");
}

#[test]
fn the_window_of_the_connection_is_opened_once_a_mib() {
    let mut client = client(16 << 20, 4 << 20);
    let mut updates = 0;
    for idx in 0..64 {
        let told = client.send(&request(2 * idx + 1, &vec![7; 64 << 10]));
        updates += told.matches("WINDOW_UPDATE").count();
        client.answer(0);
    }
    assert_eq!(updates, 4, "4 MiB came");
}

#[test]
fn what_is_thrown_away_opens_the_window_of_the_connection_too() {
    let mut client = client(100_000, 100_000);
    client.send(&[head(1), reset(1), head(3), frame(HEADERS, END_HEADERS, 3, b"\x84")].concat());
    // Stream 3 was reset by the server, so what comes for it is ignored.
    assert_eq!(client.send(&data(3, 50_000)), "WINDOW_UPDATE 0: 50000 bytes\n");
    client.send(&head(5));
    assert_eq!(client.send(&frame(DATA, PADDED, 5, &[[255].as_slice(), &[0; 255]].concat())), "");
    let rest = client.send(&data(5, 49_744));
    assert_eq!(
        rest, "WINDOW_UPDATE 0: 50000 bytes\nWINDOW_UPDATE 5: 50000 bytes\n",
        "with padding"
    );
}

#[test]
fn more_than_a_window_is_an_error() {
    let mut small = client(70_000, 70_000);
    small.memory.free_bytes = 0;
    small.send(&[head(1), head(3)].concat());
    let told = small.send(&data(1, 70_001));
    assert_eq!(told, "GOAWAY 3: FLOW_CONTROL_ERROR\n");
    let mut large = client(1 << 20, 70_000);
    large.send(&head(1));
    assert_eq!(large.send(&data(1, 70_001)), "RST_STREAM 1: FLOW_CONTROL_ERROR\n");
    assert_eq!(large.send(&request(3, b"a")), "3 POST /v1/logs: 1 bytes\n");
}

#[test]
fn an_answer_waits_for_both_windows() {
    let mut client = Client::new();
    client.send(&setting(4, 10));
    client.send(&[request(1, b"a"), request(3, b"b")].concat());
    assert_eq!(client.answer(25), "HEADERS 1: :status 200\nDATA 1: 10 bytes\n");
    assert_eq!(client.send(&window_update(1, 5)), "DATA 1: 5 bytes\n");
    assert_eq!(client.connection.waiting_answers(), 1);
    let end = "DATA 1: 10 bytes\nHEADERS 1: grpc-status 0, end\n";
    assert_eq!(client.send(&setting(4, 20)), format!("{end}SETTINGS ACK\n"));
    assert_eq!(client.connection.waiting_answers(), 0);
    // 65,535 less 25 are left of the window of the connection.
    client.send(&window_update(3, 1_000_000));
    assert_eq!(client.answer(70_000).matches("DATA 3: 16384 bytes").count(), 3);
    let told = client.send(&window_update(0, 100_000));
    assert_eq!(told, "DATA 3: 4490 bytes\nHEADERS 3: grpc-status 0, end\n");
}

#[test]
fn a_window_may_be_below_zero() {
    let mut client = Client::new();
    client.send(&request(1, b"a"));
    client.send(&setting(4, 30));
    assert_eq!(client.answer(40), "HEADERS 1: :status 200\nDATA 1: 30 bytes\n");
    client.send(&setting(4, 10));
    assert_eq!(client.send(&window_update(1, 20)), "", "it is 0 now");
    let told = client.send(&window_update(1, 10));
    assert_eq!(told, "DATA 1: 10 bytes\nHEADERS 1: grpc-status 0, end\n");
}

#[test]
fn frames_have_the_size_that_the_peer_allows() {
    let mut client = Client::new();
    client.send(&setting(5, 20_000));
    client.send(&request(1, b"a"));
    let told = client.answer(30_000);
    assert!(told.contains("DATA 1: 20000 bytes\nDATA 1: 10000 bytes\n"), "{told}");
}

#[test]
fn a_window_that_overflows_is_an_error() {
    let max = (1 << 31) - 1;
    assert_eq!(Client::new().send(&window_update(0, max)), "GOAWAY 0: FLOW_CONTROL_ERROR\n");
    assert_eq!(Client::new().send(&window_update(0, 0)), "GOAWAY 0: PROTOCOL_ERROR\n");
    let mut client = Client::new();
    client.send(&[head(1), head(3), head(5)].concat());
    assert_eq!(client.send(&window_update(1, max)), "RST_STREAM 1: FLOW_CONTROL_ERROR\n");
    assert_eq!(client.send(&window_update(3, 0)), "RST_STREAM 3: PROTOCOL_ERROR\n");
    assert_eq!(client.send(&window_update(5, max - 65_535)), "");
    assert_eq!(client.send(&setting(4, 65_536)), "GOAWAY 5: FLOW_CONTROL_ERROR\n");
}

/// Scenario: there is no memory for the first of two requests in one read.
/// Guarantees: the connection stops in front of its body, nothing is lost, and both come when there is memory.
#[test]
fn a_request_without_memory_waits_in_the_buffer_of_the_caller() {
    let mut client = Client::new();
    client.memory.free_bytes = 0;
    let both = [request(1, &[7; 1000]), request(3, b"b")].concat();
    assert_eq!(client.send(&both), "1 waits\n");
    assert_eq!(client.send(b""), "1 waits\n");
    client.memory.free_bytes = 1;
    assert_eq!(client.send(b""), "1 POST /v1/logs: 1000 bytes\n3 POST /v1/logs: 1 bytes\n");
}

/// Scenario: the caller answers a request for which it has found no memory.
/// Guarantees: the body is thrown away, and the connection goes on.
#[test]
fn a_request_that_waits_may_be_answered() {
    let mut client = Client::new();
    client.memory.free_bytes = 0;
    let told = client.send(&[head(1), data(1, 1000), request(3, b"")].concat());
    assert_eq!(told, "1 waits\n");
    let waiting = client.connection.receive(b"x", &mut client.memory, client.now).waits.unwrap();
    assert!(client.answer_to(waiting, 0).ends_with("RST_STREAM 1: NO_ERROR\n"));
    assert_eq!(client.send(b""), "3 POST /v1/logs: empty\n");
}

#[test]
fn windows_follow_the_caller() {
    let mut client = client(16 << 20, 4 << 20);
    client.send(&head(1));
    let small = Windows { connection_bytes: 100_000, stream_bytes: 70_000 };
    client.connection.set_windows(small, client.now);
    assert_eq!(client.told(), "SETTINGS: 6 bytes\n");
    // What was allowed before is still allowed until the peer has acknowledged.
    assert_eq!(client.send(&data(1, 1_000_000)), "");
    client.memory.is_refusing = true;
    let larger = Windows { connection_bytes: 100_000, stream_bytes: 80_000 };
    client.connection.set_windows(larger, client.now);
    assert_eq!(client.told(), "", "one change at a time");
    assert_eq!(client.send(&frame(SETTINGS, ACK, 0, b"")), "SETTINGS: 6 bytes\n");
    client.send(&frame(SETTINGS, ACK, 0, b""));
    client.send(&head(3));
    assert_eq!(client.send(&data(3, 80_001)), "RST_STREAM 3: FLOW_CONTROL_ERROR\n");
    let large = Windows { connection_bytes: 20 << 20, stream_bytes: 4 << 20 };
    client.connection.set_windows(large, client.now);
    let told = client.told();
    assert!(
        told.starts_with("WINDOW_UPDATE 0: ") && told.ends_with("SETTINGS: 6 bytes\n"),
        "{told}"
    );
}
