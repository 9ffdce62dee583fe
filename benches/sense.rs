//! `cargo bench --bench sense`: what a look around costs, for each sensor and for all together, on
//! this machine's files.
//!
//! `in time` is a look every 10 ms, as the controller takes them: most files are not due. `all due`
//! is a look at which every file is read.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints figures, or stops"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership::somatic::DiskSensor;
use gophership::somatic::LagSensor;
use gophership::somatic::MemoryBudget;
use gophership::somatic::MemorySensor;
use gophership::somatic::Place;
use gophership::somatic::Readings;
use gophership::somatic::Roots;
use gophership::somatic::Sensors;
use gophership::somatic::StallSensor;
use tokio_util::sync::CancellationToken;

const LOOKS: u32 = 10_000;
const TICK: Duration = Duration::from_millis(10);
/// Every pace is over after that.
const LONG: Duration = Duration::from_secs(2);
/// What all of them together may cost: a tenth of the time between two looks.
const LOOK_MAX: Duration = Duration::from_millis(1);

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
    let lag = || {
        let (sensor, probe) = LagSensor::new(CancellationToken::new(), Arc::default());
        runtime.spawn(probe);
        sensor
    };
    let mut sensors: [(&str, Sensors); 5] = Default::default();
    for (idx, (name, sensors)) in sensors.iter_mut().enumerate() {
        *name = ["memory", "stall", "lag", "disk", "all"][idx];
        let is_in = |own: &str| *name == own || *name == "all";
        if is_in("memory") {
            let budget = MemoryBudget::new(Some(1 << 30));
            sensors.add(MemorySensor::new(&Roots::default(), budget));
        }
        if is_in("stall") {
            sensors.add(StallSensor::new(Roots::default()));
        }
        if is_in("lag") {
            sensors.add(lag());
        }
        if is_in("disk") {
            sensors.add(DiskSensor::new([(Place::from("vault"), PathBuf::from("."))]));
        }
    }
    println!("sensor    in time    all due    ns per look, {LOOKS} looks");
    for (name, sensors) in &mut sensors {
        let (in_time, all_due) = (cost(sensors, TICK), cost(sensors, LONG));
        println!("{name:<8}{:>9}  {:>9}", in_time.as_nanos(), all_due.as_nanos());
        assert!(in_time.max(all_due) < LOOK_MAX, "{name} costs {in_time:?}, {all_due:?}");
    }
    let mut readings = Readings::default();
    sensors[4].1.read_all(Instant::now(), &mut readings);
    readings.iter().for_each(|pressure| println!("{pressure}"));
}

/// The average cost of a look, so much later each time.
fn cost(sensors: &mut Sensors, step: Duration) -> Duration {
    let mut readings = Readings::default();
    let start = Instant::now();
    sensors.read_all(start, &mut readings);
    let began = Instant::now();
    for look in 1..=LOOKS {
        sensors.read_all(start + step * look, &mut readings);
    }
    began.elapsed() / LOOKS
}
