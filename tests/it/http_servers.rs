//! Both HTTP/2 servers of the HTTP listener say the same to the same request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::harness::Backend;
use crate::harness::BackendRefusal;
use crate::harness::Mode;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::gzip;

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const TOKEN: (&str, &str) = ("authorization", "Bearer right");
const PAGE: (&str, &str) = ("origin", "https://shop.example.com");
const ASKS: (&str, &str) = ("access-control-request-method", "POST");

/// The first with our own server, the second with that of hyper.
const YAML: &str = r#"
sources:
  builtin: { type: otlp, http: { listen: "$HTTP" $CORS }, message_size_max: 1MiB $AUTH }
  hyper:
    type: otlp
    http: { listen: "$GRPC" $CORS }
    connection: { http2: hyper }
    message_size_max: 1MiB
    read_idle_timeout: 10s $AUTH
sinks:
  backend: { type: otlp, inputs: [builtin, hyper], endpoint: "http://$BACKEND" }
"#;
const CORS: &str = r#", cors: { origins: ["https://*.example.com"], headers: [x-tenant] }"#;

/// One request, and in how many pieces its body comes; without a length it is not told how long it is.
struct Case {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
    pieces: usize,
    has_length: bool,
}

impl Case {
    fn new(
        method: &'static str,
        path: &'static str,
        headers: &[(&'static str, &'static str)],
        body: impl Into<Bytes>,
    ) -> Self {
        let (headers, body) = (headers.to_vec(), body.into());
        Self { method, path, headers, body, pieces: 1, has_length: true }
    }

    fn post(headers: &[(&'static str, &'static str)], body: impl Into<Bytes>) -> Self {
        Self::new("POST", "/v1/logs", headers, body)
    }

    fn in_pieces(mut self, pieces: usize, has_length: bool) -> Self {
        (self.pieces, self.has_length) = (pieces, has_length);
        self
    }

    fn name(&self) -> String {
        let Self { method, path, headers, body, pieces, has_length } = self;
        let length = if *has_length { "with" } else { "without" };
        format!("{method} {path} {headers:?}, {} bytes in {pieces}, {length} a length", body.len())
    }
}

/// What a server says to a request.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: u16,
    headers: BTreeMap<String, Vec<u8>>,
    body: Bytes,
    trailers: BTreeMap<String, Vec<u8>>,
}

fn named(headers: &http::HeaderMap) -> BTreeMap<String, Vec<u8>> {
    // Only hyper says what time it is.
    let named = headers.iter().filter(|(name, _)| *name != "date");
    named.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

async fn send(address: SocketAddr, case: &Case) -> Said {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let _connection = tokio::spawn(connection);
    let mut request =
        Request::builder().method(case.method).uri(format!("http://localhost{}", case.path));
    for (name, value) in &case.headers {
        request = request.header(*name, *value);
    }
    if case.has_length && !case.body.is_empty() {
        request = request.header("content-length", case.body.len());
    }
    let piece_len = case.body.len().div_ceil(case.pieces).max(1);
    let pieces: Vec<_> = case.body.chunks(piece_len).map(Bytes::copy_from_slice).collect();
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let answer = tokio::time::timeout(SOON, sender.send_request(request));
    let answer = answer.await.unwrap_or_else(|_| panic!("no answer: {}", case.name()));
    let answer = answer.unwrap_or_else(|error| panic!("{error:?}: {}", case.name()));
    let (mut head, body) = answer.into_parts();
    if head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc") {
        // The prefix of its message says the same.
        head.headers.remove("content-length");
    }
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().map(named).unwrap_or_default();
    let body = collected.to_bytes();
    Said { status: head.status.as_u16(), headers: named(&head.headers), body, trailers }
}

struct Scene {
    backend: Backend,
    site: Site,
    process: Process,
    traffic: Traffic,
}

impl Scene {
    async fn new(cors: &str, auth: &str) -> Self {
        let backend = Backend::start().await;
        let yaml = YAML.replace("$CORS", cors);
        let builtin = yaml.replacen("1MiB $AUTH", &format!("1MiB{auth}"), 1);
        let block = auth.replacen(", ", "\n    ", 1);
        let yaml = builtin.replace(" $AUTH", &block);
        let site = Site::new(backend.address(), &yaml);
        fs::write(site.dir().join("tokens"), "right\n").unwrap();
        let process = site.start().await;
        Self { backend, site, process, traffic: Traffic::default() }
    }

    /// Sends a request to both, and returns what both say.
    async fn ask(&self, case: &Case) -> Said {
        let builtin = send(self.site.http(), case).await;
        let hyper = send(self.site.grpc(), case).await;
        assert_eq!(builtin, hyper, "{}", case.name());
        builtin
    }

    async fn ask_all(&self, cases: Vec<(Case, u16)>) {
        for (case, status) in cases {
            assert_eq!(self.ask(&case).await.status, status, "{}", case.name());
        }
    }
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 1).unwrap()
}

/// Scenario: both servers get the same requests of every kind: all signals, encodings and compressions, in
/// one piece and in several, with and without a length, from 0 bytes to the limit.
/// Guarantees: both say the same, and what is taken arrives as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_is_taken_by_both_servers() {
    let scene = Scene::new("", "").await;
    for (signal, path) in [
        (Signal::Logs, "/v1/logs"),
        (Signal::Traces, "/v1/traces"),
        (Signal::Metrics, "/v1/metrics"),
    ] {
        for padding in [0, 10 << 10, 100 << 10, 300 << 10] {
            let parcel = scene.traffic.padded(signal, 3, padding);
            let (wire, mut count) = (&parcel.wire, 0);
            for (pieces, has_length) in [(1, true), (1, false), (7, true), (7, false)] {
                let plain = Case::new("POST", path, &[PROTOBUF], wire.clone());
                let zip = [PROTOBUF, ("content-encoding", "gzip")];
                let zip = Case::new("POST", path, &zip, gzip(wire));
                let std = [PROTOBUF, ("content-encoding", "zstd")];
                let std = Case::new("POST", path, &std, zstd(wire));
                for case in [plain, zip, std] {
                    let case = case.in_pieces(pieces, has_length);
                    let said = scene.ask(&case).await;
                    assert_eq!((said.status, said.body.len()), (200, 0), "{}", case.name());
                    count += 2;
                    assert_eq!(scene.backend.has(&parcel.fingerprint), count, "{}", case.name());
                }
            }
        }
        for (body, expected) in [("{}", 200), ("", 400), ("{", 400), ("[]", 400)] {
            scene.ask_all(vec![(Case::new("POST", path, &[JSON], body), expected)]).await;
        }
        scene.ask_all(vec![(Case::new("POST", path, &[PROTOBUF], ""), 200)]).await;
    }
}

/// Requests that have something wrong, and some that only look so.
fn odd_cases() -> Vec<(Case, u16)> {
    let long = vec![b' '; MIB + 1];
    let text = |kind| ("content-type", kind);
    let packed = |how| [PROTOBUF, ("content-encoding", how)];
    let unknown = r#"{"resourceLogz":[{"scopeLogs":[]}]}"#;
    let partly = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}},{"body":7}]}]}]}"#;
    vec![
        (Case::post(&[JSON], unknown), 200),
        (Case::post(&[JSON], partly), 200),
        (Case::post(&[PROTOBUF], "no protobuf"), 400),
        (Case::post(&[PROTOBUF], long.clone()), 413),
        (Case::post(&[PROTOBUF], long.clone()).in_pieces(9, false), 413),
        (Case::post(&[JSON], long.clone()), 413),
        (Case::post(&packed("gzip"), gzip(&long)), 413),
        (Case::post(&packed("gzip"), gzip(&vec![0; 8 * MIB])), 413),
        (Case::post(&packed("gzip"), "no gzip"), 400),
        (Case::post(&packed("gzip"), ""), 400),
        (Case::post(&packed("zstd"), "no zstd"), 400),
        (Case::post(&packed("br"), "x"), 415),
        (Case::post(&packed("Identity"), ""), 200),
        (Case::post(&[], "x"), 415),
        (Case::post(&[text("text/plain")], "x"), 415),
        (Case::post(&[text("text/plain")], long), 415),
        (Case::post(&[text("application/grpc-web")], "x"), 415),
        (Case::post(&[text("Application/X-Protobuf; a=b")], ""), 200),
        (Case::post(&[text("application/json; charset=utf-8")], "{}"), 200),
        (Case::new("POST", "/v1/logs?a=b", &[JSON], "{}"), 200),
        (Case::new("POST", "/v1/logs/", &[JSON], "{}"), 404),
        (Case::new("POST", "/", &[JSON], "{}"), 404),
        (Case::new("POST", "/v1/profiles", &[PROTOBUF], "x"), 404),
        (Case::new("GET", "/v1/logs", &[], ""), 405),
        (Case::new("GET", "/nowhere", &[PROTOBUF], ""), 404),
        (Case::new("PUT", "/v1/traces", &[JSON], "{}"), 405),
        (Case::new("DELETE", "/v1/metrics", &[JSON], ""), 405),
        (Case::new("OPTIONS", "/v1/logs", &[PAGE, ASKS], ""), 405),
        (Case::new("POST", Signal::Logs.grpc_path(), &[GRPC], vec![0; 5]), 200),
        (Case::new("POST", Signal::Logs.grpc_path(), &[GRPC], vec![0; 3]), 200),
        (Case::new("POST", "/v1/logs", &[GRPC], vec![0; 5]), 200),
        (Case::new("POST", "/grpc.health.v1.Health/Check", &[GRPC], vec![0; 5]), 200),
    ]
}

/// Scenario: both servers get requests that have something wrong, and then any request while the backend
/// refuses, and while an operator drains.
/// Guarantees: both say the same: status, headers, body and trailers; both count the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_refused_alike_by_both_servers() {
    let scene = Scene::new("", "").await;
    scene.ask_all(odd_cases()).await;
    let wire = scene.traffic.request(Signal::Logs, 3).wire;
    scene.backend.set(Mode::Refuse(BackendRefusal::new(3, 400)));
    scene.ask_all(vec![(Case::post(&[PROTOBUF], wire.clone()), 400)]).await;
    scene.backend.set(Mode::AcceptExcept(1));
    let partial = scene.ask(&Case::post(&[PROTOBUF], wire.clone())).await;
    assert_eq!(partial.status, 200);
    let metrics = scene.process.metrics().await;
    for cause in ["invalid", "too_large", "unsupported", "rejected"] {
        let count = |source| {
            let labels = [("source", source), ("cause", cause)];
            metrics.sum("gophership_source_refused_total", &labels)
        };
        assert!(0 < count("builtin") && count("builtin") == count("hyper"), "{cause}");
    }
    let drained = scene.process.control(&["drain", "--yes", "--reason", "test"]);
    assert!(drained.status.success(), "{drained:?}");
    for address in [scene.site.http(), scene.site.grpc()] {
        // When to come back is by chance.
        let said = send(address, &Case::post(&[PROTOBUF], wire.clone())).await;
        assert_eq!(said.status, 503, "{said:?}");
        assert!(said.headers.contains_key("retry-after") && !said.body.is_empty(), "{said:?}");
    }
}

/// Scenario: both servers have credentials and pages that may send, and get the same requests as before with
/// a right credential, and others from several pages and with wrong credentials.
/// Guarantees: both say the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_send_may_send_to_both_servers() {
    let scene = Scene::new(CORS, ", auth: { bearer_token_file: $DIR/tokens }").await;
    let other = ("origin", "https://shop.example.net");
    let wrong = ("authorization", "Bearer wrong");
    let large = vec![b' '; MIB / 2];
    let mut cases = vec![
        (Case::post(&[JSON], "{}"), 401),
        (Case::post(&[PROTOBUF, wrong], large), 401),
        (Case::post(&[], ""), 401),
        (Case::new("POST", "/nowhere", &[wrong, PAGE], "x"), 401),
        (Case::post(&[JSON, TOKEN, PAGE], "{}"), 200),
        (Case::post(&[JSON, TOKEN, PAGE], "{"), 400),
        (Case::post(&[PROTOBUF, TOKEN, other], ""), 200),
        (Case::new("OPTIONS", "/v1/logs", &[PAGE, ASKS], ""), 204),
        (Case::new("OPTIONS", "/v1/logs", &[PAGE, ASKS], "a body"), 204),
        (Case::new("OPTIONS", "/v1/logs", &[other, ASKS], ""), 204),
        (Case::new("OPTIONS", "/v1/logs", &[PAGE, TOKEN], ""), 405),
    ];
    for (mut case, status) in odd_cases() {
        let is_preflight = case.method == "OPTIONS";
        case.headers.extend([TOKEN, PAGE].into_iter().filter(|_| !is_preflight));
        cases.push((case, if is_preflight { 204 } else { status }));
    }
    scene.ask_all(cases).await;
}
