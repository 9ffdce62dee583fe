//! Tests of the controller and what stands around it.

mod decisions;
mod properties;
mod records;

use std::time::Duration;
use std::time::Instant;

use super::Controller;
use super::Place;
use super::Policy;
use super::PressureKind;
use super::Readings;
use super::Transition;
use super::Zone;
use super::ZoneHold;

const DWELL: Duration = Duration::from_secs(5);

/// A controller and its clock.
struct Bench {
    controller: Controller,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::under(Policy { dwell: DWELL, ..Policy::default() })
    }

    fn under(policy: Policy) -> Self {
        Self { controller: Controller::new(policy), start: Instant::now() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn step(
        &mut self,
        millis: u64,
        numbers: &[(PressureKind, u32)],
        lease: Option<&ZoneHold>,
    ) -> Option<Transition> {
        let readings = readings(numbers);
        self.controller.step(self.at(millis), &readings, lease)
    }

    /// Steps and returns the zone in force.
    fn zone(&mut self, millis: u64, numbers: &[(PressureKind, u32)]) -> Zone {
        self.step(millis, numbers, None);
        self.controller.zone()
    }
}

fn readings(numbers: &[(PressureKind, u32)]) -> Readings {
    let (mut readings, place) = (Readings::default(), Place::from("here"));
    for (kind, permille) in numbers {
        readings.push(*kind, &place, *permille);
    }
    readings
}
