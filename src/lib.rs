//! GopherShip, a shock absorber for telemetry.
//!
//! It takes OTLP at wire speed, sends it through a pipeline of transforms to its sinks, and when
//! that cannot keep up puts the raw bytes into a write-ahead log, the Raw Vault, from where they are
//! replayed when the pressure is gone. `ARCHITECTURE.md` has the map; the layers below import
//! downwards only.

pub mod app;
pub mod background;
pub mod component;
pub mod config;
pub mod control;
pub mod delivery;
pub mod event;
pub mod flow;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod net;
pub mod pool;
pub mod somatic;
pub mod tls;
pub mod topology;

mod der;
mod recent;
mod sinks;
mod sources;
mod stripes;
mod transforms;
mod tree;

/// What fuzzing enters by.
#[cfg(any(test, fuzzing))]
pub use sources::Door;
