//! One request of OTLP/HTTP, from its last byte to its answer. What is asked for and what is answered is decided
//! by `http.rs`, as for the requests that hyper reads.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use gophership_http2::RequestBody;
use http::request::Parts;

use super::answer::StreamResponse;
use super::request_buffer::RequestBuffer;
use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::filling;
use crate::sources::otlp::http as otlp_http;
use crate::sources::otlp::http::Asked;
use crate::sources::otlp::ingest_handler::IngestHandler;
use crate::sources::otlp::partial_success::PartialSuccess;

/// When a sender may come back whose body was not stored.
const NOT_STORED_RETRY: Duration = Duration::from_secs(1);

/// Takes one request.
pub(super) async fn take(
    handler: &IngestHandler,
    share: &ConnectionShare,
    head: &Parts,
    asked: &Asked,
    arrived: Instant,
    body: RequestBody<RequestBuffer>,
) -> StreamResponse {
    if let Some(preflight) = handler.cors().and_then(|cors| cors.preflight(head)) {
        return StreamResponse::Http(preflight);
    }
    let result = export(handler, share, head, asked, arrived, body).await;
    match (&result, asked.encoding, handler.cors()) {
        (Ok(None), Some(encoding), None) => StreamResponse::Accepted(encoding),
        (_, encoding, cors) => {
            StreamResponse::Http(otlp_http::response(cors, &head.headers, encoding, &result))
        }
    }
}

async fn export(
    handler: &IngestHandler,
    share: &ConnectionShare,
    head: &Parts,
    asked: &Asked,
    arrived: Instant,
    body: RequestBody<RequestBuffer>,
) -> Result<Option<PartialSuccess>, RefusedRequest> {
    // Who is not let in was given no buffer.
    if !matches!(body, RequestBody::Whole(_)) {
        handler.authenticate(&head.headers)?;
    }
    let export = asked.export(handler)?;
    handler.before_reading().await;
    let room = handler.room(share);
    let receiving = async {
        let sent = match body {
            RequestBody::Whole(buffer) => buffer.finish(room).await?,
            RequestBody::Empty => filling::whole(room, Bytes::new()).await?,
            // What let nobody in when the body began, or was not there, has changed since.
            RequestBody::Refused(_) => {
                let why = "the source was not ready for it";
                return Err(RefusedRequest::Busy { retry_after: NOT_STORED_RETRY, why });
            }
        };
        otlp_http::decode(room, handler.limits(), export, sent).await
    };
    let received = receiving.await.inspect_err(|refused| handler.count(refused))?;
    let provenance = handler.provenance(&head.headers);
    handler.take(export.signal, received, arrived, provenance, None, room).await
}
