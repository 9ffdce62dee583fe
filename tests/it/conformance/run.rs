//! Sends each row over each protocol that it applies to, and looks at answers and arrivals.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::DecodeLimits;
use gophership_otlp::Signal;
use gophership_otlp::wire_to_json;
use gophership_testbed::Backend;
use gophership_testbed::Mode;
use gophership_testbed::RequestRecorder;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use serde_json::Value;
use tokio::sync::watch;
use tonic::Code;

use super::build::Expected;
use super::build::Row;
use super::build::Sent;
use super::rows::rows;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::Site;
use crate::harness::eventually;
use crate::harness::json;

const SOON: Duration = Duration::from_secs(20);
const LIMITS: DecodeLimits = DecodeLimits { decoded_bytes_max: u64::MAX, depth_max: 96 };

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, http: { listen: "$HTTP" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend: { type: otlp, inputs: [otlp, replay], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

/// A backend that takes everything and decodes nothing.
#[derive(Default)]
struct Taken(Mutex<Vec<(Signal, Bytes)>>);

impl RequestRecorder for Taken {
    fn taken(&self, signal: Signal, wire: Bytes, _: HeaderMap) {
        self.0.lock().unwrap().push((signal, wire));
    }

    fn unreadable(&self) {}
}

/// What a sender was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Full,
    Partial(u64, String),
    Invalid(String),
}

fn told_by(response: &[u8]) -> Told {
    // The three signals have the same field numbers.
    let response = ExportLogsServiceResponse::decode(response).unwrap();
    response.partial_success.map_or(Told::Full, |partial| {
        let rejected = u64::try_from(partial.rejected_log_records).unwrap();
        Told::Partial(rejected, partial.error_message)
    })
}

async fn over_grpc(client: &GrpcClient, signal: Signal, wire: &[u8]) -> Told {
    match client.send_to(signal.grpc_path(), Bytes::copy_from_slice(wire)).await {
        Ok(response) => told_by(&response),
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            Told::Invalid(status.message().to_owned())
        }
    }
}

async fn over_http(client: &HttpClient, signal: Signal, body: &[u8], is_json: bool) -> Told {
    let kind = if is_json { "application/json" } else { "application/x-protobuf" };
    let headers = [("content-type", kind)];
    let answer = client.post(signal.http_path(), &headers, Bytes::copy_from_slice(body)).await;
    assert_eq!(answer.headers["content-type"], kind, "OTLP/HTTP Response: the same type");
    if answer.status == 400 {
        return Told::Invalid(String::from_utf8_lossy(&answer.body).into_owned());
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    if !is_json {
        return told_by(&answer.body);
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let Some(partial) = body.get("partialSuccess") else {
        assert_eq!(&answer.body[..], b"{}");
        return Told::Full;
    };
    let counts = ["rejectedLogRecords", "rejectedSpans", "rejectedDataPoints"];
    let rejected = counts.iter().find_map(|name| partial[name].as_str());
    let message = partial["errorMessage"].as_str().unwrap().to_owned();
    Told::Partial(rejected.map_or(0, |count| count.parse().unwrap()), message)
}

fn check(row: &Row, way: &str, told: &Told) {
    let what = format!("{} / {}, {way}: {told:?}", row.section, row.name);
    match (&row.answer, told) {
        (Expected::Full, Told::Full) => {}
        (Expected::Partial(expected, says), Told::Partial(rejected, message)) => {
            assert_eq!(expected, rejected, "{what}");
            assert!(message.contains(says), "{what} does not say {says:?}");
        }
        (Expected::Invalid(says), Told::Invalid(message)) => {
            assert!(message.contains(says), "{what} does not say {says:?}");
        }
        _ => panic!("{what}"),
    }
}

/// The JSON form of a request, by the converter that has tests of its own.
pub(super) fn shown(signal: Signal, wire: &[u8]) -> Value {
    let mut out = Vec::new();
    wire_to_json(signal, wire, &LIMITS, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// Checks that what arrived is what must arrive, in any order.
fn check_arrivals(arrived: &[(Signal, Bytes)], mut expected: Vec<(Signal, Value)>) {
    for (signal, wire) in arrived {
        let found = (*signal, shown(*signal, wire));
        let at = expected.iter().position(|expected| *expected == found);
        let at = at.unwrap_or_else(|| panic!("not expected, or once too often: {found:?}"));
        expected.swap_remove(at);
    }
    assert!(expected.is_empty(), "did not arrive: {expected:?}");
}

/// Sends a row over everything that it applies to; returns what must arrive, in its JSON form.
async fn send(row: &Row, grpc: &GrpcClient, http: &HttpClient) -> Vec<(Signal, Value)> {
    let (wire, body) = match &row.sent {
        Sent::Wire(wire) => (Some(wire.clone()), None),
        Sent::Json(body) => (None, Some(body.clone())),
        Sent::All(request) => {
            let body = request.to_string();
            (Some(json::wire_of(row.signal, &body)), Some(body.into_bytes()))
        }
    };
    let mut ways = 0;
    if let Some(wire) = &wire {
        check(row, "gRPC", &over_grpc(grpc, row.signal, wire).await);
        check(row, "HTTP/protobuf", &over_http(http, row.signal, wire, false).await);
        ways += 2;
    }
    if let Some(body) = &body {
        check(row, "HTTP/JSON", &over_http(http, row.signal, body, true).await);
        ways += 1;
    }
    let arrives = row.arrives.as_ref().map(|request| (row.signal, request.clone()));
    vec![arrives; ways].into_iter().flatten().collect()
}

/// Sends all rows in a zone, and waits until what must arrive has arrived.
async fn check_in(zone: &str) {
    let backend = Backend::bind().unwrap();
    let site = Site::new(backend.address(), YAML);
    let (taken, mode) = (Arc::<Taken>::default(), watch::Sender::new(Mode::Accept));
    let serving = tokio::spawn(backend.serve(taken.clone(), mode.subscribe()));
    let process = site.start().await;
    process.hold(zone);
    let (grpc, http) = (GrpcClient::new(site.grpc()), HttpClient::new(site.http()));
    let (mut expected, mut exact) = (Vec::new(), Vec::new());
    for row in rows() {
        expected.extend(send(&row, &grpc, &http).await);
        if let (Sent::Wire(wire), Expected::Full, Some(_)) = (row.sent, row.answer, row.arrives) {
            exact.push((row.name, wire));
        }
    }
    if zone == "red" {
        assert!(taken.0.lock().unwrap().is_empty(), "in red everything is in the vault");
    }
    process.hold("auto");
    let all = expected.len();
    let count = || taken.0.lock().unwrap().len();
    eventually(SOON, "everything that was accepted arrives", || all <= count()).await;
    let arrived = taken.0.lock().unwrap().clone();
    check_arrivals(&arrived, expected);
    for (name, wire) in exact {
        assert!(arrived.iter().any(|(_, arrived)| arrived == &wire), "{name} arrives as it is");
    }
    check_metrics(&process.metrics().await);
    for signal in Signal::ALL {
        let books = process.metrics().await.books(signal.name());
        assert_eq!(books.imbalance(), 0, "{signal} in {zone}");
        assert_eq!(books.count("rejected_by_backend"), 0, "{signal} in {zone}");
    }
    serving.abort();
}

/// What was told is counted.
fn check_metrics(metrics: &crate::harness::Metrics) {
    let (mut partial, mut rejected, mut invalid) = (0, 0, 0);
    for row in rows() {
        let ways = match row.sent {
            Sent::Wire(_) => 2,
            Sent::Json(_) => 1,
            Sent::All(_) => 3,
        };
        match row.answer {
            Expected::Full => {}
            Expected::Partial(records, _) => {
                partial += ways;
                rejected += ways * i64::try_from(records).unwrap();
            }
            Expected::Invalid(_) => invalid += ways,
        }
    }
    assert_eq!(metrics.sum("gophership_source_partial_success_total", &[]), partial);
    assert_eq!(metrics.sum("gophership_source_malformed_records_total", &[]), rejected);
    let causes = [("cause", "invalid")];
    assert_eq!(metrics.sum("gophership_source_refused_total", &causes), invalid);
}

/// Scenario: every row of the table is sent over gRPC, HTTP/protobuf and HTTP/JSON, as far as it applies, in
/// green.
/// Guarantees: each sender is told what the section says, over every protocol; what arrives at the backend
/// is what was accepted, and nothing else; metrics count what was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_has_its_answer_and_arrives_in_green() {
    check_in("green").await;
}

/// Scenario: the same in red, and the vault is replayed.
/// Guarantees: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_has_its_answer_and_arrives_in_red() {
    check_in("red").await;
}
