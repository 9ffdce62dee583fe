//! Any bytes as the message of any method of the control service, to a server that runs: it answers, and goes on.
//!
//! The first byte is the method. The server has a source, a transform, a vault with its replay and a file; the client
//! is an operator, over the socket.
#![no_main]

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use std::time::Instant;

use gophership::app::App;
use gophership::app::ConfigSource;
use gophership::app::Signals;
use gophership::component::OnLoss;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// The methods with one answer, and then those with a stream of them, which may not end.
const METHODS: [&str; 26] = [
    "Status",
    "Override",
    "Share",
    "Reload",
    "DiffConfig",
    "ShowConfig",
    "SetLogLevel",
    "PauseReplay",
    "ListVaults",
    "ListFlights",
    "ShowFlight",
    "HoldVault",
    "ReleaseVault",
    "PruneVault",
    "ListReplays",
    "StopReplay",
    "ListDeadLetters",
    "DropDeadLetters",
    "Watch",
    "Tap",
    "VerifyVault",
    "Drain",
    "CountReplay",
    "StartReplay",
    "ShowDeadLetter",
    "RedriveDeadLetters",
];
const STREAMS_FROM: usize = 18;
const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAME_HEAD_BYTES: usize = 9;
/// What the server takes at most as one message.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long a stream is listened to.
const STREAM_FOR: Duration = Duration::from_millis(5);
/// How often a method is called, and how long the fuzzer waits in between, while connections are closed.
const CALLS_MAX: u32 = 100;
const CALL_PAUSE: Duration = Duration::from_millis(20);

static SOCKET: LazyLock<PathBuf> = LazyLock::new(start);

/// Starts the server, and returns the path of its socket.
fn start() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("gophership-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for the server");
    let path = dir.join("gophership.yaml");
    std::fs::write(&path, config(&dir)).expect("its configuration");
    let (said, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            // The fuzzer's main does not ignore it as that of a Rust program does.
            let _pipe = signal(SignalKind::pipe()).expect("signals");
            let signals = Signals::listen(|| std::process::exit(0)).expect("signals");
            let app = App::start(ConfigSource::File(path), OnLoss::Start).await.expect("a start");
            said.send(()).expect("the fuzzer waits");
            app.run(&signals).await;
        });
        // Nothing asks the server to stop.
        std::process::abort();
    });
    ready.recv().expect("the server starts");
    dir.join("control.sock")
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "
data_dir: {dir}
sources:
  shop: {{ type: demo, rate: 200, pivot: vault }}
  replay: {{ type: vault_replay, vault: vault }}
transforms:
  label: {{ type: enrich, inputs: [shop, replay], resource: {{ a: b }} }}
sinks:
  file: {{ type: file, inputs: [label], path: {dir}/out.jsonl, rotate: {{ size: 1MiB, keep: 1 }} }}
  vault: {{ type: raw_vault, max_size: 96MiB, segment_size: 1MiB }}
"
    )
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, payload: &[u8]) {
    let [_, len @ ..] = (payload.len() as u32).to_be_bytes();
    out.extend(len);
    out.extend([kind, flags, 0, 0, 0, 1]);
    out.extend(payload);
}

fn request(method: &str, message: &[u8]) -> Vec<u8> {
    let path = format!("/gophership.control.v1.Control/{method}");
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path.as_str()),
        (":authority", "fuzz"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    let mut body = vec![0];
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message);
    let mut out = START.to_vec();
    put_frame(&mut out, 1, 4, &block);
    let mut pieces = body.chunks(16 << 10).peekable();
    while let Some(piece) = pieces.next() {
        put_frame(&mut out, 0, u8::from(pieces.peek().is_none()), piece);
    }
    out
}

/// Whether what came has the end of the stream, or of all.
fn is_over(mut bytes: &[u8]) -> bool {
    while let Some((head, rest)) = bytes.split_at_checked(FRAME_HEAD_BYTES) {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        if kind == 3 || kind == 7 || (kind <= 1 && flags & 1 == 1) {
            return true;
        }
        let Some(next) = rest.get(len..) else { return false };
        bytes = next;
    }
    false
}

/// Calls a method once; returns false if the server closed the connection before it said anything, as it does while
/// it has 64 others, some of them streams that the fuzzer has just left.
fn call(idx: usize, message: &[u8]) -> bool {
    let mut stream = UnixStream::connect(&*SOCKET).expect("the server listens");
    if stream.write_all(&request(METHODS[idx], message)).is_err() {
        return false;
    }
    let (is_stream, began) = (STREAMS_FROM <= idx, Instant::now());
    let wait = if is_stream { STREAM_FOR } else { ANSWER_WITHIN };
    stream.set_read_timeout(Some(wait)).expect("a socket");
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
    while !is_over(&answer) {
        match stream.read(&mut buffer) {
            Ok(bytes) if 0 < bytes => answer.extend(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(is_stream, "{}: no answer", METHODS[idx]);
                return true;
            }
            Ok(_) | Err(_) if answer.is_empty() => return false,
            Ok(_) => panic!("{}: the server closed the connection", METHODS[idx]),
            Err(error) => panic!("{}: {error}", METHODS[idx]),
        }
        assert!(is_stream || began.elapsed() < ANSWER_WITHIN, "{}: no end", METHODS[idx]);
        if is_stream && 1 << 20 < answer.len() {
            return true;
        }
    }
    true
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, message)) = data.split_first() else { return };
    let idx = usize::from(*first) % METHODS.len();
    let message = &message[..message.len().min(MESSAGE_BYTES_MAX)];
    for _ in 0..CALLS_MAX {
        if call(idx, message) {
            return;
        }
        std::thread::sleep(CALL_PAUSE);
    }
    panic!("{}: the server closed {CALLS_MAX} connections", METHODS[idx]);
});
