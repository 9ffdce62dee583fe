//! One evaluation of the controller, and what sensing costs those who work meanwhile.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use gophership::app;
use gophership::component::OnLoss;
use gophership::component::Stop;
use gophership::config;
use gophership::flow::Pulse;
use gophership::pool::Memory;
use gophership::somatic::Controller;
use gophership::somatic::MemoryBudget;
use gophership::somatic::Policy;
use gophership::somatic::Readings;
use gophership::somatic::Somatic;
use gophership::topology::FlightDir;
use gophership::topology::RunningTopology;
use gophership::topology::SharedParts;
use gophership::topology::Zones;
use tokio::runtime::Runtime;

use crate::green::Common;
use crate::measure::OwnTime;
use crate::measure::allocated;
use crate::measure::median;
use crate::measure::nanos;
use crate::measure::rest;

const TICK: Duration = Duration::from_millis(10);
const LOOKS: usize = 400;
const LOOKS_TO_WARM_UP: usize = 130;
const LOOKS_IN_A_ROW: u32 = 2_000;
const STEPS: u64 = 200_000;
/// What an evaluation may cost at most, and what is aimed at.
const LOOK_MAX: Duration = Duration::from_millis(1);
const LOOK_AIM: Duration = Duration::from_micros(20);

const SLICE: Duration = Duration::from_millis(400);
const SLICES: usize = 25;
/// What sensing may cost at most, as a share.
const SENSING_MAX: f64 = 0.01;

/// A topology with all that is sensed, and the zones that look at it; nothing drives them.
struct Rig {
    runtime: Runtime,
    topology: RunningTopology,
    zones: Zones,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir_in("target").unwrap();
        let yaml = format!(
            r#"
data_dir: "{}"
sources:
  otlp: {{ type: otlp, grpc: {{ listen: "127.0.0.1:0" }}, pivot: vault }}
  replay: {{ type: vault_replay, vault: vault }}
transforms:
  enrich: {{ type: enrich, inputs: [otlp, replay] }}
sinks:
  hole: {{ type: blackhole, inputs: [enrich] }}
  vault: {{ type: raw_vault, max_size: 512MiB }}
"#,
            dir.path().display()
        );
        let config = Arc::new(config::load_text("look.yaml", &yaml, &|_| None).unwrap());
        let inside = runtime.enter();
        let somatic = Arc::new(Somatic::new(Policy::default()));
        let memory = Memory::new(&config.somatic.memory.limits());
        let shared = SharedParts::new(somatic.watch(), Arc::clone(&memory), OnLoss::Start);
        let process = MemoryBudget::new(None);
        let sensors = app::sensors(&config, &shared.gauges, &memory, &process, &Stop::new());
        let pulse = Pulse::new(1024, 850, somatic.alarm());
        let flights = FlightDir::new(dir.path().join("flight"));
        let zones = Zones::new(somatic, &shared, sensors, flights);
        let mut topology = RunningTopology::empty(shared, pulse);
        runtime.block_on(topology.reload(config, Duration::from_secs(5))).unwrap();
        drop(inside);
        Self { runtime, topology, zones, _dir: dir }
    }

    fn end(self) {
        let _outcomes = self.runtime.block_on(self.topology.shut_down(Duration::from_secs(5)));
    }
}

/// Looks as often as in a process, so that files are as due, and caches as cold, as there; then one look
/// after the other, which is what is left if nothing has to come from memory first.
fn looks(zones: &Zones) {
    let mut times = Vec::with_capacity(LOOKS);
    let mut before = allocated();
    for look in 0..LOOKS_TO_WARM_UP + LOOKS {
        if look == LOOKS_TO_WARM_UP {
            before = allocated();
        }
        let begun = OwnTime::now();
        zones.look();
        let taken = begun.elapsed();
        if LOOKS_TO_WARM_UP <= look {
            times.push(taken);
        }
        rest(TICK);
    }
    let after = allocated();
    let allocated = (after.0 - before.0, after.1 - before.1);
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000];
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
    println!("\nlook: one evaluation, with all sensors, {LOOKS} times at 10 ms");
    println!("sensed: {}", zones.pressures().len());
    println!("mean {mean:?} p50 {:?} p99 {:?} max {:?}", at(500), at(990), at(1000));
    let share = mean.as_secs_f64() / TICK.as_secs_f64() * 100.0;
    println!("that is {share:.2}% of one processor");
    let begun = OwnTime::now();
    for _ in 0..LOOKS_IN_A_ROW {
        zones.look();
    }
    let in_a_row = begun.elapsed() / LOOKS_IN_A_ROW;
    println!("mean {in_a_row:?} of {LOOKS_IN_A_ROW} in a row; the aim is {LOOK_AIM:?}");
    println!("allocations {} bytes {}", allocated.0, allocated.1);
    assert!(share < SENSING_MAX * 100.0, "sensing takes {share:.2}% of a processor");
    assert_eq!(allocated, (0, 0), "an evaluation that changes nothing allocates nothing");
    assert!(at(1000) < LOOK_MAX, "an evaluation costs {:?}", at(1000));
}

/// The decision alone.
fn steps(zones: &Zones) {
    let mut readings = Readings::default();
    for pressure in zones.pressures() {
        readings.push(pressure.kind, &pressure.place, pressure.permille);
    }
    let mut controller = Controller::new(Policy::default());
    let start = Instant::now();
    let before = allocated();
    let begun = OwnTime::now();
    for step in 0..STEPS {
        let now = start + Duration::from_micros(step);
        std::hint::black_box(controller.step(now, &readings, None));
    }
    let taken = begun.elapsed();
    assert_eq!(allocated(), before, "a decision that changes nothing allocates nothing");
    println!("the decision alone: {:.0} ns, 0 allocations", nanos(taken, STEPS));
}

/// How many requests two workers place and deliver in a slice, while the zones are driven or not.
fn placed_in_a_slice(common: &Common, rig: &Rig, is_sensing: bool) -> f64 {
    let stop = Stop::new();
    if is_sensing {
        rig.zones.clone().drive(stop.clone()).unwrap();
    }
    let (placed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for mut worker in common.load(2) {
            let (placed, is_over) = (&placed, &is_over);
            scope.spawn(move || {
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    count += worker.burst();
                }
                placed.fetch_add(count, Ordering::Relaxed);
            });
        }
        rest(SLICE);
        is_over.store(true, Ordering::Relaxed);
    });
    let rate = placed.into_inner() as f64 / begun.elapsed().as_secs_f64();
    stop.cancel();
    rate
}

/// What sensing takes from two workers that have a processor each: off, on, off in turn, so that the
/// two rounds without it say how far rounds differ by themselves.
fn sensing(rig: &Rig) {
    let common = Common::new();
    let (mut costs, mut differences) = (Vec::new(), Vec::new());
    for _ in 0..SLICES {
        let before = placed_in_a_slice(&common, rig, false);
        let sensing = placed_in_a_slice(&common, rig, true);
        let after = placed_in_a_slice(&common, rig, false);
        costs.push(1.0 - sensing / f64::midpoint(before, after));
        differences.push((1.0 - after / before).abs());
    }
    let (cost, noise) = (median(costs), median(differences));
    // The median of so many rounds is surer than one of them, by the root of their number.
    let error = noise / (SLICES as f64).sqrt();
    println!(
        "\nsensing at 10 ms costs two busy workers {:.2}% +- {:.2}% ({SLICES} rounds; two without it differ by {:.2}%)",
        cost * 100.0,
        error * 100.0,
        noise * 100.0
    );
    assert!(
        error < SENSING_MAX / 2.0,
        "not measured: the machine is too busy to tell whether that is below 1%"
    );
    assert!(cost - error < SENSING_MAX, "sensing costs too much");
}

/// Prints the figures, and stops where a limit does not hold.
pub(crate) fn run() {
    let rig = Rig::new();
    looks(&rig.zones);
    steps(&rig.zones);
    sensing(&rig);
    rig.end();
}
