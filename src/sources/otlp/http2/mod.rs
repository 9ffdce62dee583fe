//! Our own HTTP/2, for both listeners: a connection of `gophership-http2`, which knows no socket and no clock,
//! between a stream and the handler of requests.
//!
//! ```text
//!  stream --> connection.rs --> Connection (crates/http2) --> request_buffer.rs   a body, with room taken for it
//!                 ^                                     |     framing.rs          what gRPC puts in front of it
//!                 |                                     `---> exchange.rs         a gRPC request up to its answer
//!                 |                                           http_exchange.rs    the same for OTLP/HTTP
//!                 `------------ answer.rs <------------------------'
//! ```
//!
//! hyper does the same if the option `connection.http2` says so, and serves HTTP/1 always.

mod answer;
mod buffers;
mod connection;
mod exchange;
mod framing;
mod head;
mod http_exchange;
mod request_buffer;
mod room;

pub(super) use self::connection::Http2Connection;
pub(super) use self::connection::Http2Terms;
