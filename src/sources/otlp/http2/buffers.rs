//! Where the requests of a connection get their buffers: from the handler in force when they begin.

use std::sync::Arc;
use std::time::Instant;

use gophership_http2::Admit;
use gophership_http2::BodySource;
use gophership_http2::Incoming;
use gophership_http2::RequestHead;
use gophership_http2::StreamId;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answer::StreamResponse;
use super::head::Heads;
use super::head::ParsedHead;
use super::head::RequestTarget;
use super::request_buffer::AdmissionQueue;
use super::request_buffer::RequestBuffer;
use crate::net::ActiveRequest;
use crate::net::Activity;
use crate::sources::otlp::active_handler::ActiveHandlers;
use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::http as otlp_http;
use crate::sources::otlp::ingest_handler::IngestHandler;
use crate::sources::otlp::listener_protocol::ListenerProtocol;

/// What the requests of one connection have in common.
pub(super) struct Buffers<'s> {
    handlers: &'s ActiveHandlers,
    activity: Arc<Activity>,
    share: Arc<ConnectionShare>,
    waiting: Arc<AdmissionQueue>,
    heads: Heads,
}

impl<'s> Buffers<'s> {
    pub(super) fn new(
        protocol: ListenerProtocol,
        handlers: &'s ActiveHandlers,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            handlers,
            activity,
            share: Arc::new(ConnectionShare::new()),
            waiting: Arc::default(),
            heads: Heads::new(protocol),
        }
    }

    /// The handler in force; `None` before a source has opened the listener, and after it has ended.
    pub(super) fn handler(&self) -> Option<Arc<IngestHandler>> {
        self.handlers.handler()
    }

    /// The same for a request that has come in, with what shows that it is under way.
    pub(super) fn active(&self) -> Option<(Arc<IngestHandler>, TaskTrackerToken)> {
        self.handlers.active()
    }

    pub(super) fn share(&self) -> Arc<ConnectionShare> {
        Arc::clone(&self.share)
    }

    pub(super) fn meaning(&mut self, head: &Arc<RequestHead>) -> Arc<ParsedHead> {
        self.heads.meaning(head)
    }

    /// When the newest bytes were read.
    pub(super) fn newest(&self) -> Instant {
        self.activity.newest()
    }

    pub(super) fn begin(&self) -> ActiveRequest {
        self.activity.begin()
    }

    /// The requests that have begun to wait for room since the last call.
    pub(super) fn new_waits(&self) -> Vec<StreamId> {
        self.waiting.take_new()
    }

    /// Counts a request that was refused before it was complete.
    pub(super) fn count(&self, refused: &RefusedRequest) {
        if let Some(handler) = self.handler() {
            handler.count(refused);
        }
    }

    /// What a sender of a request with this head is told that is refused.
    pub(super) fn refusal(
        &mut self,
        head: &Arc<RequestHead>,
        refused: RefusedRequest,
    ) -> StreamResponse {
        let meaning = self.meaning(head);
        let RequestTarget::Http(asked) = &meaning.call else {
            return StreamResponse::Refused(refused);
        };
        let handler = self.handler();
        let cors = handler.as_ref().and_then(|handler| handler.cors());
        let (headers, refused) = (&meaning.head.headers, Err(refused));
        StreamResponse::Http(otlp_http::response(cors, headers, asked.encoding, &refused))
    }

    /// What a sender is told that sends too little.
    pub(super) fn stalled(&self) -> RefusedRequest {
        let after = self.handler().map(|handler| handler.limits().read_idle);
        RefusedRequest::Stalled { after: after.unwrap_or_default() }
    }
}

impl BodySource for Buffers<'_> {
    type Body = RequestBuffer;

    fn body(&mut self, incoming: &Incoming<'_>) -> Admit<RequestBuffer> {
        let Some(handler) = self.handler() else { return Admit::Refuse };
        let meaning = self.meaning(incoming.head);
        let is_wanted = match &meaning.call {
            RequestTarget::Http(asked) if asked.export.is_err() => false,
            RequestTarget::Export(..) | RequestTarget::Http(_) => {
                handler.lets_in(&meaning.head.headers)
            }
            RequestTarget::Health(_) => true,
            RequestTarget::Unknown(_) => false,
        };
        if !is_wanted {
            return Admit::Refuse;
        }
        let (share, waiting) = (self.share(), Arc::clone(&self.waiting));
        let active = self.begin();
        let mut buffer = RequestBuffer::new(handler, share, waiting, meaning, active, incoming);
        if incoming.is_whole {
            // If there is no room now, it comes in like one in pieces.
            buffer.take_whole(incoming.first);
        }
        Admit::Store(buffer)
    }
}
