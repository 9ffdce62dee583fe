//! Floods of HTTP/2 frames.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::SOON;
use super::Scene;
use super::raw;

/// A flood goes on for so long, unless it is cut off before.
const FLOOD: Duration = Duration::from_secs(3);
/// Frames that are sent at a time.
const AT_A_TIME: u32 = 500;

/// What one flood is made of: `head` first, then the frames that are made of a number, again and again.
#[derive(Clone)]
struct Flood {
    name: &'static str,
    head: Vec<u8>,
    frames: fn(u32) -> Vec<u8>,
}

fn stream_id(number: u32) -> u32 {
    (2 * number + 1) & 0x7fff_ffff
}

fn rapid_reset(number: u32) -> Vec<u8> {
    let id = stream_id(number);
    let begin = raw::frame(raw::HEADERS, raw::END_HEADERS, id, &raw::export());
    [begin, raw::frame(raw::RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
}

fn floods() -> Vec<Flood> {
    let open = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::export());
    let begun = raw::frame(raw::HEADERS, 0, 1, &raw::export());
    let flood =
        |name, head: &[u8], frames| Flood { name, head: [&raw::hello(), head].concat(), frames };
    vec![
        flood("rapid reset", &[], rapid_reset),
        flood("CONTINUATION", &begun, |_| {
            raw::frame(raw::CONTINUATION, 0, 1, &raw::block(&[("x-filler", "of a header block")]))
        }),
        flood("empty CONTINUATION", &begun, |_| raw::frame(raw::CONTINUATION, 0, 1, &[])),
        flood("empty DATA", &open, |_| raw::frame(raw::DATA, 0, 1, &[])),
        flood("PING", &[], |number| raw::frame(raw::PING, 0, 0, &u64::from(number).to_be_bytes())),
        flood("SETTINGS", &[], |_| raw::frame(raw::SETTINGS, 0, 0, &[])),
        flood("a window of 0", &open, |_| raw::frame(8, 0, 0, &[0; 4])),
        flood("an unknown frame", &[], |_| raw::frame(0xfa, 0, 0, b"?")),
        flood("a frame that is too large", &[], |_| vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
    ]
}

/// Sends a flood until it is cut off or long enough, and then waits for the end of the connection. Returns
/// whether that came.
async fn send(address: SocketAddr, flood: Flood) -> (&'static str, bool) {
    let mut stream = raw::send(address, &flood.head).await;
    let (mut reading, mut writing) = stream.split();
    let begun = Instant::now();
    let sending = async {
        for first in (0..).step_by(AT_A_TIME as usize) {
            let frames: Vec<u8> =
                (first..first + AT_A_TIME).flat_map(|number| (flood.frames)(number)).collect();
            if FLOOD < begun.elapsed() || writing.write_all(&frames).await.is_err() {
                return;
            }
        }
    };
    // What is answered is read, or the flood would end by itself.
    let answers = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut reading, &mut piece).await {}
    };
    let ended = tokio::time::timeout(SOON, async { tokio::join!(sending, answers) }).await;
    (flood.name, ended.is_ok())
}

/// Scenario: floods of nine kinds, two connections each, beside senders.
/// Guarantees: each of these connections ends; memory stays, and the senders are answered as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_are_cut_off() {
    let scene = Scene::new(200).await;
    let senders = scene.senders();
    senders.advance(20, SOON).await;
    let before = scene.resident_bytes();
    let mut hostile = JoinSet::new();
    for flood in floods() {
        for _ in 0..2 {
            hostile.spawn(send(scene.site.grpc(), flood.clone()));
        }
    }
    while let Some(sent) = hostile.join_next().await {
        let (name, has_ended) = sent.unwrap();
        assert!(has_ended, "{name}: the connection does not end");
    }
    let after = scene.resident_bytes();
    assert!(after < before + (64 << 20), "{before} bytes before, {after} afterwards");
    scene.connections_fall("otlp/grpc", 3).await;
    scene.senders_are_well(senders).await;
}
