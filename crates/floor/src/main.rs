//! The floor: a server that reads OTLP requests, scans them as GopherShip does, answers OK and forgets them.
//!
//! ```text
//! gophership-floor grpc 127.0.0.1:4317      tonic with a codec that copies nothing
//! gophership-floor http 127.0.0.1:4318      hyper, which collects the body
//! gophership-floor body 100 FILE            a request of 100 log records; with `grpc` behind it, framed
//! ```
//!
//! Windows, frame size and allocator are what somebody chooses who wants it fast. It has no limits, no deadlines
//! and no queue.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "says where it listens, and how it is used"
)]

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;

use bytes::Bytes;
use bytes::BytesMut;
use gophership_otlp::Signal;
use gophership_otlp::demo::demo_logs;
use gophership_otlp::prescan;
use gophership_otlp_client::RawCodec;
use http::Request;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tonic::Status;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The start of the data, which any request may have: 2023-11-14.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["grpc", address] => grpc(address).await,
        ["http", address] => http(address).await,
        ["body", records, file] => body(records, file, false),
        ["body", records, file, "grpc"] => body(records, file, true),
        _ => Err("usage: gophership-floor grpc|http ADDRESS, or body RECORDS FILE [grpc]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a request is a whole one, at the cost of the server's own scan.
fn is_whole(wire: &[u8]) -> bool {
    prescan(Signal::Logs, wire).is_ok()
}

async fn grpc(address: &str) -> Result<(), Box<dyn Error>> {
    let address = address.parse()?;
    let service = tower::service_fn(|request: Request<tonic::body::Body>| async move {
        let grpc = tonic::server::Grpc::new(RawCodec);
        let mut grpc = grpc.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok::<_, Infallible>(grpc.unary(Forget, request).await)
    });
    println!("{address}");
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .tcp_nodelay(true)
        .serve(address, service)
        .await?;
    Ok(())
}

/// The cheapest unary method that knows what it got.
struct Forget;

impl tonic::server::UnaryService<Bytes> for Forget {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let answer = if is_whole(request.get_ref()) {
            Ok(tonic::Response::new(Bytes::new()))
        } else {
            Err(Status::invalid_argument("no OTLP request"))
        };
        std::future::ready(answer)
    }
}

async fn http(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder
                .http2()
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(FRAME_BYTES_MAX);
            // A peer that hangs up is no concern of the others.
            builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok();
        });
    }
}

/// Reads all of a body into one buffer of the right size, and answers.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let len =
        request.headers().get("content-length").and_then(|len| len.to_str().ok()?.parse().ok());
    let mut collected = BytesMut::with_capacity(len.unwrap_or_default());
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            collected.extend_from_slice(&piece);
        }
    }
    let mut response = Response::new(Full::default());
    if !is_whole(&collected) {
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
    }
    let protobuf = http::HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(http::header::CONTENT_TYPE, protobuf);
    Ok(response)
}

/// Writes a request, with the prefix of a gRPC message if it is to be sent so.
fn body(records: &str, file: &str, is_framed: bool) -> Result<(), Box<dyn Error>> {
    let wire = demo_logs(records.parse()?, 7, EPOCH_NS);
    let mut text = Vec::with_capacity(wire.len() + 5);
    if is_framed {
        text.push(0);
        text.extend_from_slice(&u32::try_from(wire.len())?.to_be_bytes());
    }
    text.extend_from_slice(&wire);
    std::fs::write(file, text)?;
    Ok(())
}
