//! The message of one request while it comes in: room is taken for all of it as soon as its length is known,
//! and then the connection copies it from its read buffer to where it stays.
//!
//! ```text
//!             length known          room at once
//!  Unbegun --------------------------------------> Filling   a pooled buffer, and the room that it holds
//!                |                                    ^
//!                |  no room now                       |  room, in the order in which it was asked for
//!                `------------> Waiting --------------'
//!                               at most the windows of streams, 256 KiB a connection in all
//! ```
//!
//! Over HTTP a client may leave the length out. Then room is taken for twice its first piece, and for twice as much
//! again whenever that is full; if there is none at that moment, the request is refused.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gophership_http2::Appended;
use gophership_http2::Body;
use gophership_http2::Incoming;
use gophership_http2::StreamId;
use parking_lot::Mutex;

use super::framing::Framing;
use super::head::ParsedHead;
use super::head::RequestTarget;
use crate::net::ActiveRequest;
use crate::pool::Pool;
use crate::pool::PooledBuffer;
use crate::sources::otlp::admission::AdmittedRequest;
use crate::sources::otlp::admission::ConnectionAdmission;
use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::admission::Permit;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::body;
use crate::sources::otlp::filling::SHARED_BYTES_MIN;
use crate::sources::otlp::frame;
use crate::sources::otlp::ingest_handler::IngestHandler;

/// What the requests of one connection may hold together while they wait for room: they are not counted.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// The requests of one connection that wait for room.
#[derive(Debug, Default)]
pub(super) struct AdmissionQueue {
    bytes: AtomicUsize,
    /// Those for which nobody has asked for room yet.
    new: Mutex<Vec<StreamId>>,
}

/// The message of one request.
pub(super) struct RequestBuffer {
    handler: Arc<IngestHandler>,
    share: Arc<ConnectionShare>,
    waiting: Arc<AdmissionQueue>,
    stream: StreamId,
    meaning: Arc<ParsedHead>,
    framing: Framing,
    /// The length of the message, or what there is room for as long as nobody has told it.
    message_len: usize,
    message: Message,
    /// Why the rest of it is not stored.
    refused: Option<RefusedRequest>,
    /// The connection is not idle as long as this is there.
    active: Option<ActiveRequest>,
}

enum Message {
    /// Its length is not known.
    Unbegun,
    /// It came in one piece.
    Whole(Bytes, Permit),
    Filling(PooledBuffer, Permit),
    Waiting(Vec<u8>),
}

impl AdmissionQueue {
    /// The requests that have begun to wait since the last call; some may have gone meanwhile.
    pub(super) fn take_new(&self) -> Vec<StreamId> {
        std::mem::take(&mut *self.new.lock())
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl RequestBuffer {
    pub(super) fn new(
        handler: Arc<IngestHandler>,
        share: Arc<ConnectionShare>,
        waiting: Arc<AdmissionQueue>,
        meaning: Arc<ParsedHead>,
        active: ActiveRequest,
        incoming: &Incoming<'_>,
    ) -> Self {
        let framing = match &meaning.call {
            RequestTarget::Http(_) => Framing::Bare(incoming.head.content_length()),
            RequestTarget::Export(..) | RequestTarget::Health(_) | RequestTarget::Unknown(_) => {
                Framing::prefixed()
            }
        };
        Self {
            handler,
            share,
            waiting,
            stream: incoming.stream,
            meaning,
            framing,
            message_len: 0,
            message: Message::Unbegun,
            refused: None,
            active: Some(active),
        }
    }

    /// Takes a request that has come in one piece, if there is room for it at once.
    pub(super) fn take_whole(&mut self, piece: &[u8]) -> bool {
        let Some((framing, message)) = self.framing.whole(piece) else { return false };
        let len = message.len();
        if self.handler.limits().bytes < len as u64 {
            return false;
        }
        let room = self.handler.room(&self.share);
        let is_small = len < SHARED_BYTES_MIN;
        // A pooled buffer may be larger than what is in it.
        let bytes = if is_small { len } else { Pool::capacity_for(len) };
        let Some(held) = room.try_take(bytes as u64) else { return false };
        let wire = if is_small {
            Bytes::copy_from_slice(message)
        } else {
            let Ok(mut buffer) = room.buffer(len) else { return false };
            buffer.extend_from_slice(message);
            buffer.freeze()
        };
        (self.framing, self.message_len) = (framing, len);
        self.message = Message::Whole(wire, held);
        true
    }

    /// The bytes to take room for, if the request waits for that.
    pub(super) fn wants(&self) -> Option<u64> {
        let is_waiting = matches!(self.message, Message::Waiting(_));
        is_waiting.then(|| Pool::capacity_for(self.message_len) as u64)
    }

    /// Goes on with room for the whole message.
    pub(super) fn give(&mut self, mut held: Permit) -> Result<(), RefusedRequest> {
        let Message::Waiting(stash) = &self.message else { return Ok(()) };
        let room = self.handler.room(&self.share);
        // One whose length nobody has told may have become longer than what it waited for.
        let missing = (Pool::capacity_for(self.message_len) as u64).saturating_sub(held.bytes());
        if 0 < missing && !room.try_grow(&mut held, missing) {
            return Err(room.busy());
        }
        let mut buffer = room.buffer(self.message_len)?;
        buffer.extend_from_slice(stash);
        self.waiting.give_back(stash.len());
        self.message = Message::Filling(buffer, held);
        Ok(())
    }

    /// What the head of the request means.
    pub(super) fn meaning(&self) -> Arc<ParsedHead> {
        Arc::clone(&self.meaning)
    }

    /// Passes on what shows that the connection is not idle.
    pub(super) const fn take_active(&mut self) -> Option<ActiveRequest> {
        self.active.take()
    }

    /// Why the request was refused before its end.
    pub(super) fn refusal(&mut self) -> Option<RefusedRequest> {
        self.refused.take()
    }

    /// How gRPC says that the message is compressed.
    pub(super) const fn flag(&self) -> u8 {
        self.framing.flag()
    }

    /// Returns the message, as it was sent, when all bytes have come.
    pub(super) async fn finish(
        mut self,
        room: ConnectionAdmission<'_>,
    ) -> Result<AdmittedRequest, RefusedRequest> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let len_min = if self.framing.is_open() { 0 } else { self.message_len };
        match std::mem::replace(&mut self.message, Message::Unbegun) {
            Message::Whole(wire, held) => Ok(AdmittedRequest { wire, held, partial: None }),
            Message::Filling(buffer, held) if len_min <= buffer.len() => {
                Ok(AdmittedRequest { wire: buffer.freeze(), held, partial: None })
            }
            Message::Waiting(stash) => {
                let len = stash.len();
                self.message = Message::Waiting(stash);
                if len < len_min {
                    return Err(frame::broken("the message is incomplete"));
                }
                let held = room.take(len as u64).await?;
                let Message::Waiting(stash) =
                    std::mem::replace(&mut self.message, Message::Unbegun)
                else {
                    return Err(frame::broken("the message is incomplete"));
                };
                self.waiting.give_back(len);
                Ok(AdmittedRequest { wire: stash.into(), held, partial: None })
            }
            Message::Unbegun | Message::Filling(..) => {
                Err(frame::broken("the message is incomplete"))
            }
        }
    }

    /// Reads what is in front of the message, begins with the message when its length is known, and returns the rest.
    fn take_front<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], RefusedRequest> {
        let (len, rest) = self.framing.read(bytes, self.handler.limits().bytes);
        if let Some(len) = len {
            self.begin(len)?;
        }
        Ok(rest)
    }

    /// The length of the message is known.
    fn begin(&mut self, len: u64) -> Result<(), RefusedRequest> {
        self.message_len = self.within_limit(len)?;
        let room = self.handler.room(&self.share);
        self.message =
            if let Some(held) = room.try_begin(Pool::capacity_for(self.message_len) as u64) {
                Message::Filling(room.buffer(self.message_len)?, held)
            } else {
                self.waiting.new.lock().push(self.stream);
                Message::Waiting(Vec::new())
            };
        Ok(())
    }

    fn within_limit(&self, len: u64) -> Result<usize, RefusedRequest> {
        let limit_bytes = self.handler.limits().bytes;
        let len = usize::try_from(len).ok().filter(|len| *len as u64 <= limit_bytes);
        len.ok_or(RefusedRequest::TooLarge { limit_bytes })
    }

    /// The message becomes longer than what there is room for.
    fn outgrow(&mut self, needed: usize) -> Result<(), RefusedRequest> {
        if !self.framing.is_open() {
            return Err(frame::broken("the request has more than one message"));
        }
        let needed = self.within_limit(needed as u64)?;
        let limit = usize::try_from(self.handler.limits().bytes).unwrap_or(usize::MAX);
        self.message_len = self.message_len.saturating_mul(2).min(limit).max(needed);
        let Message::Filling(buffer, held) = &mut self.message else { return Ok(()) };
        let capacity = Pool::capacity_for(self.message_len) as u64;
        let room = self.handler.room(&self.share);
        // For both buffers, until one is copied into the other.
        if !room.try_grow(held, capacity) {
            return Err(room.busy());
        }
        let mut next = room.buffer(self.message_len)?;
        next.extend_from_slice(buffer);
        *buffer = next;
        held.shrink_to(capacity);
        Ok(())
    }

    fn try_append(&mut self, bytes: &[u8]) -> Result<Appended, RefusedRequest> {
        let stored = match &self.message {
            Message::Unbegun | Message::Whole(..) => return Ok(Appended::Stored),
            Message::Filling(buffer, _) => buffer.len(),
            Message::Waiting(stash) => stash.len(),
        };
        if self.message_len - stored < bytes.len() {
            self.outgrow(stored + bytes.len())?;
        }
        match &mut self.message {
            Message::Unbegun | Message::Whole(..) => {}
            Message::Filling(buffer, _) => buffer.extend_from_slice(bytes),
            Message::Waiting(stash) => {
                let waiting = &self.waiting.bytes;
                let before = waiting.load(Ordering::Relaxed);
                // One piece is always taken, or none would ever be.
                if before != 0 && WAITING_BYTES_MAX < before + bytes.len() {
                    return Ok(Appended::Wait);
                }
                waiting.fetch_add(bytes.len(), Ordering::Relaxed);
                stash.extend_from_slice(bytes);
            }
        }
        Ok(Appended::Stored)
    }
}

impl Body for RequestBuffer {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        let (before, is_unbegun) = (self.framing, matches!(self.message, Message::Unbegun));
        let rest = if is_unbegun { self.take_front(bytes) } else { Ok(bytes) };
        let result = rest.and_then(|rest| match rest {
            [] => Ok(Appended::Stored),
            rest => self.try_append(rest),
        });
        match result {
            Ok(Appended::Wait) if is_unbegun => {
                // All bytes or none: they come again, with what is in front of the message.
                (self.framing, self.message) = (before, Message::Unbegun);
                Appended::Wait
            }
            Ok(appended) => appended,
            Err(refused) => {
                self.refused = Some(refused);
                Appended::Refused
            }
        }
    }

    /// One that waits for room may send no more than the window that its stream began with; one that has room
    /// may send all of it.
    fn window_bytes(&self, usual: u32) -> u32 {
        match &self.message {
            Message::Unbegun | Message::Whole(..) => usual,
            Message::Filling(buffer, _) => {
                u32::try_from(self.message_len - buffer.len()).unwrap_or(usual).max(usual)
            }
            Message::Waiting(_) => 0,
        }
    }

    fn progress_bytes(&self, _usual: u64) -> u64 {
        body::progress_bytes(self.message_len) as u64
    }
}

impl Drop for RequestBuffer {
    fn drop(&mut self) {
        if let Message::Waiting(stash) = &self.message {
            self.waiting.give_back(stash.len());
        }
    }
}
