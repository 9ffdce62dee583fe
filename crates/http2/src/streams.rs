//! The open streams of a connection, and those that were closed lately.
//!
//! ```text
//!  idle --HEADERS--> open --END_STREAM--> half-closed (remote) --answer--> closed
//!                     |                        |                             ^
//!                     +------ RST_STREAM, ours or the peer's; an answer -----+
//! ```
//!
//! Source: RFC 9113, section 5.1.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::head::RequestHead;

/// How many closed streams are remembered.
const CLOSED_LEN_MAX: usize = 256;
/// Room for more streams than this is given back when there is none.
const KEPT_LEN_MAX: usize = 16;

/// A stream that is open, or half-closed.
#[derive(Debug)]
pub(crate) struct Stream<B> {
    pub(crate) id: u32,
    pub(crate) head: Arc<RequestHead>,
    pub(crate) phase: RequestState,
    /// Whether the peer has ended its side.
    pub(crate) is_remote_closed: bool,
    pub(crate) body: Option<B>,
    /// What the body wants of the peer, since it was last asked.
    pub(crate) wants: Option<Wants>,
    /// Bytes of DATA without padding.
    pub(crate) received: u64,
    /// What the peer may send.
    pub(crate) receive_window: i64,
    /// What we may send.
    pub(crate) send_window: i64,
    pub(crate) answer: Option<QueuedAnswer>,
    pub(crate) opened: Instant,
    /// When the time for the next piece of the request began, and how much there was.
    pub(crate) progress: (Instant, u64),
    pub(crate) is_late: bool,
}

/// What a body wants of the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// How many bytes it may send.
    pub(crate) window_bytes: u32,
    /// How many must come in the time for that.
    pub(crate) progress_bytes: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestState {
    /// Its body is stored.
    Reading,
    /// The rest of its body is thrown away; the caller has the request.
    Discarding,
    /// The caller has the whole request.
    Taken,
}

/// The part of an answer that waits for a window.
#[derive(Debug)]
pub(crate) struct QueuedAnswer {
    pub(crate) body: Vec<u8>,
    pub(crate) sent: usize,
    pub(crate) trailers: Option<Vec<u8>>,
}

impl QueuedAnswer {
    /// What it counts.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.trailers.as_ref().map_or(0, Vec::len)
    }
}

/// How a stream was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// By us: what the peer has still sent is ignored.
    ByUs,
    /// By the peer, or by both.
    ByPeer,
}

/// The open streams.
#[derive(Debug)]
pub(crate) struct Streams<B> {
    /// Numbers of streams in ascending order, and where each is.
    index: Vec<(u32, u32)>,
    slots: Vec<Option<Stream<B>>>,
    free: Vec<u32>,
    closed: VecDeque<(u32, Closed)>,
}

impl<B> Streams<B> {
    pub(crate) const fn new() -> Self {
        Self { index: Vec::new(), slots: Vec::new(), free: Vec::new(), closed: VecDeque::new() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Stream<B>> {
        let slot = self.slot(id)?;
        self.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Stream<B>> {
        let slot = self.slot(id)?;
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Adds a stream, whose number is above all others.
    pub(crate) fn insert(&mut self, stream: Stream<B>) {
        debug_assert!(self.index.last().is_none_or(|(last, _)| *last < stream.id));
        let id = stream.id;
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(stream);
            slot
        } else {
            self.slots.push(Some(stream));
            u32::try_from(self.slots.len() - 1).expect("their number is limited")
        };
        self.index.push((id, slot));
    }

    /// Removes a stream, and remembers how it was closed.
    pub(crate) fn remove(&mut self, id: u32, closed: Closed) -> Option<Stream<B>> {
        let at = self.at(id)?;
        let (_, slot) = self.index.remove(at);
        let stream = self.slots[slot as usize].take();
        self.free.push(slot);
        if self.index.is_empty() && KEPT_LEN_MAX < self.slots.len() {
            *self = Self { closed: std::mem::take(&mut self.closed), ..Self::new() };
        }
        self.remember(id, closed);
        stream
    }

    /// Remembers a stream that was closed before it was opened.
    pub(crate) fn remember(&mut self, id: u32, closed: Closed) {
        if self.closed.len() == CLOSED_LEN_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((id, closed));
    }

    /// How a stream was closed, if that was lately.
    pub(crate) fn closed(&self, id: u32) -> Option<Closed> {
        let mut closed = self.closed.iter().rev();
        closed.find(|(closed, _)| *closed == id).map(|(_, closed)| *closed)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<B>> {
        self.slots.iter_mut().flatten()
    }

    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.slots.clear();
        self.free.clear();
    }

    fn at(&self, id: u32) -> Option<usize> {
        // Most often it is the newest.
        match self.index.last() {
            Some((last, _)) if *last == id => Some(self.index.len() - 1),
            _ => self.index.binary_search_by_key(&id, |(id, _)| *id).ok(),
        }
    }

    fn slot(&self, id: u32) -> Option<usize> {
        let (_, slot) = self.index[self.at(id)?];
        Some(slot as usize)
    }
}
