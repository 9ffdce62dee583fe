//! What a connection and its caller tell each other: requests, bodies and answers.

use std::fmt;
use std::sync::Arc;

use crate::head::RequestHead;
use crate::hpack::HeaderBlock;

/// The number of a stream, and so of a request: unique on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where the body of one request is stored: a buffer of the caller.
pub trait Body {
    /// Takes the next bytes, all of them or none.
    fn append(&mut self, bytes: &[u8]) -> Appended;

    /// How many bytes the peer may send before the window of the stream is opened again; `usual` is
    /// [`Windows::stream_bytes`](crate::Windows). A body that knows its length asks for all of it at once. One that
    /// returns 0 has no memory for more than the peer may send already, and calls
    /// [`Connection::open_window`](crate::Connection::open_window) when it has.
    fn window_bytes(&self, usual: u32) -> u32 {
        usual
    }

    /// What must come of the request within [`Timeouts::request_progress`](crate::Timeouts); `usual` is
    /// [`Timeouts::request_progress_bytes`](crate::Timeouts).
    fn progress_bytes(&self, usual: u64) -> u64 {
        usual
    }
}

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are stored.
    Stored,
    /// There is no memory for them now. The connection stops at them: [`Connection::receive`] returns, and is
    /// to be called again with the rest of the bytes when there is memory.
    ///
    /// [`Connection::receive`]: crate::Connection::receive
    Wait,
    /// The request is refused, for example because it is too large. Its body is not stored any more, and the
    /// caller is given the request at once, to be answered.
    Refused,
}

/// Gives a buffer to each request that has a body.
pub trait BodySource {
    /// The buffers.
    type Body: Body;

    /// Returns a buffer for a request whose first bytes have come. They are appended to it next.
    fn body(&mut self, incoming: &Incoming<'_>) -> Admit<Self::Body>;
}

/// A request whose body begins.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'r> {
    /// Its number.
    pub stream: StreamId,
    /// Its head.
    pub head: &'r Arc<RequestHead>,
    /// The first bytes of the body, at least one; how many depends on the network.
    pub first: &'r [u8],
    /// Whether these are all.
    pub is_whole: bool,
}

/// Whether the body of a request is stored.
#[derive(Debug)]
pub enum Admit<B> {
    /// In this buffer.
    Store(B),
    /// There is no memory now; as [`Appended::Wait`].
    Wait,
    /// The request is refused; as [`Appended::Refused`].
    Refuse,
}

/// Something for the caller to do.
#[derive(Debug)]
pub enum Event<B> {
    /// A request, to be answered with [`Connection::respond`](crate::Connection::respond).
    Request(Request<B>),
    /// The client has given up a request that the caller has: nobody will see an answer.
    Cancelled(StreamId),
    /// The time for the next piece of an incomplete request is over, see
    /// [`Timeouts::request_progress`](crate::Timeouts). Given once; the request goes on unless it is answered.
    Stalled(StreamId),
    /// An incomplete request is older than [`Timeouts::request_age`](crate::Timeouts). Given once; the request
    /// goes on unless it is answered.
    Late(StreamId),
    /// There was no request for long.
    Idle,
}

/// A request that is complete, or refused.
#[derive(Debug)]
pub struct Request<B> {
    /// Its number.
    pub stream: StreamId,
    /// Its head.
    pub head: Arc<RequestHead>,
    /// Its body.
    pub body: RequestBody<B>,
}

/// The body of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestBody<B> {
    /// It has no byte.
    Empty,
    /// All of it.
    Whole(B),
    /// The caller has refused it, and gets its buffer back, if it had one.
    Refused(Option<B>),
}

/// An answer. It is copied, so it may live shorter than the connection needs to send it.
#[derive(Clone, Copy, Debug)]
pub struct Response<'r> {
    /// The status and the fields.
    pub head: &'r HeaderBlock,
    /// The body; none if it is empty.
    pub body: &'r [u8],
    /// Fields behind the body.
    pub trailers: Option<&'r HeaderBlock>,
}

/// There is nobody to answer any more: the client has given the request up, the stream or the connection is
/// closed, or the request is answered already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamGone;

/// How far [`Connection::receive`](crate::Connection::receive) came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was not taken is to be passed again"]
pub struct Received {
    /// So many bytes were taken: all of them, unless a request waits for memory.
    pub bytes: usize,
    /// The request that waits.
    pub waits: Option<StreamId>,
}
