//! One attempt over gRPC.

use bytes::Bytes;
use http::HeaderMap;
use http::Uri;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;

use super::client::Client;
use super::last_words;
use super::options::CompressionOption;
use crate::otlp::RawCodec;
use crate::otlp::Signal;
use crate::otlp::Verdict;
use crate::otlp::chain;

pub(super) async fn send(client: &Client, endpoint: &Uri, signal: Signal, wire: Bytes) -> Verdict {
    let mut grpc = Grpc::with_origin(client.transport.clone(), endpoint.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    match client.compression {
        CompressionOption::None => {}
        CompressionOption::Gzip => grpc = grpc.send_compressed(CompressionEncoding::Gzip),
        CompressionOption::Zstd => grpc = grpc.send_compressed(CompressionEncoding::Zstd),
    }
    if let Err(error) = grpc.ready().await {
        return Verdict::unanswered(format!("cannot connect: {}", chain(&error)));
    }
    let mut request = tonic::Request::new(wire);
    request.metadata_mut().as_mut().extend(HeaderMap::clone(&client.headers.current()));
    let path = PathAndQuery::from_static(signal.grpc_path());
    match grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await {
        Ok(response) => Verdict::of_response(response.get_ref()),
        Err(status) => last_words::add(Verdict::of_status(&status), &status),
    }
}
