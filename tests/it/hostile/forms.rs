//! What a port is not for, and messages that are not framed as they should be.

use std::net::SocketAddr;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::Request;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::SOON;
use super::Scene;
use super::raw;
use crate::harness::HttpClient;

/// An answer over HTTP/2.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    /// From the headers, or from the trailers.
    grpc_status: Option<String>,
    body: Bytes,
}

/// Sends a request over HTTP/2.
async fn send(address: SocketAddr, request: http::request::Builder, body: &[u8]) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let _connection = tokio::spawn(connection);
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let answer = tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap();
    let (head, body) = answer.into_parts();
    let collected = body.collect().await.unwrap();
    let of = |headers: &HeaderMap| {
        headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
    };
    let grpc_status = of(&head.headers).or_else(|| collected.trailers().and_then(of));
    let (status, headers) = (head.status.as_u16(), head.headers);
    Answer { status, headers, grpc_status, body: collected.to_bytes() }
}

fn post(kind: &str) -> http::request::Builder {
    let path = Signal::Logs.grpc_path();
    Request::post(format!("http://localhost{path}")).header("content-type", kind)
}

/// Scenario: the gRPC port gets other content types and methods, the HTTP port gRPC-Web, gRPC over
/// HTTP/1.1, and HTTP/1.1 without a Host.
/// Guarantees: each is told what is wrong, with the status that the specifications give it; gRPC over
/// HTTP/2 works on both ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_port_is_not_for_is_refused_as_the_specifications_say() {
    let scene = Scene::new(100).await;
    let (grpc, http) = (scene.site.grpc(), scene.site.http());
    let empty = [0; 5];
    for kind in
        ["text/plain", "application/json", "application/grpc-web+proto", "application/grpcx"]
    {
        let answer = send(grpc, post(kind), &empty).await;
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
    }
    let path = Signal::Logs.grpc_path();
    let get =
        Request::get(format!("http://localhost{path}")).header("content-type", "application/grpc");
    let answer = send(grpc, get, &[]).await;
    assert_eq!((answer.status, &answer.headers["allow"]), (405, &"POST".parse().unwrap()));
    for address in [grpc, http] {
        for kind in ["application/grpc", "application/grpc+proto"] {
            let answer = send(address, post(kind), &empty).await;
            assert_eq!((answer.status, answer.grpc_status.as_deref()), (200, Some("0")), "{kind}");
        }
    }
    let client = HttpClient::new(http);
    for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpc"] {
        let answer = client.post(path, &[("content-type", kind)], empty.to_vec()).await;
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("gRPC-Web is not supported"));
    }
    for host in ["", "Host: a\r\nHost: b\r\n"] {
        let head = format!("POST /v1/logs HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n");
        let mut stream = raw::send(http, head.as_bytes()).await;
        let answer = raw::read_answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 400"), "{answer}");
    }
    let mut stream = raw::send(scene.site.metrics(), b"GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(raw::read_answer(&mut stream).await.starts_with("http/1.1 400"));
}

/// Scenario: a request whose `Content-Encoding` is written in other ways.
/// Guarantees: it is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encodings_are_taken_in_any_case_and_by_their_old_names() {
    let scene = Scene::new(100).await;
    let client = HttpClient::new(scene.site.http());
    let parcel = scene.traffic.request(Signal::Logs, 3);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &parcel.wire).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&parcel.wire[..], 1).unwrap();
    for (encoding, body) in
        [("GZIP", &gzip), ("x-gzip", &gzip), ("Zstd", &zstd), ("Identity", &parcel.wire.to_vec())]
    {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
        let answer = client.post("/v1/logs", &headers, body.clone()).await;
        assert_eq!(answer.status, 200, "{encoding}: {answer:?}");
    }
    assert_eq!(scene.backend.has(&parcel.fingerprint), 4);
}

/// Scenario: messages whose length is not what follows, with a wrong flag, compressed without a name, in
/// two pieces, and larger than may be.
/// Guarantees: the status that gRPC has for each; no memory is taken for what is only announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_not_whole_are_refused() {
    let scene = Scene::new(100).await;
    let before = scene.resident_bytes();
    let too_long = (64_u32 << 20) + 1;
    let announced = |len: u32, flag: u8| [&[flag][..], &len.to_be_bytes()].concat();
    let two = [announced(0, 0), announced(0, 0)].concat();
    for (name, body, status) in [
        ("no message", Vec::new(), "13"),
        ("half a head", vec![0, 0], "13"),
        ("a message that is torn", announced(5, 0), "13"),
        ("4 GiB in 5 bytes", announced(u32::MAX, 0), "8"),
        ("one byte more than may be", announced(too_long, 0), "8"),
        ("compressed, and nobody says how", announced(0, 1), "13"),
        ("a flag that is none", announced(0, 2), "13"),
        ("two messages", two, "13"),
    ] {
        let answer = send(scene.site.grpc(), post("application/grpc"), &body).await;
        assert_eq!((answer.status, answer.grpc_status.as_deref()), (200, Some(status)), "{name}");
        assert!(answer.body.is_empty(), "{name}");
    }
    let after = scene.resident_bytes();
    assert!(after < before + (32 << 20), "{before} bytes before, {after} afterwards");
}
