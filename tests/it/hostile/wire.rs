//! Odd protobuf through the vault and back.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use gophership_otlp::Signal;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tonic::Code;

use super::SOON;
use crate::harness::GrpcClient;
use crate::harness::Site;
use crate::harness::Traffic;
use crate::harness::eventually;

const YAML: &str = r#"
sources:
  otlp: { type: otlp, grpc: { listen: "$GRPC" }, pivot: vault }
  replay: { type: vault_replay, vault: vault }
sinks:
  backend:
    type: otlp
    inputs: [otlp, replay]
    endpoint: "http://$BACKEND"
    protocol: http
    compression: none
  vault: { type: raw_vault, max_size: 128MiB, segment_size: 1MiB }
"#;

type Taken = Arc<Mutex<Vec<Bytes>>>;

/// A backend that takes everything as it comes, and decodes nothing.
async fn backend() -> (SocketAddr, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Taken::default();
    let all = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                    let all = Arc::clone(&all);
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        all.lock().unwrap().push(body);
                        let mut answer = Response::new(Full::new(Bytes::new()));
                        let kind = "application/x-protobuf".parse().unwrap();
                        answer.headers_mut().insert("content-type", kind);
                        Ok::<_, Infallible>(answer)
                    }
                });
                let io = TokioIo::new(stream);
                let _ended = http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
    (address, taken)
}

/// A field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u8::try_from(bytes.len()).ok().filter(|len| *len < 128).unwrap();
    [&[number << 3 | 2, len], bytes].concat()
}

/// A request with one record that has these fields.
fn with_record(fields: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, fields)))
}

/// What is odd, and whether it is OTLP all the same.
fn odd() -> Vec<(&'static str, Vec<u8>, Option<bool>)> {
    let plain = with_record(&field(3, b"INFO"));
    let after = |more: &[u8]| [&plain[..], more].concat();
    vec![
        ("an unknown number", after(&[0xf8, 0x3e, 7]), Some(true)),
        ("unknown bytes", after(&[0xfa, 0x3e, 2, 0xff, 0xfe]), Some(true)),
        ("unknown bytes in a record", with_record(&[0xfa, 0x3e, 1, 0xff]), Some(true)),
        (
            "a field twice",
            with_record(&[field(3, b"INFO"), field(3, b"WARN")].concat()),
            Some(true),
        ),
        ("a number in too many bytes", with_record(&[0x10, 0x89, 0x80, 0x00]), Some(true)),
        ("text that is not UTF-8", with_record(&field(3, &[0xff, 0xfe])), None),
        ("a group", after(&[0xfb, 0x3e, 0x08, 1, 0xfc, 0x3e]), None),
        ("a wrong wire type", after(&[0x08, 1]), None),
        ("a record that is a number", field(1, &field(2, &[0x10, 1])), None),
        ("a field that is torn", plain[..plain.len() - 1].to_vec(), Some(false)),
        ("a group that never ends", after(&[0xfb, 0x3e]), Some(false)),
        ("field 0", after(&[0x00, 1]), Some(false)),
    ]
}

/// Scenario: unknown fields, groups, fields that are there twice, wrong wire types, text that is not UTF-8
/// and torn messages come in red, and the vault is replayed.
/// Guarantees: each is refused as invalid, or arrives bit for bit as it was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_come_out_of_the_vault_as_they_were_sent() {
    let (address, taken) = backend().await;
    let site = Site::new(address, YAML);
    let process = site.start().await;
    process.hold("red");
    let client = GrpcClient::new(site.grpc());
    let mut accepted = Vec::new();
    for (name, wire, expected) in odd() {
        let wire = Bytes::from(wire);
        let sent = client.send_to(Signal::Logs.grpc_path(), wire.clone()).await;
        assert!(expected.is_none_or(|expected| expected == sent.is_ok()), "{name}: {sent:?}");
        match sent {
            Ok(_) => accepted.push((name, wire)),
            Err(status) => assert_eq!(status.code(), Code::InvalidArgument, "{name}"),
        }
    }
    let parcel = Traffic::default().request(Signal::Logs, 3);
    client.send(&parcel).await.unwrap();
    accepted.push(("a legitimate one", parcel.wire));
    process.hold("auto");
    let all = accepted.len();
    eventually(SOON, "all of them arrive", || all <= taken.lock().unwrap().len()).await;
    for (name, wire) in accepted {
        assert!(taken.lock().unwrap().contains(&wire), "{name}");
    }
}
