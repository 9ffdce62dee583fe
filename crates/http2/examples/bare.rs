//! What `serve` is measured against: hyper's server with the best settings, which collects each body and answers
//! an OTLP Export call with success.
//!
//! `cargo run --release -p gophership-http2 --example bare -- 127.0.0.1:4317`
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Response;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A message of no bytes: a response with every field unset.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; 5]);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4317".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .max_frame_size(1 << 20)
                .max_concurrent_streams(256);
            // A peer that hangs up is no concern of the others.
            builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok();
        });
    }
}

/// Reads all of a body into one buffer of the right size, and answers.
async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let mut body = request.into_body();
    let mut collected = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if collected.is_empty()
            && let Some([_, len @ ..]) = piece.first_chunk::<5>()
        {
            collected.reserve_exact(5 + u32::from_be_bytes(*len) as usize);
        }
        collected.extend_from_slice(&piece);
    }
    std::hint::black_box(&collected);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(EMPTY_MESSAGE).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    Ok(response)
}
