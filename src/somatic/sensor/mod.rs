//! The senses for what is around the process: memory, stalls, lag, disks.
//!
//! ```text
//! memory   how much is left to the process, its cgroup, the host
//! stall    how long somebody waited for a processor, memory, a disk
//! lag      how late tasks of the runtime run
//! disk     how full file systems are
//! ```
//!
//! Every sensor is a [`Sensor`]: it keeps its files open, reads them into a buffer on the stack and
//! allocates nothing after its first look. What is missing, unreadable or garbage is no number; a
//! number that was cut off is garbage. A clock that goes backward begins a new measurement.
//!
//! Where the kernel shows its files is a parameter ([`Roots`]), so tests show it a tree of their own.

mod cgroup;
mod disk;
mod file;
mod lag;
mod memory;
mod roots;
mod stall;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;

pub use self::disk::{DiskSensor, used_disk_permille};
pub use self::lag::LagSensor;
pub use self::memory::{MemoryBudget, MemorySensor, memory_limit_bytes};
pub use self::roots::Roots;
pub use self::stall::StallSensor;
use super::kind::PressureKind;
use super::reading::Place;
use super::reading::Readings;
use super::reading::Sensor;

/// Sensors that are read together.
#[derive(Default)]
pub struct Sensors(Vec<Box<dyn Sensor>>);

impl Sensors {
    /// Adds one; it is read after those that are there.
    pub fn add(&mut self, sensor: impl Sensor + 'static) {
        self.0.push(Box::new(sensor));
    }

    /// Replaces what was read before by what all of them sense now.
    pub fn read_all(&mut self, now: Instant, readings: &mut Readings) {
        readings.clear();
        for sensor in &mut self.0 {
            sensor.read(now, readings);
        }
    }
}

impl fmt::Debug for Sensors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} sensors", self.0.len())
    }
}

/// A sensor for tests and drills: it senses what it is told. Clones are one sensor.
#[derive(Clone, Debug, Default)]
pub struct FakeSensor(Arc<Mutex<Vec<(PressureKind, Place, f64)>>>);

impl FakeSensor {
    /// Senses this share of the whole from now on; 1.0 is all of it.
    pub fn set(&self, kind: PressureKind, place: &str, share: f64) {
        let mut numbers = self.numbers();
        numbers.retain(|(other, at, _)| (*other, &**at) != (kind, place));
        numbers.push((kind, Place::from(place), share));
    }

    /// Senses nothing from now on.
    pub fn clear(&self) {
        self.numbers().clear();
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<(PressureKind, Place, f64)>> {
        // The numbers are consistent after every statement.
        self.0.lock()
    }
}

impl Sensor for FakeSensor {
    fn read(&mut self, _now: Instant, readings: &mut Readings) {
        for (kind, place, share) in self.numbers().iter() {
            readings.push_share(*kind, place, *share, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A tree of files that looks like the kernel's: `proc/..` and `cgroup/..`.
    pub(super) struct Tree(tempfile::TempDir);

    impl Tree {
        pub(super) fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for (path, content) in files {
                tree.write(path, content);
            }
            tree
        }

        /// Writes into the file that is there, as the kernel does: who has it open sees it.
        pub(super) fn write(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        pub(super) fn roots(&self) -> Roots {
            Roots { proc: self.0.path().join("proc"), cgroup: self.0.path().join("cgroup") }
        }
    }

    /// All sensors of a machine.
    fn sensors(roots: &Roots) -> Sensors {
        let mut sensors = Sensors::default();
        sensors.add(MemorySensor::new(roots, MemoryBudget::new(Some(1 << 30))));
        sensors.add(StallSensor::new(roots.clone()));
        sensors.add(LagSensor::new(CancellationToken::new(), Arc::default()).0);
        sensors.add(DiskSensor::new([(Place::from("vault"), roots.proc.join("missing"))]));
        sensors
    }

    fn lines(readings: &Readings) -> Vec<String> {
        readings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fake_senses_what_it_is_told_and_no_number_is_no_reading() {
        let (fake, mut sensors) = (FakeSensor::default(), Sensors::default());
        let (mut readings, now) = (Readings::default(), Instant::now());
        sensors.add(fake.clone());
        fake.set(PressureKind::Lag, "runtime", 0.5);
        fake.set(PressureKind::Disk, "vault", f64::NAN);
        sensors.read_all(now, &mut readings);
        sensors.read_all(now, &mut readings);
        assert_eq!(lines(&readings), ["tasks of the runtime are late by 50.0% of 100 ms"]);
        fake.set(PressureKind::Lag, "runtime", f64::INFINITY);
        fake.set(PressureKind::Disk, "vault", 1.25);
        sensors.read_all(now, &mut readings);
        assert_eq!(lines(&readings), ["the disk of vault is 125.0% full"]);
        fake.clear();
        sensors.read_all(now, &mut readings);
        assert!(lines(&readings).is_empty());
    }

    #[test]
    fn where_nothing_can_be_sensed_the_others_are_still_heard() {
        let (fake, mut readings) = (FakeSensor::default(), Readings::default());
        let mut sensors = sensors(&Tree::new(&[]).roots());
        sensors.add(fake.clone());
        fake.set(PressureKind::Edge, "sink", 0.7);
        let start = Instant::now() + Duration::from_mins(1);
        for second in [0, 1, 2, 1, 0, 3] {
            sensors.read_all(start + Duration::from_secs(second), &mut readings);
            assert_eq!(lines(&readings), ["the edge of sink is 70.0% full"]);
        }
    }

    #[test]
    fn on_this_machine_a_clock_that_goes_backward_does_no_harm() {
        let (mut sensors, mut readings) = (sensors(&Roots::default()), Readings::default());
        let start = Instant::now() + Duration::from_hours(1);
        for millis in [2000, 0, 2500, 1000, 1000, 1001, 50, 900, 60_000, 0] {
            sensors.read_all(start + Duration::from_millis(millis), &mut readings);
            for at in readings.iter().filter(|at| at.kind != PressureKind::Host) {
                assert!(at.permille <= 1000, "{at}");
            }
            let host = readings.iter().find(|at| &*at.place == "host").unwrap();
            assert_eq!(host.kind, PressureKind::Host);
        }
    }
}
