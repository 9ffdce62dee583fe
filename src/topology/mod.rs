//! The data-plane runtime: a checked [`Graph`] becomes [`BuiltComponents`], and pieces become a
//! [`RunningTopology`].
//!
//! It names no concrete component. A first start is a reload from the empty configuration.

mod builder;
mod flight;
mod graph;
mod passing;
mod places;
mod processing;
mod reload;
mod routes;
mod run;
mod running;
mod supervisor;
mod tapping;
mod taps;
mod watch;
mod wiring;
mod zones;

pub use builder::{Blueprint, BuiltComponents, PieceError, SharedParts};
pub use flight::FlightDir;
pub use flight::FlightRecord;
pub use graph::Graph;
pub use reload::{ReloadError, ReloadReport};
pub use running::{ComponentOutcome, RunningTopology};
pub use tapping::Tapping;
pub use taps::{TAPS_MAX, TapPlace, TapRefusal};
pub use wiring::{EdgeReport, Wiring};
pub use zones::Zones;
