//! Limits that a connection announces: streams at once, and the size of headers.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::SOON;
use super::Scene;
use super::YAML;
use super::raw;

const SERVERS: [&str; 2] = ["builtin", "hyper"];
const STREAMS: u32 = 3;
/// What a block of headers may have once it is read, and what a frame may have.
const HEADER_BYTES_MAX: usize = 16 << 10;
const FRAME_BYTES: usize = 16 << 10;
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
/// others stay. Both HTTP/2 servers do so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_beyond_the_limit_is_refused_and_the_others_stay() {
    for server in SERVERS {
        refuses_a_stream(server).await;
    }
}

/// The configuration with one of the HTTP/2 servers.
fn with_server(server: &str) -> String {
    YAML.replace("    connection:\n", &format!("    connection:\n      http2: {server}\n"))
}

async fn refuses_a_stream(server: &str) {
    let yaml = with_server(server);
    let yaml = yaml.replace("$CONNECTIONS", &format!("20\n    streams_max: {STREAMS}"));
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
    assert!(another.await.is_err(), "{server}: the others stay");
}

/// An export with further headers of so many bytes, in as many frames as they need, and no body.
fn export_with(bytes: usize) -> Vec<u8> {
    let line = raw::block(&[("x-large", &"x".repeat(100))]);
    let more = line.repeat(bytes.div_ceil(line.len()));
    let block = [raw::export(), more].concat();
    let mut pieces = block.chunks(FRAME_BYTES).peekable();
    let mut kind = (raw::HEADERS, raw::END_STREAM);
    let mut frames = Vec::new();
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { raw::END_HEADERS } else { 0 };
        frames.extend(raw::frame(kind.0, kind.1 | end, 1, piece));
        kind = (raw::CONTINUATION, 0);
    }
    frames
}

/// Whether the answer is one of gRPC, so that the request came to the source; or the stream or the connection ended.
async fn is_let_through(server: &str, bytes: usize) -> bool {
    let scene = Scene::with(&with_server(server).replace("$CONNECTIONS", "20")).await;
    let hello = [raw::hello(), export_with(bytes)].concat();
    let mut stream = raw::send(scene.site.grpc(), &hello).await;
    let answered = |kind: u8, number: u32, payload: &[u8]| match kind {
        raw::HEADERS if number == 1 => Some(!holds_status(payload, "431")),
        raw::RST_STREAM if number == 1 => Some(false),
        raw::GOAWAY => Some(false),
        _ => None,
    };
    frame_with(&mut stream, answered).await.unwrap_or(false)
}

/// Whether a block of headers has this text, as it is or in the code of Huffman that digits have in HPACK.
fn holds_status(block: &[u8], status: &str) -> bool {
    // The codes of digits are from 5 to 6 bits long: 0 to 2 are 0 to 2, and 3 to 9 are 0x19 to 0x1f.
    let (mut code, mut bits) = (0_u32, 0_u32);
    for digit in status.bytes().map(|digit| u32::from(digit - b'0')) {
        let (value, len) = if digit < 3 { (digit, 5) } else { (0x16 + digit, 6) };
        (code, bits) = (code << len | value, bits + len);
    }
    let padding = (8 - bits % 8) % 8;
    let code = code << padding | ((1 << padding) - 1);
    let unused = usize::try_from(4 - (bits + padding) / 8).unwrap();
    let huffman = code.to_be_bytes()[unused..].to_vec();
    let holds = |wanted: &[u8]| block.windows(wanted.len()).any(|window| window == wanted);
    holds(status.as_bytes()) || holds(&huffman)
}

/// Scenario: exports over HTTP/2 with headers of 8 KiB, which is below the limit, and of twice the limit.
/// Guarantees: both HTTP/2 servers let the first through to the answer for its missing body, and not the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_beyond_the_limit_do_not_come_to_the_source() {
    for server in SERVERS {
        assert!(is_let_through(server, HEADER_BYTES_MAX / 2).await, "{server}");
        assert!(!is_let_through(server, HEADER_BYTES_MAX * 2).await, "{server}");
    }
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
