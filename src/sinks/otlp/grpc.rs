//! One attempt over gRPC.

use bytes::Bytes;
use gophership_otlp::Signal;
use http::HeaderMap;
use http::Uri;
use http::uri::PathAndQuery;
use tonic::Code;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

use super::channel::Channel;
use super::codes::Codes;
use super::exchange::Exchange;
use super::exchange::Said;
use super::last_words;
use super::options::CompressionOption;
use crate::otlp_client::RawCodec;
use crate::otlp_client::Verdict;
use crate::otlp_client::chain;

pub(super) async fn send(
    channel: &Channel,
    endpoint: &Uri,
    signal: Signal,
    wire: Bytes,
) -> Verdict {
    let exchange = Exchange::over(channel.http.clone());
    let said = exchange.said();
    let mut grpc = Grpc::with_origin(exchange, endpoint.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    match channel.compression {
        CompressionOption::None => {}
        CompressionOption::Gzip => grpc = grpc.send_compressed(CompressionEncoding::Gzip),
        CompressionOption::Zstd => grpc = grpc.send_compressed(CompressionEncoding::Zstd),
    }
    let mut request = tonic::Request::new(wire);
    request.metadata_mut().as_mut().extend(HeaderMap::clone(&channel.headers.current()));
    let path = PathAndQuery::from_static(signal.grpc_path());
    let result = grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await;
    match (said.get(), result) {
        (Some(said), result) => judge(said, result.ok().as_ref(), &channel.codes),
        (None, Err(status)) => {
            let cause = std::error::Error::source(&status).unwrap_or(&status);
            let verdict = Verdict::unanswered(format!("no answer: {}", chain(cause)));
            last_words::add(verdict, &status)
        }
        (None, Ok(_)) => Verdict::unanswered("no answer"),
    }
}

/// Judges what the backend itself said; what tonic makes of an answer that says nothing is nobody's word.
fn judge(said: &Said, message: Option<&tonic::Response<Bytes>>, codes: &Codes) -> Verdict {
    match (&said.status, message) {
        (None, _) => Verdict::unanswered(said.no_answer()),
        (Some((Code::Ok, _)), Some(message)) => Verdict::of_response(message.get_ref()),
        (Some((Code::Ok, _)), None) if said.is_too_long => {
            Verdict::taken("the answer is longer than is read")
        }
        (Some((Code::Ok, _)), None) if said.has_message => {
            Verdict::taken("the answer cannot be read")
        }
        (Some((Code::Ok, _)), None) => Verdict::unanswered("OK without the message beside it"),
        (Some((code, status)), _) => {
            // `RetryInfo` says that the backend expects to recover, also where it does not say when.
            let info = status.get_details_retry_info();
            let hint = info.map(|info| info.retry_delay.unwrap_or_default());
            codes.of_grpc(*code, Verdict::of_grpc(*code, status.message(), hint))
        }
    }
}
