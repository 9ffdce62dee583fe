//! How batches move: bounded [`edge`]s, the [`RouteTable`] in force, and the [`Acceptor`] in which a
//! source waits for what it may promise its client.
//!
//! Only route tables, and the topology that makes them, own the sending half of an edge. An edge
//! closes when the last of them is dropped; drain, reload and reroute need no more than that.
//!
//! What is decided for every request stands in `reflex.rs`; read that first.

pub mod accept;
mod debt;
pub mod edge;
mod output;
mod pulse;
mod rate_limit;
mod reflex;
mod refusal;
mod table;
mod tap;
mod tapped;
#[cfg(test)]
mod tests;

pub use accept::{Acceptor, AckLevel};
pub use edge::{EdgeLimits, EdgeReceiver, EdgeSender};
pub use output::{Output, Routes, TopologyView};
pub use pulse::Pulse;
pub use rate_limit::{RateLimit, worth};
pub use reflex::{Reflex, Switch};
pub use refusal::Refusal;
pub use table::{Destination, Full, Intake, Pivot, Placement, Route, RouteTable};
pub use tap::{Sample, TAP_BYTES_MAX, Tap, Taps};
pub use tapped::TappedIntake;
