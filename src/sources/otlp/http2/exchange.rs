//! One request, from its last byte to its answer.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use gophership_http2::RequestBody;
use gophership_http2::StreamId;
use http_body_util::Full;
use tokio_util::sync::ReusableBoxFuture;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer::StreamResponse;
use super::head::ParsedHead;
use super::head::RequestTarget;
use super::head::Unknown;
use super::http_exchange;
use super::request_buffer::RequestBuffer;
use crate::net::ActiveRequest;
use crate::sources::otlp::admission::AdmittedRequest;
use crate::sources::otlp::admission::ConnectionAdmission;
use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::answer::ContentType;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::deadline::Deadline;
use crate::sources::otlp::frame;
use crate::sources::otlp::grpc;
use crate::sources::otlp::health;
use crate::sources::otlp::inflate::RequestEncoding;
use crate::sources::otlp::inflate::inflate;
use crate::sources::otlp::ingest_handler::IngestHandler;

/// A request that is being answered.
pub(super) struct Exchange {
    pub(super) stream: StreamId,
    work: Work,
}

/// What is done for a request; its memory can be used for the next one.
type Work = ReusableBoxFuture<'static, StreamResponse>;

thread_local! {
    /// The memory of a request that was answered at once.
    static SPARE: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// Begins a request: most end here, with `ack: received` nearly all, and need no place among those that wait.
pub(super) fn begin(
    stream: StreamId,
    work: impl Future<Output = StreamResponse> + Send + 'static,
    context: &mut Context<'_>,
) -> Result<StreamResponse, Exchange> {
    let mut work = match SPARE.take() {
        None => ReusableBoxFuture::new(work),
        Some(mut spare) => {
            spare.set(work);
            spare
        }
    };
    match work.poll(context) {
        Poll::Ready(answer) => {
            SPARE.set(Some(work));
            Ok(answer)
        }
        // Who waits polls it again, to be woken itself.
        Poll::Pending => Err(Exchange { stream, work }),
    }
}

impl Future for Exchange {
    type Output = (StreamId, StreamResponse);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stream = self.stream;
        self.work.poll(context).map(|answer| (stream, answer))
    }
}

/// What a request needs beside its bytes.
pub(super) struct Parties {
    pub(super) handler: Arc<IngestHandler>,
    pub(super) share: Arc<ConnectionShare>,
    pub(super) meaning: Arc<ParsedHead>,
    pub(super) arrived: Instant,
    /// The source waits for it when it stops.
    pub(super) present: TaskTrackerToken,
    /// The connection is not idle as long as this is there.
    pub(super) active: ActiveRequest,
}

/// Takes one request.
pub(super) async fn take(parties: Parties, body: RequestBody<RequestBuffer>) -> StreamResponse {
    let Parties { handler, share, meaning, arrived, present: _present, active: _active } = parties;
    let headers = &meaning.head.headers;
    let (signal, compression) = match &meaning.call {
        RequestTarget::Export(signal, compression) => (*signal, *compression),
        RequestTarget::Health(path) => return health(&handler, &share, path, stored(body)).await,
        RequestTarget::Unknown(unknown) => return refuse(&handler, unknown),
        RequestTarget::Http(asked) => {
            let head = &meaning.head;
            return http_exchange::take(&handler, &share, head, asked, arrived, body).await;
        }
    };
    let buffer = stored(body);
    // Who is not let in was given no buffer.
    if buffer.is_none()
        && let Err(refused) = handler.authenticate(headers)
    {
        return StreamResponse::Refused(refused);
    }
    let deadline = Deadline::of(headers);
    handler.before_reading().await;
    let room = handler.room(&share);
    let received = match message(buffer, compression, room, &handler).await {
        Ok(received) => received,
        Err(refused) => {
            handler.count(&refused);
            return StreamResponse::Refused(refused);
        }
    };
    let provenance = handler.provenance(headers);
    match handler.take(signal, received, arrived, provenance, deadline, room).await {
        Ok(partial) => StreamResponse::Message(grpc::frame_of(partial.as_ref())),
        Err(refused) => StreamResponse::Refused(refused),
    }
}

fn stored(body: RequestBody<RequestBuffer>) -> Option<RequestBuffer> {
    match body {
        RequestBody::Whole(buffer) => Some(buffer),
        RequestBody::Empty | RequestBody::Refused(_) => None,
    }
}

async fn message(
    buffer: Option<RequestBuffer>,
    compression: RequestEncoding,
    room: ConnectionAdmission<'_>,
    handler: &IngestHandler,
) -> Result<AdmittedRequest, RefusedRequest> {
    let Some(buffer) = buffer else { return Err(frame::broken("the request has no message")) };
    let compression = frame::encoding(buffer.flag(), compression)?;
    let received = buffer.finish(room).await?;
    match compression {
        RequestEncoding::None => Ok(received),
        compression => inflate(received, compression, room, handler.limits()).await,
    }
}

/// Says whether the server serves.
async fn health(
    handler: &IngestHandler,
    share: &ConnectionShare,
    path: &str,
    buffer: Option<RequestBuffer>,
) -> StreamResponse {
    let room = handler.room(share);
    let asked = match message(buffer, RequestEncoding::None, room, handler).await {
        Ok(received) => grpc::framed(&received.wire),
        Err(refused) => return StreamResponse::Refused(refused),
    };
    match health::answer(path, Full::new(asked), handler.serves()).await {
        Ok(frame) => StreamResponse::Message(frame),
        Err(status) => StreamResponse::Failed(status),
    }
}

/// Counts a request that its head alone condemns.
fn refuse(handler: &IngestHandler, unknown: &Unknown) -> StreamResponse {
    match unknown {
        Unknown::Grpc(refused) => {
            handler.count(refused);
            StreamResponse::Refused(refused.clone())
        }
        Unknown::NotGrpc(refused) => {
            handler.count(refused);
            StreamResponse::Http(refused.to_http(ContentType::Json))
        }
    }
}
