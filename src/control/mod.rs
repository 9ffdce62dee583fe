//! The management plane: a unix socket for `gs-ctl` and vault tools, and HTTP for metrics and health.
//!
//! It reads snapshots and gives commands; nothing in the data plane knows who asks.

mod clients;
mod scrape;
mod service;
mod socket;

pub use scrape::Scrape;
pub use service::ControlService;
pub use service::LeftVault;
pub use socket::ControlSocket;
