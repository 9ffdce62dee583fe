//! Sensing and deciding: the [`Zone`], the [`Controller`] that is a pure function of what it reads,
//! and the [`ZoneWatch`] in which the result is published.
//!
//! Nothing here knows what a pipeline is: a reading is a number, a zone is one of three.

mod controller;
mod reading;
mod watch;
mod zone;

pub use controller::{Controller, Reading, Transition, Watermarks};
pub use reading::{Place, Pressure, Readings, Sense, Sensor};
pub use watch::{OverrideCommand, Somatic, ZoneReport, ZoneWatch};
pub use zone::Zone;
