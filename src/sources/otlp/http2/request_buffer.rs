//! The message of one request while it comes in: room is taken for all of it as soon as its length is known,
//! and then the connection copies it from its read buffer to where it stays.
//!
//! ```text
//!             length known          room at once
//!  Prefix ---------------------------------------> Filling   a pooled buffer, and the room that it holds
//!                |                                    ^
//!                |  no room now                       |  room, in the order in which it was asked for
//!                `------------> Waiting --------------'
//!                               at most the windows of streams, 256 KiB a connection in all
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use gophership_http2::Appended;
use gophership_http2::Body;
use gophership_http2::StreamId;
use parking_lot::Mutex;

use super::head::Meaning;
use crate::net::ActiveRequest;
use crate::pool::Pool;
use crate::pool::PooledBuffer;
use crate::sources::otlp::admission::ConnectionAdmission;
use crate::sources::otlp::admission::ConnectionShare;
use crate::sources::otlp::admission::Permit;
use crate::sources::otlp::admission::Received;
use crate::sources::otlp::answer::RefusedRequest;
use crate::sources::otlp::body;
use crate::sources::otlp::filling::SHARED_BYTES_MIN;
use crate::sources::otlp::frame;
use crate::sources::otlp::frame::HEAD_BYTES;
use crate::sources::otlp::inflate::RequestEncoding;
use crate::sources::otlp::inflate::inflate;
use crate::sources::otlp::ingest_handler::IngestHandler;
use crate::sources::otlp::limits::RequestLimits;

/// What the requests of one connection may hold together while they wait for room: they are not counted.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// The requests of one connection that wait for room.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    /// Those for which nobody has asked for room yet.
    new: Mutex<Vec<StreamId>>,
}

/// The message of one request.
pub(super) struct RequestBuffer {
    handler: Arc<IngestHandler>,
    share: Arc<ConnectionShare>,
    waiting: Arc<Waiting>,
    stream: StreamId,
    meaning: Arc<Meaning>,
    prefix: [u8; HEAD_BYTES],
    prefix_len: usize,
    message_len: usize,
    message: Message,
    /// Why the rest of it is not stored.
    refused: Option<RefusedRequest>,
    /// The connection is not idle as long as this is there.
    active: Option<ActiveRequest>,
}

enum Message {
    /// Its length is not known.
    Prefix,
    /// It came in one piece.
    Whole(Bytes, Permit),
    Filling(PooledBuffer, Permit),
    Waiting(Vec<u8>),
}

impl Waiting {
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
        waiting: Arc<Waiting>,
        stream: StreamId,
        meaning: Arc<Meaning>,
        active: ActiveRequest,
    ) -> Self {
        Self {
            handler,
            share,
            waiting,
            stream,
            meaning,
            prefix: [0; HEAD_BYTES],
            prefix_len: 0,
            message_len: 0,
            message: Message::Prefix,
            refused: None,
            active: Some(active),
        }
    }

    /// Takes a request that has come in one piece, if there is room for it at once.
    pub(super) fn take_whole(&mut self, piece: &[u8]) -> bool {
        let Some((prefix, message)) = piece.split_first_chunk::<HEAD_BYTES>() else { return false };
        let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if message.len() != len || self.handler.limits().bytes < len as u64 {
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
        (self.prefix, self.prefix_len, self.message_len) = (*prefix, HEAD_BYTES, len);
        self.message = Message::Whole(wire, held);
        true
    }

    /// The bytes to take room for, if the request waits for that.
    pub(super) fn wants(&self) -> Option<u64> {
        let is_waiting = matches!(self.message, Message::Waiting(_));
        is_waiting.then(|| Pool::capacity_for(self.message_len) as u64)
    }

    /// Goes on with room for the whole message.
    pub(super) fn give(&mut self, held: Permit) -> Result<(), RefusedRequest> {
        let mut buffer = self.handler.room(&self.share).buffer(self.message_len)?;
        if let Message::Waiting(stash) = &self.message {
            buffer.extend_from_slice(stash);
            self.waiting.give_back(stash.len());
        }
        self.message = Message::Filling(buffer, held);
        Ok(())
    }

    /// What the head of the request means.
    pub(super) fn meaning(&self) -> Arc<Meaning> {
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

    /// Returns the message, decompressed, when all bytes have come.
    pub(super) async fn finish(
        mut self,
        compression: RequestEncoding,
        room: ConnectionAdmission<'_>,
        limits: &RequestLimits,
    ) -> Result<Received, RefusedRequest> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        let compression = frame::encoding(self.prefix[0], compression)?;
        let received = match std::mem::replace(&mut self.message, Message::Prefix) {
            Message::Prefix => return Err(frame::broken("the message is incomplete")),
            Message::Whole(wire, held) => Received { wire, held, partial: None },
            Message::Filling(buffer, held) => {
                if buffer.len() < self.message_len {
                    return Err(frame::broken("the message is incomplete"));
                }
                Received { wire: buffer.freeze(), held, partial: None }
            }
            Message::Waiting(stash) => {
                let len = stash.len();
                self.message = Message::Waiting(stash);
                if len < self.message_len {
                    return Err(frame::broken("the message is incomplete"));
                }
                let held = room.take(self.message_len as u64).await?;
                let Message::Waiting(stash) = std::mem::replace(&mut self.message, Message::Prefix)
                else {
                    return Err(frame::broken("the message is incomplete"));
                };
                self.waiting.give_back(len);
                Received { wire: stash.into(), held, partial: None }
            }
        };
        match compression {
            RequestEncoding::None => Ok(received),
            compression => inflate(received, compression, room, limits).await,
        }
    }

    /// Reads as much of the prefix as has come, and returns the rest.
    fn take_prefix<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], RefusedRequest> {
        let (part, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.prefix_len));
        self.prefix[self.prefix_len..][..part.len()].copy_from_slice(part);
        self.prefix_len += part.len();
        if self.prefix_len == HEAD_BYTES {
            let [_flag, len @ ..] = self.prefix;
            self.begin(u32::from_be_bytes(len))?;
        }
        Ok(rest)
    }

    /// The length of the message is known.
    fn begin(&mut self, len: u32) -> Result<(), RefusedRequest> {
        let limit_bytes = self.handler.limits().bytes;
        if limit_bytes < u64::from(len) {
            return Err(RefusedRequest::TooLarge { limit_bytes });
        }
        self.message_len = len as usize;
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

    fn try_append(&mut self, bytes: &[u8]) -> Result<Appended, RefusedRequest> {
        let too_much = || frame::broken("the request has more than one message");
        match &mut self.message {
            Message::Prefix | Message::Whole(..) => Ok(Appended::Stored),
            Message::Filling(buffer, _) if self.message_len - buffer.len() < bytes.len() => {
                Err(too_much())
            }
            Message::Filling(buffer, _) => {
                buffer.extend_from_slice(bytes);
                Ok(Appended::Stored)
            }
            Message::Waiting(stash) if self.message_len - stash.len() < bytes.len() => {
                Err(too_much())
            }
            Message::Waiting(stash) => {
                let waiting = &self.waiting.bytes;
                let before = waiting.load(Ordering::Relaxed);
                // One piece is always taken, or none would ever be.
                if before != 0 && WAITING_BYTES_MAX < before + bytes.len() {
                    return Ok(Appended::Wait);
                }
                waiting.fetch_add(bytes.len(), Ordering::Relaxed);
                stash.extend_from_slice(bytes);
                Ok(Appended::Stored)
            }
        }
    }
}

impl Body for RequestBuffer {
    fn append(&mut self, bytes: &[u8]) -> Appended {
        let (before, mut rest) = ((self.prefix, self.prefix_len), bytes);
        let mut result = Ok(Appended::Stored);
        if self.prefix_len < HEAD_BYTES {
            match self.take_prefix(bytes) {
                Ok(behind) => rest = behind,
                Err(refused) => result = Err(refused),
            }
        }
        if result.is_ok() && !rest.is_empty() {
            result = self.try_append(rest);
        }
        match result {
            Ok(Appended::Wait) if before.1 < HEAD_BYTES => {
                // All bytes or none: they come again, with the prefix.
                (self.prefix, self.prefix_len) = before;
                self.message = Message::Prefix;
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
            Message::Prefix | Message::Whole(..) => usual,
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
