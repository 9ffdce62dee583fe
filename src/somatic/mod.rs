//! Sensing and deciding.
//!
//! ```text
//!   sensors --> Readings --> Controller (pure) --> Somatic publishes the Zone --> whoever follows
//!                               ^     |
//!             operator's hold -+     +--> Transition with its cause --> log, metrics, recorder
//! ```
//!
//! Nothing here knows what a pipeline is: a reading is a number at a place, a zone is one of three.

mod brake;
mod controller;
mod gauges;
mod governor;
mod kind;
mod marks;
mod policy;
mod reading;
mod recorder;
mod rest;
mod sensor;
#[cfg(test)]
mod tests;
mod trouble;
mod watch;
mod watchdog;
mod work;
mod zone;
mod zone_hold;

pub use brake::Brake;
pub use controller::{Cause, Controller, Transition};
pub use gauges::{Gauges, PressureGauge};
pub use governor::{Governor, Weights};
pub use kind::PressureKind;
pub use marks::Marks;
pub use policy::Policy;
pub use reading::{Place, Pressure, Readings, Sensor};
pub use recorder::Recorder;
pub use rest::{Calm, Rest};
pub use sensor::*;
pub use trouble::{BackendOutage, Trouble, Troubles};
pub use watch::{OverrideCommand, Somatic, ZoneReport, ZoneWatch};
pub use watchdog::{News, Stall, Watchdog};
pub use work::{
    Task, WatchedWorkCounter, Work, WorkCounter, WorkKind, WorkProbe, WorkProbes, WorkSample,
};
pub use zone::Zone;
pub use zone_hold::ZoneHold;
