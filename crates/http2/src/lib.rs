//! An HTTP/2 server for unary requests: OTLP over gRPC, and over HTTP.
//!
//! [`Connection`] is the server's side of one connection. It reads no socket, knows no clock and runs no task:
//! bytes go in, requests and bytes come out, and times are passed in. So the same input always has the same
//! result, which is what makes it testable, and the caller decides where memory comes from and when it waits.
//!
//! ```text
//!   socket --read--> receive(bytes) ---> next_event() --> a request, with the caller's buffer
//!                       |    ^
//!                       |    +-- BodySource: a buffer for each body, or "wait", or "refuse"
//!                       v
//!   socket <-write-- output() <--------- respond(stream, answer), at any time, in any order
//!   timer  <-------- next_deadline()
//!          --------> on_time(now)
//! ```
//!
//! It is made for senders that repeat themselves, and is fast because of what it does not do:
//!
//! * Frames are read where they are. DATA goes from the read buffer straight into the buffer of the request;
//!   nothing else is copied, but a frame head or a control frame that the end of a read cuts in two.
//! * Header blocks are read once: an equal block that comes while the dynamic table has not changed means the
//!   same, and its request shares the [`RequestHead`].
//! * Answers are constant bytes: their blocks refer to the static table only ([`HeaderBlock`]). The answers to
//!   all requests of one read lie in one output.
//! * The window of the connection is opened once a MiB, and most requests fit the window of their stream.
//! * A request costs no timer: see [`Connection::next_deadline`].
//!
//! # Use
//!
//! ```
//! use std::time::Instant;
//!
//! use gophership_http2::{Admit, Appended, Body, BodySource, Connection, Event, HeaderBlock, Incoming};
//! use gophership_http2::{Limits, RequestBody, Response, Timeouts, Windows};
//!
//! /// A body in memory, of 1 MiB at most.
//! struct Buffer(Vec<u8>);
//!
//! impl Body for Buffer {
//!     fn append(&mut self, bytes: &[u8]) -> Appended {
//!         if (1 << 20) < self.0.len() + bytes.len() {
//!             return Appended::Refused;
//!         }
//!         self.0.extend_from_slice(bytes);
//!         Appended::Stored
//!     }
//! }
//!
//! /// Where buffers come from; a real one takes room from a budget first.
//! struct Memory;
//!
//! impl BodySource for Memory {
//!     type Body = Buffer;
//!
//!     fn body(&mut self, incoming: &Incoming<'_>) -> Admit<Buffer> {
//!         match incoming.head.path() {
//!             "/v1/logs" => Admit::Store(Buffer(Vec::with_capacity(incoming.first.len()))),
//!             _ => Admit::Refuse,
//!         }
//!     }
//! }
//!
//! /// Takes what a read has brought, and returns what is to be written.
//! fn serve(connection: &mut Connection<Buffer>, read: &[u8]) -> Vec<u8> {
//!     let received = connection.receive(read, &mut Memory, Instant::now());
//!     assert_eq!(received.bytes, read.len(), "this memory never says that a request waits");
//!     while let Some(event) = connection.next_event() {
//!         let Event::Request(request) = event else { continue };
//!         let status = match request.body {
//!             RequestBody::Whole(Buffer(_bytes)) => 200,
//!             RequestBody::Empty => 400,
//!             RequestBody::Refused(None) => 404,
//!             RequestBody::Refused(Some(_)) => 413,
//!         };
//!         let head = HeaderBlock::of_status(status);
//!         let response = Response { head: &head, body: &[], trailers: None };
//!         // The client may have gone in the meantime.
//!         let _ = connection.respond(request.stream, &response);
//!     }
//!     std::mem::take(connection.output())
//! }
//!
//! let (limits, timeouts) = (Limits::default(), Timeouts::default());
//! let mut connection = Connection::new(limits, timeouts, Windows::default(), Instant::now());
//! let written = serve(&mut connection, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
//! assert!(written.ends_with(&[0, 0, 0, 4, 1, 0, 0, 0, 0]), "the settings are acknowledged");
//! ```
//!
//! `examples/serve.rs` is a whole server with tokio.
//!
//! # Memory
//!
//! A connection that is idle holds no buffer of the caller, and some hundred bytes of its own beside the dynamic
//! table of HPACK, the last heads and the numbers of closed streams: 32 KiB at most with the default limits.
//! A busy one holds besides: a header block that is not complete ([`Limits::header_block_bytes`]), a
//! record for each open stream, and answers that the peer does not take ([`Limits::queued_answer_bytes`],
//! [`Limits::output_bytes`]).
//!
//! Bodies are in buffers of the caller. If it has none, `receive` stops in front of the bytes, and the caller stops
//! reading; the system then holds the sender back. A caller that wants other streams to go on meanwhile gives
//! small buffers from a reserve of [`Windows::stream_bytes`] for each stream, and makes that small with
//! [`Connection::set_windows`] when memory is short.
//!
//! # Trust
//!
//! Everything that a peer can send is bounded by [`Limits`] and [`Timeouts`] and counted in [`Counters`]. HPACK is our own
//! ([`hpack`]), because the crates that there are (`fluke-hpack`, `loona-hpack` and their parent `hpack`,
//! `httlib-hpack`) have had no release for years, allocate names and values for each field, and have no limit for
//! what a few bytes decode to; the one of `h2` is private.

pub mod hpack;

mod clock;
mod connection;
mod error;
mod exchange;
mod frame;
mod head;
mod head_reader;
mod limits;
mod parser;
mod receive_windows;
mod streams;

pub use connection::Connection;
pub use error::ConnectionError;
pub use error::ErrorCode;
pub use error::Limit;
pub use exchange::Admit;
pub use exchange::Appended;
pub use exchange::Body;
pub use exchange::BodySource;
pub use exchange::Event;
pub use exchange::Incoming;
pub use exchange::Received;
pub use exchange::Request;
pub use exchange::RequestBody;
pub use exchange::Response;
pub use exchange::StreamGone;
pub use exchange::StreamId;
pub use head::RequestHead;
pub use hpack::HeaderBlock;
pub use hpack::InvalidField;
pub use limits::Counters;
pub use limits::Limits;
pub use limits::Rate;
pub use limits::Timeouts;
pub use limits::Windows;
