//! Tests of the controller and what stands around it.

mod decisions;
mod properties;
mod records;

use std::time::Duration;
use std::time::Instant;

use super::Controller;
use super::Lease;
use super::Place;
use super::Policy;
use super::Readings;
use super::Sense;
use super::Transition;
use super::Zone;

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
        numbers: &[(Sense, u32)],
        lease: Option<&Lease>,
    ) -> Option<Transition> {
        let readings = readings(numbers);
        self.controller.step(self.at(millis), &readings, lease)
    }

    /// Steps and returns the zone in force.
    fn zone(&mut self, millis: u64, numbers: &[(Sense, u32)]) -> Zone {
        self.step(millis, numbers, None);
        self.controller.zone()
    }
}

fn readings(numbers: &[(Sense, u32)]) -> Readings {
    let (mut readings, place) = (Readings::default(), Place::from("here"));
    for (sense, permille) in numbers {
        readings.push(*sense, &place, *permille);
    }
    readings
}
