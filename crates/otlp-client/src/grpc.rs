//! One attempt over gRPC.

use bytes::Bytes;
use http::HeaderMap;
use http::Uri;
use http::header::USER_AGENT;
use http::uri::PathAndQuery;
use tonic::Code;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;

use gophership_http_client::Answer;
use gophership_http_client::Compression;
use gophership_http_client::chain;
use gophership_http_client::with_connection_error;
use gophership_otlp::Signal;

use crate::CodeOption;
use crate::Codes;
use crate::OtlpClient;
use crate::RawCodec;
use crate::Reply;
use crate::exchange::BufferingService;
use crate::exchange::Said;
use crate::judge;

pub(super) async fn send(
    client: &OtlpClient,
    endpoint: &Uri,
    headers: &HeaderMap,
    signal: Signal,
    wire: Bytes,
) -> Reply {
    let exchange = BufferingService::over(client.http.clone());
    let said = exchange.said();
    let mut grpc = Grpc::with_origin(exchange, endpoint.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd);
    match client.compression {
        Compression::None => {}
        Compression::Gzip => grpc = grpc.send_compressed(CompressionEncoding::Gzip),
        Compression::Zstd => grpc = grpc.send_compressed(CompressionEncoding::Zstd),
    }
    let mut request = tonic::Request::new(wire);
    request.metadata_mut().as_mut().extend(headers.clone());
    request.metadata_mut().as_mut().entry(USER_AGENT).or_insert(crate::USER_AGENT_TEXT);
    let path = PathAndQuery::from_static(signal.grpc_path());
    let result = grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await;
    match (said.get(), result) {
        (Some(said), result) => Reply {
            code: said.status.as_ref().map(|(code, _)| CodeOption::Grpc(*code)),
            answer: judge(said, result.ok().as_ref(), &client.codes),
        },
        (None, Err(status)) => {
            let cause = std::error::Error::source(&status).unwrap_or(&status);
            let answer = Answer::unanswered(format!("no answer: {}", chain(cause)));
            Reply::none(with_connection_error(answer, &status))
        }
        (None, Ok(_)) => Reply::none(Answer::unanswered("no answer")),
    }
}

/// Judges what the backend itself said; what tonic makes of an answer that says nothing is nobody's word.
fn judge(said: &Said, message: Option<&tonic::Response<Bytes>>, codes: &Codes) -> Answer {
    match (&said.status, message) {
        (None, _) => Answer::unanswered(said.no_answer()),
        (Some((Code::Ok, _)), Some(message)) => judge::of_response(message.get_ref()),
        (Some((Code::Ok, _)), None) if said.is_too_long => {
            Answer::taken("the answer is longer than the sink reads")
        }
        (Some((Code::Ok, _)), None) if said.has_message => {
            Answer::taken("the answer is unreadable")
        }
        (Some((Code::Ok, _)), None) => Answer::unanswered("OK without a response message"),
        (Some((code, status)), _) => codes.of_grpc(*code, judge::of_status(status)),
    }
}
