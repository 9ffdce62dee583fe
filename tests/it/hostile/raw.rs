//! Connections byte by byte: HTTP/1, and HTTP/2 frames with headers that are not compressed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const ACK: u8 = 1;

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The preface and empty settings.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Headers, each as a literal that is not indexed.
pub(super) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The headers of an export of logs over gRPC.
pub(super) fn export() -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

pub(super) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Connects and sends some bytes.
pub(super) async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the other side ends the connection, and returns what came; `None` if it does not.
pub(super) async fn read_to_end(stream: &mut TcpStream, within: Duration) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let reading = async {
        let mut piece = vec![0; 16 << 10];
        // A reset is an end as well.
        while let Ok(len) = stream.read(&mut piece).await {
            if len == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..len]);
        }
    };
    tokio::time::timeout(within, reading).await.ok()?;
    Some(bytes)
}

/// Reads one answer of HTTP/1 with its body, and leaves the connection open.
pub(super) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if len.map_or(0, |len| len.parse().unwrap()) <= body.len() {
                    return text;
                }
            }
            let mut piece = vec![0; 4096];
            let len = stream.read(&mut piece).await.expect("the answer can be read");
            assert!(0 < len, "the connection ended before the answer: {text}");
            bytes.extend_from_slice(&piece[..len]);
        }
    };
    tokio::time::timeout(super::SOON, reading).await.expect("there is an answer")
}

/// An HTTP/2 client that sends nothing but what the protocol demands. Returns whether it was told to
/// go before the connection ended; `None` if that does not end.
pub(super) async fn only_acknowledge(stream: &mut TcpStream, within: Duration) -> Option<bool> {
    let mut was_told = false;
    let talking = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            was_told |= head[3] == GOAWAY;
            let answer = match (head[3], head[4] & ACK) {
                (PING, 0) => frame(PING, ACK, 0, &payload),
                (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[]),
                _ => continue,
            };
            // If the other side has ended the connection, what it said before is still to be read.
            let _late = stream.write_all(&answer).await;
        }
    };
    tokio::time::timeout(within, talking).await.ok()?;
    Some(was_told)
}
