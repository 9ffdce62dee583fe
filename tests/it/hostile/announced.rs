//! Limits that a connection announces: streams at once, and the size of headers.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::SOON;
use super::Scene;
use super::YAML;
use super::raw;

const STREAMS: u32 = 3;
/// Of a setting of HTTP/2: how many streams a client may have open.
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// And how large the headers of a request may be.
const MAX_HEADER_LIST_SIZE: u16 = 6;
/// The code of a stream that was refused before anything was done with it.
const REFUSED_STREAM: u32 = 7;

/// Reads frames until one is as wanted; answers nothing.
async fn frame_with<T>(
    stream: &mut TcpStream,
    wanted: impl Fn(u8, u32, &[u8]) -> Option<T>,
) -> Option<T> {
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            stream.read_exact(&mut payload).await.ok()?;
            let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if let Some(found) = wanted(head[3], number, &payload) {
                return Some(found);
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.ok()?
}

/// The value of a setting in a frame of settings.
fn setting(payload: &[u8], id: u16) -> Option<u32> {
    let is_it = |entry: &&[u8]| entry[..2] == id.to_be_bytes();
    let entry = payload.chunks_exact(6).find(is_it)?;
    Some(u32::from_be_bytes(entry[2..6].try_into().unwrap()))
}

/// Scenario: a client opens as many streams as it may and one more, and leaves all of them open.
/// Guarantees: the limit is announced; the stream beyond it is refused as one that may come again, and the
/// others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_beyond_the_limit_is_refused_and_the_others_stay() {
    let yaml = YAML.replace("$CONNECTIONS", &format!("20\n    streams_max: {STREAMS}"));
    let yaml = yaml.replace("read_idle_timeout: 2s", "read_idle_timeout: 1m");
    let scene = Scene::with(&yaml).await;
    let mut stream = raw::send(scene.site.grpc(), &raw::hello()).await;
    let announced = |kind: u8, _: u32, payload: &[u8]| {
        (kind == raw::SETTINGS).then(|| setting(payload, MAX_CONCURRENT_STREAMS))
    };
    assert_eq!(frame_with(&mut stream, announced).await, Some(Some(STREAMS)));
    for number in 0..=STREAMS {
        let open = raw::frame(raw::HEADERS, raw::END_HEADERS, 2 * number + 1, &raw::export());
        stream.write_all(&open).await.unwrap();
    }
    let refused = |kind: u8, number: u32, payload: &[u8]| {
        (kind == raw::RST_STREAM).then(|| (number, payload.to_vec()))
    };
    let (number, code) = frame_with(&mut stream, refused).await.expect("one stream is reset");
    assert_eq!((number, code), (2 * STREAMS + 1, REFUSED_STREAM.to_be_bytes().to_vec()));
    // Another end of a stream would come at once.
    let another =
        tokio::time::timeout(Duration::from_millis(300), frame_with(&mut stream, refused));
    assert!(another.await.is_err(), "the others stay");
}

/// Scenario: requests with headers of 8 KiB and of 256 KiB over HTTP/1.
/// Guarantees: the small ones are let through to the answer for their body; the large ones are refused as too
/// large; the limit of HTTP/2 is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_beyond_the_limit_are_refused() {
    let scene = Scene::new(20).await;
    let mut stream = raw::send(scene.site.grpc(), &raw::hello()).await;
    let announced = |kind: u8, _: u32, payload: &[u8]| {
        (kind == raw::SETTINGS).then(|| setting(payload, MAX_HEADER_LIST_SIZE))
    };
    assert_eq!(frame_with(&mut stream, announced).await, Some(Some(16 << 10)));
    for (bytes, status) in [(8 << 10, "http/1.1 200"), (256 << 10, "http/1.1 431")] {
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nX-Large: {}\r\n\r\n",
            "x".repeat(bytes)
        );
        let mut stream = raw::send(scene.site.http(), head.as_bytes()).await;
        let answer = raw::read_answer(&mut stream).await;
        assert!(answer.starts_with(status), "{bytes}: {answer}");
    }
}
