//! Everything that is sensed, beside what is read from the wiring.

use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::config::running::Stop;
use crate::pool::Memory;
use crate::somatic::DiskSensor;
use crate::somatic::LagSensor;
use crate::somatic::MemoryBudget;
use crate::somatic::MemorySensor;
use crate::somatic::Place;
use crate::somatic::Readings;
use crate::somatic::Roots;
use crate::somatic::Sense;
use crate::somatic::Sensor;
use crate::somatic::Sensors;
use crate::somatic::StallSensor;
use crate::somatic::Vitals;

/// Makes the sensors of this process; what probes the runtime runs until stopped.
#[must_use]
pub fn sensors(
    config: &Config,
    vitals: &Arc<Vitals>,
    memory: &Arc<Memory>,
    process: &MemoryBudget,
    stop: &Stop,
) -> Sensors {
    let roots = Roots::default();
    let (lag, probe) = LagSensor::new(stop.clone());
    tokio::spawn(probe);
    let mut sensors = Sensors::default();
    sensors.add(Shares::new(Arc::clone(memory)));
    sensors.add(MemorySensor::new(&roots, process.clone()));
    sensors.add(StallSensor::new(roots));
    sensors.add(lag);
    sensors.add(DiskSensor::new([(Place::from("data_dir"), config.data_dir.clone())]));
    sensors.add(vitals.sensor());
    sensors
}

/// How full those shares of the memory budget are that nobody fills on purpose.
struct Shares {
    memory: Arc<Memory>,
    places: Vec<Place>,
}

impl Shares {
    fn new(memory: Arc<Memory>) -> Self {
        let places = memory.pressing().map(|(name, _)| Place::from(name)).collect();
        Self { memory, places }
    }
}

impl Sensor for Shares {
    fn read(&mut self, _now: Instant, readings: &mut Readings) {
        for ((_, permille), place) in self.memory.pressing().zip(&self.places) {
            readings.push(Sense::Memory, place, permille);
        }
    }
}
