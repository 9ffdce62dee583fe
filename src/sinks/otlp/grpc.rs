//! One attempt over gRPC.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::Code;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use super::CompressionOption;
use super::client::Client;
use crate::event::Batch;
use crate::otlp::RawCodec;
use crate::otlp::Verdict;
use crate::otlp::chain;

pub(super) async fn send(client: &Client, batch: &Batch) -> Verdict {
    let mut grpc = Grpc::with_origin(client.transport.clone(), client.endpoint.clone())
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
    let mut request = tonic::Request::new(batch.wire().clone());
    request.metadata_mut().as_mut().extend(client.headers.clone());
    let path = PathAndQuery::from_static(batch.signal().grpc_path());
    match grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await {
        Ok(response) => Verdict::of_response(response.get_ref()),
        Err(status) => judge(&status),
    }
}

fn judge(status: &Status) -> Verdict {
    // A status that was made here, because the connection failed, carries its cause.
    let cause = std::error::Error::source(status);
    if let Some(cause) = cause
        && matches!(status.code(), Code::Unknown | Code::Internal | Code::Unavailable)
    {
        return Verdict::unanswered(format!("no answer: {}", chain(cause)));
    }
    Verdict::of_grpc(status.code(), status.message(), retry_hint(status))
}

fn retry_hint(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}
