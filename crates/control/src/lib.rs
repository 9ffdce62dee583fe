//! How `gs-ctl` and the vault tools talk to a running GopherShip: the protocol, and a client.
//!
//! The service itself is a part of the server. `proto/control.proto` is the source; the code made of it is
//! committed, and a test compares them.

mod client;
mod degraded;
pub mod filter;
pub mod json;
mod remote;
#[rustfmt::skip]
#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
pub mod proto;

/// The protocol in the form that reflection serves: the `FileDescriptorSet` of `control.proto`.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

pub use client::Client;
pub use client::ClientError;
pub use degraded::Degraded;
pub use degraded::degraded;
pub use remote::Remote;
pub use remote::RemoteError;
/// An answer that comes in parts.
pub use tonic::Streaming;
