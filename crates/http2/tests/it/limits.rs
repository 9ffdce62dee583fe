//! What a hostile peer can do: everything is counted, and ends the connection when it is too much.

use gophership_http2::Limit;
use gophership_http2::Limits;
use gophership_http2::Rate;

use crate::client::*;

const FEW: Rate = Rate { burst: 10, per_second: 1 };
const CALM: &str = "ENHANCE_YOUR_CALM\n";

/// Sends these frames again and again until the connection ends, and returns how often that was and which limit
/// was exceeded.
fn flood(mut client: Client, frames: impl Fn(u32) -> Vec<u8>) -> (u32, Limit) {
    for count in 0..1000 {
        let told = client.send(&frames(count));
        if told.ends_with(CALM) {
            return (count, client.connection.error().unwrap().limit.unwrap());
        }
        assert!(!told.contains("GOAWAY"), "{told}");
    }
    panic!("there is no limit");
}

fn few(change: impl Fn(&mut Limits)) -> Client {
    let mut limits = Limits::default();
    change(&mut limits);
    Client::with_limits(limits)
}

#[test]
fn floods_end_the_connection() {
    let client = few(|limits| limits.pings = FEW);
    assert_eq!(flood(client, |_| frame(PING, 0, 0, &[0; 8])), (10, Limit::Pings));
    let client = few(|limits| limits.settings = FEW);
    // The first settings count.
    assert_eq!(flood(client, |_| frame(SETTINGS, 0, 0, b"")), (9, Limit::Settings));
    let client = few(|limits| limits.priorities = FEW);
    let priority = |_| frame(PRIORITY, 0, 1, &[0; 5]);
    assert_eq!(flood(client, priority), (10, Limit::Priorities));
    let client = few(|limits| limits.window_updates = FEW);
    assert_eq!(flood(client, |_| window_update(0, 1)), (10, Limit::WindowUpdates));
    let client = few(|limits| limits.ignored_frames = FEW);
    assert_eq!(flood(client, |_| frame(77, 0, 0, b"")), (10, Limit::IgnoredFrames));
    let mut client = few(|limits| limits.empty_frames = FEW);
    client.send(&head(1));
    assert_eq!(flood(client, |_| frame(DATA, 0, 1, b"")), (10, Limit::EmptyFrames));
    let mut client = few(|limits| limits.empty_frames = FEW);
    client.send(&head(1));
    let padding = |_| frame(DATA, PADDED, 1, &[3, 0, 0, 0]);
    assert_eq!(flood(client, padding), (10, Limit::EmptyFrames));
}

#[test]
fn a_rate_comes_back_with_time_and_with_requests() {
    let mut client = few(|limits| limits.pings = FEW);
    let ping = frame(PING, 0, 0, &[0; 8]);
    client.send(&ping.repeat(10));
    client.wait(5);
    assert_eq!(client.send(&ping.repeat(5)).matches("PING ACK").count(), 5);
    client.send(&request(1, b"a"));
    assert_eq!(client.send(&ping.repeat(4)).matches("PING ACK").count(), 4);
    assert!(client.send(&ping).ends_with(CALM));
}

#[test]
fn rapid_resets_end_the_connection() {
    let client = few(|limits| limits.resets = FEW);
    let rapid = |count: u32| [request(2 * count + 1, b"a"), reset(2 * count + 1)].concat();
    assert_eq!(flood(client, rapid), (10, Limit::Resets));
    // The same, but made by errors of streams.
    let client = few(|limits| limits.resets = FEW);
    let made = |count: u32| [head(2 * count + 1), window_update(2 * count + 1, 0)].concat();
    assert_eq!(flood(client, made), (10, Limit::Resets));
    let client = few(|limits| limits.resets = FEW);
    let malformed = |count: u32| frame(HEADERS, END_HEADERS, 2 * count + 1, b"\x83");
    assert_eq!(flood(client, malformed), (10, Limit::Resets));
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let mut client = few(|limits| {
        limits.concurrent_streams = 2;
        limits.refused_streams = FEW;
    });
    client.send(&[request(1, b"a"), head(3)].concat());
    assert_eq!(client.send(&request(5, b"a")), "RST_STREAM 5: REFUSED_STREAM\n");
    client.answer(0);
    assert_eq!(client.send(&request(7, b"a")), "7 POST /v1/logs: 1 bytes\n");
    let refused = |count: u32| head(2 * count + 9);
    assert_eq!(flood(client, refused), (9, Limit::RefusedStreams));
}

#[test]
fn a_header_block_has_a_limit_in_bytes_and_in_frames() {
    let mut client = few(|limits| limits.header_block_bytes = 100);
    assert!(client.send(&frame(HEADERS, 0, 1, &[0; 400])).ends_with(CALM));
    let mut client = few(|limits| limits.header_block_bytes = 100);
    client.send(&frame(HEADERS, 0, 1, &[0; 90]));
    assert!(client.send(&frame(CONTINUATION, 0, 1, &[0; 11])).ends_with(CALM));
    let mut client = few(|limits| limits.continuations = 3);
    client.send(&frame(HEADERS, 0, 1, b""));
    let continuation = |_| frame(CONTINUATION, 0, 1, b"");
    assert_eq!(flood(client, continuation), (3, Limit::Continuations));
    let mut client = few(|limits| limits.settings_entries = 2);
    assert!(client.send(&frame(SETTINGS, 0, 0, &[0; 18])).ends_with(CALM));
}

/// Scenario: a header block of 20 KiB that refers to one field of the dynamic table again and again, so that it
/// decodes to megabytes.
/// Guarantees: the request is answered with 431, and the connection goes on.
#[test]
fn a_block_that_decodes_to_megabytes_is_not_stored() {
    let mut client = Client::new();
    let mut adding = POST.to_vec();
    adding.extend_from_slice(b"\x40\x01x\x7f\xa1\x1e");
    adding.extend_from_slice(&[b'v'; 4000]);
    assert_eq!(
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &adding)),
        "1 POST /v1/logs: empty\n"
    );
    let bomb = [POST, &vec![0xbe; 20_000]].concat();
    let told = client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &bomb));
    assert_eq!(told, "HEADERS 3: :status 431, end\n");
    let told = client.send(&frame(HEADERS, END_HEADERS, 5, &bomb));
    assert_eq!(told, "HEADERS 5: :status 431, end\nRST_STREAM 5: NO_ERROR\n");
    assert_eq!(client.send(&frame(DATA, END_STREAM, 5, b"abc")), "");
    assert_eq!(client.send(&request(7, b"a")), "7 POST /v1/logs: 1 bytes\n");
    assert_eq!(client.connection.counters().large_heads, 2);
}

#[test]
fn answers_that_nobody_takes_end_the_connection() {
    let mut client = few(|limits| limits.queued_answer_bytes = 1000);
    client.send(&setting(4, 0));
    client.send(&[request(1, b"a"), request(3, b"a"), request(5, b"a")].concat());
    assert_eq!(client.answer(900), "HEADERS 1: :status 200\n");
    client.send(&reset(1));
    assert_eq!(
        client.answer_to(client.requests[0], 900),
        "HEADERS 3: :status 200\n",
        "room is back"
    );
    let told = client.answer_to(client.requests[1], 900);
    assert!(told.ends_with(CALM), "{told}");
    assert_eq!(client.connection.error().unwrap().limit, Some(Limit::QueuedAnswers));
}

#[test]
fn output_that_nobody_sends_ends_the_connection() {
    let mut client = few(|limits| limits.output_bytes = 1000);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(59);
    let mut receive = |bytes: &[u8]| {
        let received = client.connection.receive(bytes, &mut client.memory, client.now);
        assert_eq!(received.bytes, bytes.len());
        client.connection.error().and_then(|error| error.limit)
    };
    // An answer has 17 bytes.
    assert_eq!(receive(&pings[..17 * 58]), None);
    assert_eq!(receive(&pings[17 * 58..]), Some(Limit::Output));
}
