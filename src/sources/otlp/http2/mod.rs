//! The gRPC listener's own HTTP/2: a connection of `gophership-http2`, which knows no socket and no clock,
//! between a stream and the handler of requests.
//!
//! ```text
//!  stream --> connection.rs --> Connection (crates/http2) --> request_buffer.rs   a body, with room taken for it
//!                 ^                                     `---> exchange.rs         a request up to its answer
//!                 `------------ answer.rs <------------------------'
//! ```
//!
//! hyper does the same for the HTTP listener, and here if the option `connection.http2` says so.

mod answer;
mod buffers;
mod connection;
mod exchange;
mod head;
mod request_buffer;
mod room;

pub(super) use self::connection::Http2Connection;
pub(super) use self::connection::Http2Terms;
