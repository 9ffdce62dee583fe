//! A request that waits for room, in the order in which requests asked for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use gophership_http2::StreamId;

use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::admission::Permit;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::ingest_handler::IngestHandler;

/// What a request gets that has waited.
pub(super) struct RoomFound {
    pub(super) stream: StreamId,
    pub(super) room: Result<Permit, RefusedRequest>,
}

/// A request that waits for room.
pub(super) struct AdmissionWait(Pin<Box<dyn Future<Output = RoomFound> + Send>>);

impl AdmissionWait {
    pub(super) fn new(
        stream: StreamId,
        bytes: u64,
        handler: Arc<IngestHandler>,
        share: Arc<ConnectionShare>,
    ) -> Self {
        Self(Box::pin(async move {
            let room = handler.room(&share).begin(bytes).await;
            RoomFound { stream, room }
        }))
    }
}

impl Future for AdmissionWait {
    type Output = RoomFound;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RoomFound> {
        self.0.as_mut().poll(context)
    }
}
