//! Requests that are small on their way and large in memory.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use gophership_otlp::Signal;
use tokio::time::Instant;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use super::SOON;
use super::Scene;
use crate::harness::GrpcClient;
use crate::harness::HttpClient;
use crate::harness::json;

/// How long bombs come.
const ATTACK: Duration = Duration::from_secs(3);

const YAML: &str = r#"
sources:
  otlp:
    type: otlp
    grpc: { listen: "$GRPC" }
    http: { listen: "$HTTP" }
    pivot: vault
    records_max: 100
    resources_max: 20
    compression_ratio_max: 50
sinks:
  backend: { type: otlp, inputs: [otlp], endpoint: "http://$BACKEND" }
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A request that inflates to so many bytes.
fn bomb(encoding: &str, bytes: usize) -> Vec<u8> {
    let plain = vec![0; bytes];
    if encoding == "zstd" { zstd::encode_all(&plain[..], 3).unwrap() } else { gzip(&plain) }
}

/// Sends a bomb on one connection, again and again; returns how often.
async fn send_bombs(address: SocketAddr, encoding: &'static str, bomb: Vec<u8>) -> u64 {
    let client = HttpClient::new(address);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < ATTACK {
        let answer = client.post("/v1/logs", &headers, bomb.clone()).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains("compression_ratio_max"), "{body}");
        sent += 1;
    }
    sent
}

/// Scenario: four connections send bombs that inflate to 64 MiB, of 3 KB of zstd or 64 KB of gzip, as fast as
/// they are answered, beside senders.
/// Guarantees: each bomb has a final answer that names the option, and is counted; no sender is refused or
/// waits for long; memory stays within what a few bombs of 4 MiB take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_take_no_room_from_senders() {
    let scene = Scene::new(100).await;
    let before = scene.resident_bytes();
    let senders = scene.senders();
    let mut attackers = Vec::new();
    for encoding in ["zstd", "gzip", "zstd", "gzip"] {
        let bomb = bomb(encoding, 64 << 20);
        assert!(bomb.len() < 70_000, "{encoding}: {}", bomb.len());
        attackers.push(tokio::spawn(send_bombs(scene.site.http(), encoding, bomb)));
    }
    let mut sent = 0;
    for attacker in attackers {
        sent += attacker.await.unwrap();
    }
    let peak = scene.resident_bytes();
    assert!(peak < before + (96 << 20), "{before} bytes before, {peak} with bombs");
    assert_eq!(refused(&scene, "too_large").await, i64::try_from(sent).unwrap());
    scene.senders_are_well(senders).await;
}

async fn refused(scene: &Scene, cause: &str) -> i64 {
    let metrics = scene.process.metrics().await;
    metrics.sum("gophership_source_refused_total", &[("cause", cause)])
}

/// The answer over gRPC, which must be final.
async fn grpc_answer(client: &GrpcClient, wire: Bytes) -> (Code, String) {
    let answer = client.send_to(Signal::Logs.grpc_path(), wire).await;
    let Err(status) = answer else { return (Code::Ok, String::new()) };
    assert!(status.get_error_details().retry_info().is_none(), "{status:?}");
    (status.code(), status.message().to_owned())
}

/// Scenario: requests at their limits of records and of resources with scopes, and with one more, over gRPC,
/// HTTP/protobuf and HTTP/JSON, in green and in red; and one that inflates beyond its ratio.
/// Guarantees: at the limit they are taken; beyond it the answer is final, and names option, figure and
/// limit; all are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_a_limit_is_refused_in_every_zone_and_protocol() {
    let scene = Scene::with(YAML).await;
    let grpc = GrpcClient::new(scene.site.grpc());
    let http = HttpClient::new(scene.site.http());
    let records = |count: u64| {
        let parcel = scene.traffic.request(Signal::Logs, count);
        (parcel.wire.clone(), json::json_of(parcel.signal, &parcel.wire).to_string().into_bytes())
    };
    // So many empty resources before one that has a scope.
    let resources = |empty: usize| {
        let (wire, json) = records(1);
        let wire = [[0x0a, 0].repeat(empty), wire.to_vec()].concat();
        let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let all = json["resourceLogs"].as_array_mut().unwrap();
        (0..empty).for_each(|_| all.push(serde_json::json!({})));
        (Bytes::from(wire), json.to_string().into_bytes())
    };
    let mut counted = 0;
    for zone in ["green", "red"] {
        scene.process.hold(zone);
        for ((wire, json), expected) in [
            (records(100), None),
            (records(101), Some("the request has 101 records; the limit of `records_max` is 100")),
            (resources(18), None),
            (
                resources(19),
                Some("the request has 21 resources and scopes; the limit of `resources_max` is 20"),
            ),
        ] {
            let code = if expected.is_some() { Code::InvalidArgument } else { Code::Ok };
            let status = if expected.is_some() { 400 } else { 200 };
            let expected = expected.unwrap_or_default();
            assert_eq!(grpc_answer(&grpc, wire.clone()).await, (code, expected.to_owned()));
            for (kind, body) in
                [("application/x-protobuf", wire.to_vec()), ("application/json", json)]
            {
                let answer = http.post("/v1/logs", &[("content-type", kind)], body).await;
                let text = String::from_utf8_lossy(&answer.body);
                assert_eq!(answer.status, status, "{zone} {kind}: {text}");
                assert!(text.contains(expected), "{zone} {kind}: {text}");
            }
            counted += if expected.is_empty() { 0 } else { 3 };
        }
        let plain = Bytes::from(vec![0; 8 << 20]);
        let zstd = GrpcClient::new(scene.site.grpc()).compressed(Some(CompressionEncoding::Zstd));
        let (code, message) = grpc_answer(&zstd, plain).await;
        assert_eq!(code, Code::ResourceExhausted, "{message}");
        assert!(message.contains("more than 50 times"), "{message}");
        counted += 1;
        assert_eq!(refused(&scene, "too_large").await, counted);
    }
    scene.process.hold("green");
    let nothing_is_left = async || scene.process.metrics().await.books("logs").imbalance() == 0;
    crate::harness::eventually_async(SOON, "the ledger is balanced", nothing_is_left).await;
}
