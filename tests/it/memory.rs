//! Memory: requests are counted from their first byte on, what is half there is cut off, and a full
//! share makes wait and refuses.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Metrics;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;
/// A quarter of 32 MiB.
const SHARE: usize = 8 * MIB;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    patience: $PATIENCE
    read_idle_timeout: $SILENCE
    message_size_max: 7MiB
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
somatic: { memory: { budget: 32MiB, shares: { ingest: 25% } } }
"#;

struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
}

impl Scene {
    async fn new(patience: &str, silence: &str) -> Self {
        let backend = Backend::start().await;
        let yaml = YAML.replace("$PATIENCE", patience).replace("$SILENCE", silence);
        let site = Site::new(backend.address(), &yaml);
        let process = site.start().await;
        Self { backend, site, process }
    }

    /// Waits until so many bytes are used for requests.
    async fn used(&self, bytes: std::ops::RangeInclusive<usize>) {
        let what = format!("{bytes:?} bytes are used");
        let is_so = |metrics: &Metrics| bytes.contains(&used(metrics));
        self.process.measured(SOON, &what, is_so).await;
    }

    async fn refused(&self, cause: &str) -> i64 {
        let metrics = self.process.metrics().await;
        metrics.sum("gophership_source_refused_total", &[("cause", cause)])
    }
}

fn used(metrics: &Metrics) -> usize {
    let used = metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]);
    usize::try_from(used).unwrap()
}

/// A body in pieces, each a frame of its own; after the last one it ends, or never does.
struct Pieces {
    left: VecDeque<Bytes>,
    ends: bool,
}

impl Pieces {
    fn of(pieces: &[&[u8]]) -> Self {
        let left = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        Self { left, ends: true }
    }

    /// The head of a message of `len` bytes, and some of it.
    fn torn(len: usize, sent: usize) -> Self {
        Self { ends: false, ..Self::of(&[&message(0, len, &vec![0; sent])]) }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.left.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.ends => Poll::Ready(None),
            // Nobody wakes it: it says nothing more.
            None => Poll::Pending,
        }
    }
}

/// A message as gRPC frames it, or what claims to be one.
fn message(flag: u8, len: usize, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [&[flag][..], &len, bytes].concat()
}

/// A connection over HTTP/2 that sends what it likes; gone when dropped.
struct Raw {
    sender: SendRequest<Pieces>,
    connection: AbortHandle,
}

impl Raw {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let executor = TokioExecutor::new();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        let connection = tokio::spawn(connection).abort_handle();
        Self { sender, connection }
    }

    /// Sends a request and returns status, message and headers of its answer.
    async fn send(&mut self, encoding: Option<&str>, body: Pieces) -> (i32, HeaderMap) {
        let uri = format!("http://localhost{}", Signal::Logs.grpc_path());
        let mut request = Request::post(uri).header("content-type", "application/grpc");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let answer = self.sender.send_request(request.body(body).unwrap());
        let answer = tokio::time::timeout(SOON, answer).await.expect("answered in time").unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let (head, body) = answer.into_parts();
        let mut headers = head.headers;
        let body = body.collect().await.unwrap();
        headers.extend(body.trailers().cloned().unwrap_or_default());
        let status = headers["grpc-status"].to_str().unwrap().parse().unwrap();
        assert_eq!(body.to_bytes(), if status == 0 { &[0; 5][..] } else { &[] });
        (status, headers)
    }

    /// Begins a request and never ends it; returns what it is told.
    async fn begin(mut self, body: Pieces) -> Code {
        Code::from(self.send(None, body).await.0)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Scenario: half of a message of 2 MiB comes over gRPC, and half of one over HTTP; then silence.
/// Guarantees: both are counted whole as long as they wait; after `read_idle_timeout` they are told so,
/// and nothing is counted any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_is_counted_and_cut_off() {
    let scene = Scene::new("200ms", "1s").await;
    let begun = Instant::now();
    let grpc = Raw::connect(scene.site.grpc()).await.begin(Pieces::torn(2 * MIB, MIB));
    let grpc = tokio::spawn(grpc);
    scene.used(2 * MIB..=2 * MIB + 4096).await;
    let mut http = TcpStream::connect(scene.site.http()).await.unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 2097152\r\n\r\n";
    http.write_all(head.as_bytes()).await.unwrap();
    http.write_all(&vec![0; MIB]).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, http.read_to_end(&mut answer));
    // The connection may be reset behind the answer.
    let _closed = read.await.expect("the connection is closed");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(grpc.await.unwrap(), Code::Aborted);
    assert!(Duration::from_secs(1) <= begun.elapsed(), "{:?}", begun.elapsed());
    scene.used(0..=0).await;
    assert_eq!((scene.refused("stalled").await, scene.backend.attempts()), (2, 0));
}

/// Scenario: a sender that goes on, byte by byte, and one that leaves in the middle.
/// Guarantees: the first is cut off as well; the second is forgotten at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drops_and_leavers_hold_nothing() {
    let scene = Scene::new("200ms", "1s").await;
    let leaver = Raw::connect(scene.site.grpc()).await.begin(Pieces::torn(2 * MIB, 10));
    let leaver = tokio::spawn(leaver);
    scene.used(2 * MIB..=2 * MIB + 4096).await;
    leaver.abort();
    scene.used(0..=0).await;

    let mut http = TcpStream::connect(scene.site.http()).await.unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    http.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let is_cut = async {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            if http.write_all(b"1\r\n \r\n").await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, is_cut).await.expect("a byte now and then is not enough");
    assert!(Duration::from_secs(1) <= begun.elapsed());
    assert_eq!(scene.refused("stalled").await, 1);
    scene.used(0..=0).await;
}

fn resident_bytes(process: &Process) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", process.id())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

/// Scenario: 40 connections send 2 of 3 MiB each and stop, to a process with 8 MiB for requests.
/// Guarantees: they never take more than three quarters of the share, nor of the memory that it stands for;
/// all are told to come again; afterwards there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_half_requests_stay_within_the_share() {
    let scene = Scene::new("1s", "2s").await;
    let before = resident_bytes(&scene.process);
    let mut clients = JoinSet::new();
    for _ in 0..40 {
        let raw = Raw::connect(scene.site.grpc()).await;
        clients.spawn(raw.begin(Pieces::torn(3 * MIB, 2 * MIB)));
    }
    let (mut most, mut largest, mut answers) = (0, 0, Vec::new());
    let deadline = Instant::now() + SOON;
    while answers.len() < 40 {
        assert!(Instant::now() < deadline, "{answers:?}");
        let metrics = scene.process.metrics().await;
        assert_eq!(
            metrics.sum("gophership_memory_limit_bytes", &[("share", "ingest")]),
            i64::try_from(SHARE).unwrap()
        );
        (most, largest) = (most.max(used(&metrics)), largest.max(resident_bytes(&scene.process)));
        while let Some(answer) = clients.try_join_next() {
            answers.push(answer.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((SHARE / 2..=SHARE / 4 * 3).contains(&most), "{most} of {SHARE} bytes were used");
    let of = |code: Code| answers.iter().filter(|answer| **answer == code).count();
    assert!(0 < of(Code::Aborted) && 0 < of(Code::Unavailable), "{answers:?}");
    assert_eq!(of(Code::Aborted) + of(Code::Unavailable), 40, "{answers:?}");
    let grown = largest.saturating_sub(before);
    // What lies unread in the windows of connections, and what the program itself needs.
    assert!(grown < SHARE + 40 * 256 * 1024 + 16 * MIB, "grown by {} MiB", grown / MIB);
    scene.used(0..=0).await;
    let parcel = Traffic::default().padded(Signal::Logs, 1, 6 * MIB);
    GrpcClient::new(scene.site.grpc()).send(&parcel).await.unwrap();
    assert_eq!(scene.backend.has(&parcel.fingerprint), 1);
}

/// Scenario: half a request holds most of the share, and whole ones come over both protocols.
/// Guarantees: they are told when to come again: `UNAVAILABLE` with `RetryInfo`, 503 with
/// `Retry-After`; small ones go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_share_refuses_with_a_hint() {
    let scene = Scene::new("200ms", "1m").await;
    let holder = Raw::connect(scene.site.grpc()).await.begin(Pieces::torn(6 * MIB, 1));
    let holder = tokio::spawn(holder);
    scene.used(6 * MIB..=6 * MIB + 4096).await;
    let traffic = Traffic::default();
    let (grpc, http) = (GrpcClient::new(scene.site.grpc()), HttpClient::new(scene.site.http()));
    let parcel = traffic.padded(Signal::Logs, 1, 4 * MIB);
    let status = grpc.send(&parcel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    let packed = zstd::encode_all(&parcel.wire[..], 1).unwrap();
    let headers = [PROTOBUF, ("content-encoding", "zstd")];
    let answer = http.post("/v1/logs", &headers, packed).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    grpc.send(&traffic.request(Signal::Logs, 1)).await.unwrap();
    assert_eq!((scene.refused("busy").await, scene.backend.attempts()), (2, 1));
    holder.abort();
    scene.used(0..=0).await;
    grpc.send(&parcel).await.unwrap();
}

/// Scenario: the same, with patience; then half a request is given up.
/// Guarantees: the whole one has waited, and is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_share_makes_wait() {
    let scene = Scene::new("7s", "1m").await;
    let holder = Raw::connect(scene.site.grpc()).await.begin(Pieces::torn(6 * MIB, 1));
    let holder = tokio::spawn(holder);
    scene.used(6 * MIB..=6 * MIB + 4096).await;
    let parcel = Traffic::default().padded(Signal::Logs, 1, 4 * MIB);
    let client = GrpcClient::new(scene.site.grpc());
    let mut waiting = tokio::spawn({
        let parcel = parcel.clone();
        async move { client.send(&parcel).await }
    });
    let early = tokio::time::timeout(Duration::from_millis(500), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    holder.abort();
    waiting.await.unwrap().unwrap();
    assert_eq!(scene.backend.has(&parcel.fingerprint), 1);
    scene.used(0..=0).await;
}

/// Scenario: messages in odd pieces, none, several, torn, with unknown flags and encodings.
/// Guarantees: whole ones are taken; each other one is told what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_read_in_any_pieces_and_nothing_else_is() {
    let scene = Scene::new("200ms", "10s").await;
    let mut raw = Raw::connect(scene.site.grpc()).await;
    let traffic = Traffic::default();
    let ok = |parcel: &crate::harness::NumberedRequest| {
        let len = parcel.wire.len();
        message(0, len, &parcel.wire)
    };
    for cuts in [vec![1, 2, 3], vec![5], vec![6, 7], vec![4, 6, 50], Vec::new()] {
        let parcel = traffic.padded(Signal::Logs, 3, 30_000);
        let whole = ok(&parcel);
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&whole[from..cut]);
            from = cut;
        }
        pieces.push(&whole[from..]);
        assert_eq!(raw.send(None, Pieces::of(&pieces)).await.0, 0);
        assert_eq!(scene.backend.has(&parcel.fingerprint), 1);
    }
    let one = ok(&traffic.request(Signal::Logs, 1));
    for (encoding, body, status) in [
        (None, Pieces::of(&[]), 13),
        (None, Pieces::of(&[&[0, 0]]), 13),
        (None, Pieces::of(&[&one[..one.len() - 1]]), 13),
        (None, Pieces::of(&[&message(0, 9, &[])]), 13),
        (None, Pieces::of(&[&one, &one]), 13),
        (None, Pieces::of(&[&[&one[..], &[0]].concat()]), 13),
        (None, Pieces::of(&[&message(2, 0, &[])]), 13),
        (None, Pieces::of(&[&message(1, 0, &[])]), 13),
        (Some("gzip"), Pieces::of(&[&message(1, 4, b"gzip")]), 13),
        (Some("zstd"), Pieces::of(&[&message(1, 4, b"zstd")]), 13),
        (Some("snappy"), Pieces::of(&[&one]), 12),
        (None, Pieces::of(&[&message(0, 8 * MIB, &[0; 100])]), 8),
        (Some("gzip"), Pieces::of(&[&message(0, 0, &[])]), 0),
        (Some("identity"), Pieces::of(&[&one]), 0),
    ] {
        let told = raw.send(encoding, body).await;
        assert_eq!(told.0, status, "{told:?}");
        if status == 12 {
            assert_eq!(told.1["grpc-accept-encoding"], "gzip,zstd,identity");
        }
    }
    assert_eq!((scene.refused("invalid").await, scene.refused("unsupported").await), (10, 1));
    scene.used(0..=0).await;
}

/// Scenario: real clients send messages far over the limit, as they are and compressed.
/// Guarantees: they are told so before they have sent them, without a hint to try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_far_too_large_is_refused_before_it_is_read() {
    let scene = Scene::new("200ms", "10s").await;
    let large = Bytes::from(vec![0; 40 * MIB]);
    for _ in 0..3 {
        let client = GrpcClient::new(scene.site.grpc());
        let sent = client.send_to(Signal::Logs.grpc_path(), large.clone()).await;
        let status = sent.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().is_none());
    }
    scene.used(0..=0).await;
}
