//! Clients that ask and never read their answers.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use super::SOON;
use super::Scene;
use super::raw;
use crate::harness::get;

const EMPTY_EXPORT: &str = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                            Content-Length: 0\r\n\r\n";

/// Connects with a small buffer, or the system would take megabytes of answers for it.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends requests one behind the other, and reads nothing; returns whether it was cut off.
async fn pipeline(address: SocketAddr, request: &str) -> bool {
    let mut stream = narrow(address).await;
    let requests = request.repeat(100);
    let pipelining = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(SOON * 2, pipelining).await.is_ok()
}

/// Scenario: clients that pipeline requests over HTTP/1 without reading, and HTTP/2 clients that give
/// their streams a window of 0 bytes; beside senders.
/// Guarantees: they are cut off after `write_timeout`, and the senders do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_cut_off() {
    let scene = Scene::new(100).await;
    let senders = scene.senders();
    let pipelines: Vec<_> =
        (0..4).map(|_| tokio::spawn(pipeline(scene.site.http(), EMPTY_EXPORT))).collect();
    let mut stuck = Vec::new();
    for _ in 0..4 {
        // SETTINGS_INITIAL_WINDOW_SIZE is 0.
        let settings = raw::frame(raw::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        let export = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::export());
        let message = raw::frame(raw::DATA, raw::END_STREAM, 1, &[0; 5]);
        let said = [raw::PREFACE, &settings, &export, &message].concat();
        let mut stream = raw::send(scene.site.grpc(), &said).await;
        stuck.push(tokio::spawn(async move { raw::only_acknowledge(&mut stream, SOON).await }));
    }
    for pipeline in pipelines {
        assert!(pipeline.await.unwrap(), "it is cut off");
    }
    for stuck in stuck {
        assert!(stuck.await.unwrap().is_some(), "it is cut off");
    }
    assert_eq!(scene.closed_in_time("write_timeout", 8).await, 8);
    scene.connections_fall("otlp/http", 0).await;
    scene.senders_are_well(senders).await;
}

/// Scenario: 64 clients, as many as there may be, ask the metrics listener and never read; then 64 that
/// say nothing.
/// Guarantees: somebody who reads has an answer soon, and the control socket goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_are_served_beside_clients_that_never_read() {
    let scene = Scene::new(100).await;
    let address = scene.site.metrics();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    let mut hostile = Vec::new();
    for _ in 0..64 {
        let mut stream = narrow(address).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        hostile.push(stream);
    }
    let answer = tokio::time::timeout(SOON, get(address, "/healthz")).await.unwrap();
    assert_eq!(answer.map(|(status, _)| status), Some(200));
    drop(hostile);
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(raw::connect(address).await);
    }
    let answer = tokio::time::timeout(SOON, get(address, "/readyz")).await.unwrap();
    assert_eq!(answer.map(|(status, _)| status), Some(200));
    assert!(scene.process.control(&["status"]).status.success());
}
