//! The connection from outside: a client that writes frames.
//!
//! | file | subject |
//! | --- | --- |
//! | `frames.rs` | the preface, frames and their places |
//! | `requests.rs` | heads, trailers, states of streams, answers |
//! | `flow.rs` | windows in both directions, and memory that is short |
//! | `limits.rs` | what a hostile peer can do |
//! | `time.rs` | deadlines and the end of a connection |
//! | `chunks.rs` | any input in any pieces |
//! | `differential.rs` | the same frames to hyper's server |
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something")]

mod chunks;
mod client;
mod differential;
mod flow;
mod frames;
mod limits;
mod requests;
mod time;
