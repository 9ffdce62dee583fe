//! How batches move: bounded [`edge`]s, the [`RouteTable`] in force, and the [`Acceptor`] in which a
//! source waits for what it may promise its client.
//!
//! Only route tables, and the topology that makes them, own the sending half of an edge. An edge
//! closes when the last of them is dropped; drain, reload and reroute need no more than that.

pub mod accept;
pub mod edge;
mod output;
mod pulse;
#[cfg(test)]
mod tests;

pub use accept::{Acceptor, AckLevel, Refusal};
pub use edge::{EdgeLimits, EdgeReceiver, EdgeSender};
pub use output::{Full, Intake, Output, Pivot, Placement, Pressure, RouteTable, Routes, Target};
pub use pulse::Pulse;
