//! Sensing and deciding.
//!
//! ```text
//!   sensors --> Readings --> Controller (pure) --> Somatic publishes the Zone --> whoever follows
//!                               ^     |
//!             operator's Lease -+     +--> Transition with its cause --> log, metrics, recorder
//! ```
//!
//! Nothing here knows what a pipeline is: a reading is a number at a place, a zone is one of three.

mod brake;
mod controller;
mod duty;
mod governor;
mod lease;
mod marks;
mod reading;
mod recorder;
mod sensor;
#[cfg(test)]
mod tests;
mod trouble;
mod vitals;
mod watch;
mod watchdog;
mod zone;

pub use brake::Brake;
pub use controller::{Cause, Controller, Transition};
pub use duty::{Counted, Duties, Duty, OnDuty, Part, Tally, Task, Work};
pub use governor::{Governor, Weights};
pub use lease::Lease;
pub use marks::{Marks, Policy};
pub use reading::{Place, Pressure, Readings, Sense, Sensor};
pub use recorder::Recorder;
pub use sensor::{
    DiskSensor, FakeSensor, LagSensor, MemoryBudget, MemorySensor, Roots, Sensors, StallSensor,
    used_disk_permille,
};
pub use trouble::{Outage, Trouble, Troubles};
pub use vitals::{Vital, Vitals};
pub use watch::{OverrideCommand, Somatic, ZoneReport, ZoneWatch};
pub use watchdog::{News, Stall, Watchdog};
pub use zone::Zone;
