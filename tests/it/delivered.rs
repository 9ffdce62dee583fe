//! What comes in goes out equal; what cannot come in is told why.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use tonic::Code;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use crate::harness::Backend;
use crate::harness::Books;
use crate::harness::GrpcClient;
use crate::harness::HttpAnswer;
use crate::harness::HttpClient;
use crate::harness::Mode;
use crate::harness::NumberedRequest;
use crate::harness::Process;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;
use crate::harness::json;

const SOON: Duration = Duration::from_secs(10);

/// One way in, four ways out.
const EVERY_SINK: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" } }
sinks:
  grpc: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND", compression: zstd }
  http: { type: otlp, inputs: [otlp], endpoint: "http://${OTHER}", protocol: http, compression: gzip }
  file: { type: file, inputs: [otlp], path: "$DIR/out/{signal}.jsonl" }
  console: { type: console, inputs: [otlp], format: json }
"#;

/// Small messages only, so that large ones need not be large.
const ONE_SINK: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    message_size_max: 64KiB
    pivot: vault
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends each signal over gRPC and HTTP, in every encoding and compression; returns what was sent,
/// each with whether its bytes stay as they are.
async fn send_everything(site: &Site) -> Vec<(NumberedRequest, bool)> {
    let traffic = Traffic::default();
    let mut sent = Vec::new();
    for signal in Signal::ALL {
        for compression in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)]
        {
            let parcel = traffic.request(signal, 7);
            let client = GrpcClient::new(site.grpc()).compressed(compression);
            let answer = client.send(&parcel).await.unwrap();
            assert!(answer.is_empty(), "no field of the response is set");
            sent.push((parcel, true));
        }
        let client = HttpClient::new(site.http());
        for kind in [PROTOBUF, JSON] {
            for encoding in ["identity", "gzip", "zstd"] {
                let parcel = traffic.request(signal, 7);
                let plain = if kind == JSON {
                    json::json_of(parcel.signal, &parcel.wire).to_string().into_bytes()
                } else {
                    parcel.wire.to_vec()
                };
                let headers = [kind, ("content-encoding", encoding)];
                let body = compress(encoding, &plain);
                let answer = client.post(signal.http_path(), &headers, body).await;
                assert_eq!(answer.status, 200, "{signal} {kind:?} {encoding}: {answer:?}");
                assert_eq!(answer.headers["content-type"], kind.1);
                assert_eq!(answer.body, if kind == JSON { "{}" } else { "" });
                sent.push((parcel, kind == PROTOBUF));
            }
        }
    }
    sent
}

fn compress(encoding: &str, plain: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 1).unwrap(),
        _ => plain.to_vec(),
    }
}

/// Returns the requests in lines of OTLP JSON, by the number of their first record.
fn requests_in(signal: Signal, lines: &str) -> BTreeMap<u64, Vec<u8>> {
    let wires = lines.lines().map(|line| json::wire_of(signal, line));
    wires.map(|wire| (gophership_testbed::numbers(signal, &wire).unwrap()[0], wire)).collect()
}

/// Scenario: each signal over gRPC (none, gzip, zstd) and HTTP (protobuf and JSON, none, gzip, zstd),
/// fanned out to a gRPC and an HTTP backend, files and the console.
/// Guarantees: every sink has every request once; protobuf is bit-identical, JSON equal in content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_signal_arrives_equal_over_every_road() {
    let (backend, other) = (Backend::start().await, Backend::start().await);
    let mut site = Site::new(backend.address(), EVERY_SINK);
    site.env.push(("OTHER", other.address().to_string()));
    let mut process = site.start().await;
    let sent = send_everything(&site).await;

    for sink in [&backend, &other] {
        assert_eq!(sink.requests(), sent.len() as u64, "acknowledged means delivered");
        for (parcel, is_verbatim) in &sent {
            let of_signal = sink.records(parcel.signal);
            assert!(parcel.numbers.iter().all(|number| of_signal.get(number) == Some(&1)));
            assert!(!is_verbatim || sink.has(&parcel.fingerprint) == 1, "{}", parcel.signal);
        }
    }
    process.stop(SOON).await;

    let shown = process.out();
    for signal in Signal::ALL {
        let key = match signal {
            Signal::Logs => "\"resourceLogs\"",
            Signal::Traces => "\"resourceSpans\"",
            Signal::Metrics => "\"resourceMetrics\"",
        };
        let of_signal: Vec<&str> = shown.lines().filter(|line| line.contains(key)).collect();
        let on_console = requests_in(signal, &of_signal.join("\n"));
        let path = site.dir().join(format!("out/{signal}.jsonl"));
        let in_file = requests_in(signal, &std::fs::read_to_string(path).unwrap());
        for (parcel, _) in sent.iter().filter(|(parcel, _)| parcel.signal == signal) {
            assert_eq!(in_file.get(&parcel.numbers[0]).unwrap(), &parcel.wire);
            assert_eq!(on_console.get(&parcel.numbers[0]).unwrap(), &parcel.wire);
        }
    }
}

/// Scenario: JSON requests go to a backend.
/// Guarantees: what arrives is the same message, decoded field by field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_arrives_with_equal_content() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), ONE_SINK);
    let _process = site.start().await;
    let client = HttpClient::new(site.http());
    let traffic = Traffic::default();
    for signal in Signal::ALL {
        let parcel = traffic.request(signal, 3);
        assert_eq!(
            client
                .post(
                    signal.http_path(),
                    &[JSON],
                    json::json_of(parcel.signal, &parcel.wire).to_string().into_bytes()
                )
                .await
                .status,
            200
        );
        let arrived = json::json_of(signal, &backend.last());
        assert_eq!(arrived, json::json_of(signal, &parcel.wire));
    }
}

/// Scenario: a backend takes a request and says that it rejected two of its records.
/// Guarantees: the client has a full OK; the ledger has the two as rejected, the others delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partial_success_is_accepted_and_booked() {
    let backend = Backend::start().await;
    backend.set(Mode::AcceptExcept(2));
    let site = Site::new(backend.address(), ONE_SINK);
    let process = site.start().await;
    let parcel = Traffic::default().request(Signal::Traces, 5);
    assert!(GrpcClient::new(site.grpc()).send(&parcel).await.unwrap().is_empty());
    let metrics = process.metrics().await;
    let expected = Books::of(&[("received", 5), ("delivered", 3), ("rejected_by_backend", 2)]);
    assert_eq!(metrics.books("traces"), expected);
    assert_eq!(metrics.sum("gophership_sink_partially_rejected_records_total", &[]), 2);
}

/// Scenario: a backend refuses a request for good.
/// Guarantees: the client learns that sending it again is of no use, over both protocols.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_refuses_for_good_is_refused_for_good() {
    let backend = Backend::start().await;
    backend.set(Mode::Reject);
    let site = Site::new(backend.address(), ONE_SINK);
    let process = site.start().await;
    let traffic = Traffic::default();
    let parcel = traffic.request(Signal::Logs, 4);
    let status = GrpcClient::new(site.grpc()).send(&parcel).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let parcel = traffic.request(Signal::Logs, 4);
    let answer = HttpClient::new(site.http()).post("/v1/logs", &[PROTOBUF], parcel.wire).await;
    assert_eq!(answer.status, 400);
    let expected = Books::of(&[("received", 8), ("rejected_by_backend", 8)]);
    assert_eq!(process.metrics().await.books("logs"), expected);
}

/// Scenario: a request is routed to two sinks, and the backend of one refuses its part for good.
/// Guarantees: the client learns how many records were refused and why, and that the others were accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_routed_request_only_the_refused_part_is_refused() {
    let backend = Backend::start().await;
    backend.set(Mode::Reject);
    let yaml = r#"
sources: { otlp: { type: otlp, http: { listen: "$HTTP" } } }
transforms:
  sort:
    type: route
    inputs: [otlp]
    routes: [{ name: errors, when: { severity_at_least: error } }]
sinks:
  errors: { type: otlp, inputs: [sort.errors], endpoint: "http://$BACKEND" }
  rest: { type: blackhole, inputs: [sort.unmatched] }
"#;
    let site = Site::new(backend.address(), yaml);
    let process = site.start().await;
    let records = [9, 17, 9].map(|severity| serde_json::json!({ "severityNumber": severity }));
    let body =
        serde_json::json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] });
    let answer = HttpClient::new(site.http()).post("/v1/logs", &[JSON], body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let partial = &said["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], "1", "{said}");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("a backend rejected 1 record: "), "{said}");
    let books = process.metrics().await.books("logs");
    let counts = ["received", "delivered", "rejected_by_backend"].map(|bucket| books.count(bucket));
    assert_eq!((counts, books.imbalance()), ([3, 2, 1], 0), "{books:?}");
}

/// Sends what is empty, and what cannot be taken, and checks every answer.
async fn check_refusals(site: &Site) {
    let grpc = GrpcClient::new(site.grpc());
    let http = HttpClient::new(site.http());
    let logs = Signal::Logs;
    assert!(grpc.send_to(logs.grpc_path(), Bytes::new()).await.unwrap().is_empty());
    let empty = http.post("/v1/logs", &[PROTOBUF], Bytes::new()).await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
    let empty = http.post("/v1/logs", &[JSON], "{}").await;
    assert_eq!((empty.status.as_u16(), &empty.body[..]), (200, &b"{}"[..]));

    let garbage = Bytes::from_static(&[0xff; 40]);
    let status = grpc.send_to(logs.grpc_path(), garbage.clone()).await.unwrap_err();
    assert_invalid(&status);
    let answer = http.post("/v1/logs", &[PROTOBUF], garbage).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");
    assert!(!answer.body.is_empty(), "the body is a google.rpc.Status");
    let answer = http.post("/v1/logs", &[JSON], "{\"resourceLogs\": 7}").await;
    assert_eq!(answer.status, 400);
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["code"], 3, "{said}");
    assert!(said["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");

    // Twice the limit as it is, and far over it only once it is decompressed.
    let large = Bytes::from(vec![0; 128 << 10]);
    assert_too_large(&grpc.send_to(logs.grpc_path(), large.clone()).await.unwrap_err());
    let answer = http.post("/v1/logs", &[PROTOBUF], large).await;
    assert_eq!(answer.status, 413);
    assert!(!answer.headers.contains_key("connection"), "the rest is thrown away");
    let bomb = vec![0; 32 << 20];
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let grpc = GrpcClient::new(site.grpc()).compressed(Some(encoding));
        let sent = grpc.send_to(logs.grpc_path(), bomb.clone().into()).await;
        assert_too_large(&sent.unwrap_err());
    }
    for encoding in ["gzip", "zstd"] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        assert_eq!(http.post("/v1/logs", &headers, compress(encoding, &bomb)).await.status, 413);
        let torn = Bytes::from_static(b"no such stream");
        assert_eq!(http.post("/v1/logs", &headers, torn).await.status, 400, "{encoding}");
    }

    let unknown = "/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export";
    let status = grpc.send_to(unknown, Bytes::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(http.post("/v1/profiles", &[PROTOBUF], Bytes::new()).await.status, 404);
    let answer = http.request("GET", "/v1/logs", &[], Bytes::new()).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "POST");
    assert_unsupported(&http.post("/v1/logs", &[("content-type", "text/csv")], "a,b").await);
    assert_unsupported(&http.post("/v1/logs", &[], "?").await);
    let headers = [PROTOBUF, ("content-encoding", "br")];
    assert_unsupported(&http.post("/v1/logs", &headers, "?").await);
}

fn assert_invalid(status: &Status) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("it says what is wrong");
    assert!(details.field_violations.iter().any(|fault| !fault.description.is_empty()));
}

/// Without a hint a client does not send it again.
fn assert_too_large(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.get_details_retry_info().is_none());
}

fn assert_unsupported(answer: &HttpAnswer) {
    assert_eq!(answer.status, 415, "{answer:?}");
}

/// Everything that was refused left no trace.
async fn assert_nothing_arrived(process: &Process, backend: &Backend) {
    let metrics = process.metrics().await;
    for signal in Signal::ALL {
        assert_eq!(metrics.books(signal.name()), Books::of(&[]), "{signal}");
    }
    assert!(metrics.sum("gophership_source_refused_total", &[("cause", "invalid")]) >= 3);
    assert!(metrics.sum("gophership_source_refused_total", &[("cause", "too_large")]) >= 6);
    assert!(metrics.sum("gophership_source_refused_total", &[("cause", "unsupported")]) >= 6);
    assert_eq!(backend.attempts(), 0);
}

/// Scenario: empty, malformed, oversized, bomb-like and misaddressed requests, in Green.
/// Guarantees: each is answered as OTLP says; nothing of them is booked or delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_told_what_is_wrong_in_green() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), ONE_SINK);
    let process = site.start().await;
    check_refusals(&site).await;
    assert_nothing_arrived(&process, &backend).await;
}

/// Scenario: the same requests in Red, where nothing is parsed.
/// Guarantees: the same answers; what is not OTLP does not get into the vault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_told_what_is_wrong_in_red() {
    let backend = Backend::start().await;
    let site = Site::new(backend.address(), ONE_SINK);
    let process = site.start().await;
    process.hold("red");
    check_refusals(&site).await;
    assert_nothing_arrived(&process, &backend).await;
}

/// Scenario: the file sink rotates at a size that a few requests reach.
/// Guarantees: every line is in one of the files, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_files_together_hold_every_line() {
    let backend = Backend::start().await;
    let yaml = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" } }
sinks:
  file:
    type: file
    inputs: [otlp]
    path: "$DIR/out/all.jsonl"
    rotate: { size: 4KiB, keep: 0 }
    fsync: always
"#;
    let site = Site::new(backend.address(), yaml);
    let mut process = site.start().await;
    let client = GrpcClient::new(site.grpc());
    let traffic = Traffic::default();
    for _ in 0..30 {
        client.send(&traffic.request(Signal::Logs, 3)).await.unwrap();
    }
    process.stop(SOON).await;
    let files =
        || std::fs::read_dir(site.dir().join("out")).unwrap().map(|file| file.unwrap().path());
    eventually(SOON, "there are several files", || files().count() > 1).await;
    let texts: String = files().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(requests_in(Signal::Logs, &texts).len(), 30);
}
