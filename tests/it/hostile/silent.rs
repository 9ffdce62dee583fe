//! Connections that say nothing, half of something, or nothing but what keeps them alive.

use std::time::Duration;

use gophership_http_client::Answer;
use gophership_otlp_client::Reply;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::SOON;
use super::Scene;
use super::raise_limit;
use super::raw;

/// Of each kind.
const CONNECTIONS: usize = 100;
const HALF_HEAD: &[u8] = b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nConte";
const HALF_BODY: &[u8] =
    b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                           Content-Length: 100000\r\n\r\n\x0a";

/// Sends one byte now and then until the connection ends.
async fn drip(mut stream: TcpStream, byte: u8) -> bool {
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        while writing.write_all(&[byte]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let end = async {
        let mut piece = [0; 1024];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut reading, &mut piece).await {}
    };
    let ended = async {
        tokio::select! { () = drip => {}, () = end => {} }
    };
    tokio::time::timeout(SOON, ended).await.is_ok()
}

/// Scenario: 800 connections over both ports: silent ones, half a preface, a preface without settings,
/// half a head, a head byte by byte, half a body, a body byte by byte, and HTTP/2 that only acknowledges
/// pings; beside senders that export without a pause.
/// Guarantees: each hostile connection ends, those that speak HTTP/2 are told before; memory stays, the
/// reasons are counted, and the senders keep their connections and are answered as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_complete_request_end() {
    raise_limit();
    let scene = Scene::new(2000).await;
    let senders = scene.senders();
    senders.advance(20, SOON).await;
    let before = scene.resident_bytes();
    let (grpc, http) = (scene.site.grpc(), scene.site.http());
    let mut hostile = JoinSet::new();
    for _ in 0..CONNECTIONS {
        for (address, said) in [
            (grpc, &b""[..]),
            (http, b""),
            (grpc, &raw::PREFACE[..11]),
            (http, raw::PREFACE),
            (http, HALF_HEAD),
            (http, HALF_BODY),
        ] {
            let mut stream = raw::send(address, said).await;
            hostile.spawn(async move { raw::read_to_end(&mut stream, SOON).await.is_some() });
        }
        let mut stream = raw::send(grpc, &raw::hello()).await;
        hostile.spawn(async move { raw::only_acknowledge(&mut stream, SOON).await == Some(true) });
        let stream = raw::send(http, HALF_HEAD).await;
        hostile.spawn(drip(stream, b'n'));
    }
    for _ in 0..CONNECTIONS / 10 {
        let stream = raw::send(http, HALF_BODY).await;
        hostile.spawn(drip(stream, 0));
    }
    let peak = scene.resident_bytes();
    while let Some(has_ended) = hostile.join_next().await {
        assert!(has_ended.unwrap(), "each connection ends, and HTTP/2 is told before");
    }
    scene.connections_fall("otlp/grpc", 3).await;
    scene.connections_fall("otlp/http", 0).await;
    assert!(peak < before + (64 << 20), "{before} bytes before, {peak} with them");
    for cause in ["handshake_timeout", "header_timeout", "first_request_timeout"] {
        scene.closed_in_time(cause, i64::try_from(CONNECTIONS).unwrap()).await;
    }
    scene.senders_are_well(senders).await;
}

/// Scenario: a client over HTTP/1 and one over HTTP/2 that have sent a request, and then nothing.
/// Guarantees: both are closed after `idle_timeout`, not before, and HTTP/2 is told to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_after_its_time_and_not_before() {
    let scene = Scene::new(10).await;
    let request = b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
                    Content-Length: 0\r\n\r\n";
    let mut http = raw::send(scene.site.http(), request).await;
    assert!(raw::read_answer(&mut http).await.starts_with("http/1.1 200"));
    let export = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::export());
    let message = raw::frame(raw::DATA, raw::END_STREAM, 1, &[0; 5]);
    let mut grpc = raw::send(scene.site.grpc(), &[raw::hello(), export, message].concat()).await;
    let begun = std::time::Instant::now();
    let (http, grpc) =
        tokio::join!(raw::read_to_end(&mut http, SOON), raw::only_acknowledge(&mut grpc, SOON));
    assert_eq!((http.is_some(), grpc), (true, Some(true)));
    assert!(Duration::from_secs(3) <= begun.elapsed(), "{:?}", begun.elapsed());
    assert_eq!(scene.closed_in_time("idle_timeout", 2).await, 2);
}

/// Whether a client had a request for a connection that was told to go just then: it was never sent, and a
/// client that is specified to sends it on the next one.
fn was_not_sent(reply: &Reply) -> bool {
    let Answer::Retry { reason, .. } = &reply.answer else { return false };
    let is_told = ["operation was canceled", "connection error received: not a result of an error"];
    reply.code.is_none() && is_told.iter().any(|words| reason.contains(words))
}

/// Scenario: senders beside each other whose connections may become two seconds old.
/// Guarantees: they are told to go, come back, and no request is lost or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_told_to_go_and_loses_no_request() {
    let yaml = super::YAML.replace("$CONNECTIONS", "100");
    let scene =
        Scene::with(&yaml.replace("connection:\n", "connection:\n      age_max: 1s\n")).await;
    let senders = scene.senders();
    let is_renewed = async || 6 <= scene.closed("age").await;
    crate::harness::eventually_async(SOON, "connections are renewed", is_renewed).await;
    let seen = senders.stop().await;
    let refused = seen.refusals.iter().find(|reply| !was_not_sent(reply));
    assert!(refused.is_none(), "{refused:?}");
    assert!(6 <= seen.connections, "{}", seen.connections);
    scene.oracle.settle(&scene.backend, SOON).await.assert_kept(&"over connections of all ages");
}
