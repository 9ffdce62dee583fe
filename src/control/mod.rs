//! The management plane: a unix socket for `gs-ctl` and vault tools, and HTTP for metrics and health.
//!
//! It reads snapshots and gives commands; nothing in the data plane knows who asks.

mod client;
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
mod scrape;
mod service;
mod socket;

pub use client::Client;
pub use client::ClientError;
pub use scrape::Scrape;
pub use service::Plant;
pub use socket::ControlSocket;
