//! Everything that is sensed, beside what is read from the wiring.

use std::sync::Arc;
use std::time::Instant;

use crate::component::Stop;
use crate::config::Config;
use crate::pool::Memory;
use crate::somatic::DiskSensor;
use crate::somatic::Gauges;
use crate::somatic::LagSensor;
use crate::somatic::MemoryBudget;
use crate::somatic::MemorySensor;
use crate::somatic::Place;
use crate::somatic::PressureKind;
use crate::somatic::Readings;
use crate::somatic::Roots;
use crate::somatic::Sensor;
use crate::somatic::Sensors;
use crate::somatic::StallSensor;

/// Makes the sensors of this process; what probes the runtime runs until stopped.
#[must_use]
pub fn sensors(
    config: &Config,
    gauges: &Arc<Gauges>,
    memory: &Arc<Memory>,
    process: &MemoryBudget,
    stop: &Stop,
) -> Sensors {
    let roots = Roots::default();
    let (lag, probe) = LagSensor::new(stop.clone(), Arc::clone(&gauges.rest));
    tokio::spawn(probe);
    let mut sensors = Sensors::default();
    sensors.add(Shares::new(Arc::clone(memory)));
    sensors.add(SystemMemory::new(&roots, process, memory));
    sensors.add(StallSensor::new(roots));
    sensors.add(lag);
    sensors.add(DiskSensor::new([(Place::from("data_dir"), config.data_dir.clone())]));
    sensors.add(gauges.sensor());
    sensors
}

/// From this share on the process gives what it holds idle back to the system, in thousandths. It is below
/// the mark at which the zone recovers (800), so idle memory holds no zone.
const SHORT_FROM_PERMILLE: u32 = 700;

/// The memory of process, cgroup and host. Where it is short, what the process holds idle is given back.
struct SystemMemory {
    sensor: MemorySensor,
    memory: Arc<Memory>,
}

impl SystemMemory {
    fn new(roots: &Roots, process: &MemoryBudget, memory: &Arc<Memory>) -> Self {
        let sensor = MemorySensor::new(roots, process.clone());
        Self { sensor, memory: Arc::clone(memory) }
    }
}

impl Sensor for SystemMemory {
    fn read(&mut self, now: Instant, readings: &mut Readings) {
        self.sensor.read(now, readings);
        let mut sensors = readings.iter().filter(|at| at.kind == PressureKind::Host);
        if sensors.any(|at| SHORT_FROM_PERMILLE <= at.permille) {
            self.memory.report_short();
        }
    }
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
            readings.push(PressureKind::Memory, place, permille);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pool::MemoryLimits;

    const BURST_BYTES: usize = 160 << 20;
    const CHUNK_BYTES: usize = 2 << 10;
    const SOON: Duration = Duration::from_secs(30);

    fn resident_bytes() -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// Scenario: a burst of small allocations that is freed, but for one in 100, which keep the heap from
    /// shrinking by itself.
    /// Guarantees: the memory of the process falls far below its marks within seconds.
    #[cfg(target_env = "gnu")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_that_was_freed_holds_no_zone() {
        let memory = Memory::new(&MemoryLimits::NONE);
        let budget = MemoryBudget::new(Some(resident_bytes() + (BURST_BYTES as u64)));
        let mut sensor = SystemMemory::new(&Roots::default(), &budget, &memory);
        let mut process = move || {
            let mut readings = Readings::default();
            sensor.read(Instant::now(), &mut readings);
            readings.iter().find(|at| &*at.place == "process").unwrap().permille
        };
        let burst: Vec<_> =
            (0..BURST_BYTES / CHUNK_BYTES).map(|_| vec![1_u8; CHUNK_BYTES]).collect();
        let kept: Vec<_> = burst.into_iter().step_by(100).collect();
        assert!(900 < process(), "the heap keeps what was freed");
        let stop = Stop::new();
        let tending = tokio::spawn(Arc::clone(&memory).tend(stop.clone()));
        let fallen = tokio::time::timeout(SOON, async {
            while 800 <= process() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(fallen.await.is_ok(), "{}", process());
        drop(kept);
        stop.cancel();
        tending.await.unwrap();
    }
}
