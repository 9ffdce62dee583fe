//! Senders that announce much and send little: they are cut off, and keep nobody out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::Request;
use http::Response;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Interval;

use crate::harness::Backend;
use crate::harness::GrpcClient;
use crate::harness::Metrics;
use crate::harness::Site;
use crate::harness::Traffic;

const SOON: Duration = Duration::from_secs(20);
const PIECE: usize = 64 << 10;
const ANNOUNCED: usize = 16 << 20;

/// Two of 16 MiB have room in the three quarters that requests may take while they are not complete.
const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    patience: 200ms
    read_idle_timeout: 1s
    in_flight_max: 44MiB
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
"#;

/// 64 KiB now and then: more than the least that any sender must send, less than this one must.
struct Trickle {
    head: Option<Bytes>,
    left: usize,
    every: Interval,
}

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let _now = ready!(self.every.poll_tick(context));
        let len = PIECE.min(self.left);
        self.left -= len;
        let piece = Frame::data(Bytes::from(vec![0; len]));
        Poll::Ready((0 < len).then_some(Ok(piece)))
    }
}

/// Sends a request over HTTP/2 and returns what it is answered.
async fn send(address: SocketAddr, path: &str, kind: &str, head: Bytes) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let _connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://localhost{path}")).header("content-type", kind);
    if head.is_empty() {
        request = request.header("content-length", ANNOUNCED);
    }
    let every = tokio::time::interval(Duration::from_millis(200));
    let body = Trickle { head: Some(head).filter(|head| !head.is_empty()), left: ANNOUNCED, every };
    sender.send_request(request.body(body).unwrap()).await.unwrap()
}

/// Scenario: over both protocols somebody announces 16 MiB and sends 64 KiB five times a second.
/// Guarantees: both are cut off soon, and their room is there for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_announces_much_and_sends_little_is_cut_off() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), YAML);
    let process = site.start().await;
    let begun = Instant::now();
    let head = [&[0][..], &u32::try_from(ANNOUNCED).unwrap().to_be_bytes()].concat().into();
    let grpc = send(site.grpc(), Signal::Logs.grpc_path(), "application/grpc", head);
    let http = send(site.http(), "/v1/logs", "application/x-protobuf", Bytes::new());
    let both = tokio::time::timeout(SOON, async { tokio::join!(grpc, http) });
    let (grpc, http) = both.await.expect("they are cut off");
    assert!(Duration::from_secs(1) <= begun.elapsed());
    assert_eq!(grpc.headers()["grpc-status"], "10");
    assert_eq!(
        (http.status().as_u16(), &http.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    let is_free = |metrics: &Metrics| {
        metrics.sum("gophership_memory_used_bytes", &[("share", "ingest")]) == 0
    };
    process.measured(SOON, "nothing is held", is_free).await;
    let metrics = process.metrics().await;
    assert_eq!(metrics.sum("gophership_source_refused_total", &[("cause", "stalled")]), 2);
    let parcel = Traffic::default().padded(Signal::Logs, 1, 30 << 20);
    GrpcClient::new(site.grpc()).send(&parcel).await.unwrap();
    assert_eq!(backend.has(&parcel.fingerprint), 1);
}
