//! Who waits: the kernel's pressure stall information.
//!
//! The averages in these files are ten seconds late. The total beside them is exact at any moment,
//! so the share is what it grew by between two looks, divided by the time between them.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use super::cgroup;
use super::file::KernelFile;
use super::file::SampleInterval;
use super::roots::Roots;
use crate::somatic::kind::PressureKind;
use crate::somatic::reading::Place;
use crate::somatic::reading::Readings;
use crate::somatic::reading::Sensor;

/// Shorter than that, one slice of a processor decides the share.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Two lines.
const TEXT: usize = 512;

/// Reads [`PressureKind::CpuStall`], [`PressureKind::MemoryStall`] and [`PressureKind::IoStall`] at the place `cgroup`,
/// or at `host` where the own cgroup does not say.
///
/// Numbers are new every 100 ms; between that the last ones are repeated. A kernel that does not
/// know is asked once only.
#[derive(Debug)]
pub struct StallSensor {
    /// Where to look for the files; none after the first look.
    roots: Option<Roots>,
    meters: Vec<Meter>,
    pace: SampleInterval,
}

impl StallSensor {
    /// Looks at nothing yet.
    #[must_use]
    pub const fn new(roots: Roots) -> Self {
        Self { roots: Some(roots), meters: Vec::new(), pace: SampleInterval::new(LOOK_EVERY) }
    }
}

impl Sensor for StallSensor {
    fn read(&mut self, now: Instant, readings: &mut Readings) {
        if let Some(roots) = self.roots.take() {
            self.meters = meters(&roots, now);
        }
        let is_due = self.pace.is_due(now);
        for meter in &mut self.meters {
            if is_due {
                meter.look(now);
            }
            if let Some(permille) = meter.permille {
                readings.push(meter.kind, &meter.place, permille);
            }
        }
    }
}

/// Finds the files that can be read. One that exists may still be unreadable: a kernel built with
/// stall information but started without has the files, and says `EOPNOTSUPP`.
fn meters(roots: &Roots, now: Instant) -> Vec<Meter> {
    let own = cgroup::unified(roots).and_then(|cgroup| cgroup.folders.into_iter().next());
    // The root has files too, about the whole host. It is known by having no type.
    let own = own.filter(|folder| folder.join("cgroup.type").exists());
    let host = roots.proc.join("pressure");
    let (at_cgroup, at_host) = (Place::from("cgroup"), Place::from("host"));
    let sensors = [
        (PressureKind::CpuStall, "cpu"),
        (PressureKind::MemoryStall, "memory"),
        (PressureKind::IoStall, "io"),
    ];
    let meter = |(kind, name): (PressureKind, &str)| {
        let in_cgroup = |folder: &PathBuf| {
            Meter::open(kind, &at_cgroup, &folder.join(format!("{name}.pressure")), now)
        };
        let in_host = || Meter::open(kind, &at_host, &host.join(name), now);
        own.as_ref().and_then(in_cgroup).or_else(in_host)
    };
    sensors.into_iter().filter_map(meter).collect()
}

/// One file.
#[derive(Debug)]
struct Meter {
    kind: PressureKind,
    place: Place,
    file: KernelFile,
    /// When the total was read, and what it was.
    last: (Instant, Duration),
    /// What is shown until the next look.
    permille: Option<u32>,
}

impl Meter {
    /// None if the file cannot be read.
    fn open(kind: PressureKind, place: &Place, path: &Path, now: Instant) -> Option<Self> {
        let mut file = KernelFile::new(path.to_owned());
        let last = (now, total(&mut file, now)?);
        Some(Self { kind, place: Place::clone(place), file, last, permille: None })
    }

    fn look(&mut self, now: Instant) {
        let Some(total) = total(&mut self.file, now) else {
            self.permille = None;
            return;
        };
        let (then, total_then) = std::mem::replace(&mut self.last, (now, total));
        let elapsed = now.saturating_duration_since(then);
        // No time has passed, or the clock went backward: there is nothing to divide by.
        if elapsed.is_zero() {
            return;
        }
        // A total that went backward is another cgroup's: it is a new begin, as the first look is.
        self.permille = total.checked_sub(total_then).map(|waited| permille(waited, elapsed));
    }
}

/// Nobody waits longer than the time there was; the two clocks do not agree to the microsecond.
fn permille(waited: Duration, elapsed: Duration) -> u32 {
    let permille = waited.as_nanos().saturating_mul(1000) / elapsed.as_nanos();
    u32::try_from(permille).unwrap_or(u32::MAX).min(1000)
}

/// How long somebody has waited since the kernel counts.
fn total(file: &mut KernelFile, now: Instant) -> Option<Duration> {
    let mut buffer = [0; TEXT];
    let text = file.read(now, &mut buffer)?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let micros = some.split(' ').find_map(|word| word.strip_prefix("total="))?;
    Some(Duration::from_micros(micros.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::sensor::tests::Tree;

    fn text(total: u64) -> String {
        let averages = "avg10=24.53 avg60=27.31 avg300=24.68";
        format!("some {averages} total={total}\nfull {averages} total=999999999\n")
    }

    /// What is read, as `kind place permille`.
    fn look(sensor: &mut StallSensor, now: Instant) -> Vec<String> {
        let mut readings = Readings::default();
        sensor.read(now, &mut readings);
        let line =
            |at: &crate::somatic::Pressure| format!("{} {} {}", at.kind, at.place, at.permille);
        readings.iter().map(line).collect()
    }

    #[test]
    fn the_share_is_the_growth_between_two_looks() {
        let tree = Tree::new(&[("proc/pressure/cpu", &text(5_000_000))]);
        let (mut sensor, start) = (StallSensor::new(tree.roots()), Instant::now());
        let mut at = |millis| look(&mut sensor, start + Duration::from_millis(millis)).join(", ");
        assert_eq!(at(0), "");
        assert_eq!(at(50), "");
        tree.write("proc/pressure/cpu", &text(5_020_000));
        assert_eq!(at(100), "cpu_stall host 200");
        tree.write("proc/pressure/cpu", &text(5_110_000));
        assert_eq!(at(199), "cpu_stall host 200", "too early for another look");
        assert_eq!(at(280), "cpu_stall host 500", "90 ms of 180 ms");
        tree.write("proc/pressure/cpu", &text(6_110_000));
        assert_eq!(at(380), "cpu_stall host 1000", "a second in 100 ms");
        assert_eq!(at(10_000), "cpu_stall host 0");
    }

    #[test]
    fn the_own_cgroup_goes_before_the_host() {
        let tree = Tree::new(&[
            ("proc/self/cgroup", "0::/own\n"),
            ("cgroup/own/cgroup.type", "domain\n"),
            ("cgroup/own/memory.pressure", &text(0)),
            ("cgroup/own/io.pressure", "garbage\n"),
            ("proc/pressure/cpu", &text(0)),
            ("proc/pressure/memory", &text(0)),
            ("proc/pressure/io", &text(0)),
        ]);
        let (mut sensor, start) = (StallSensor::new(tree.roots()), Instant::now());
        look(&mut sensor, start);
        let expected = ["cpu_stall host 0", "memory_stall cgroup 0", "io_stall host 0"];
        assert_eq!(look(&mut sensor, start + LOOK_EVERY), expected);
        // The root's files are about the host.
        tree.write("proc/self/cgroup", "0::/\n");
        tree.write("cgroup/cpu.pressure", &text(0));
        let mut sensor = StallSensor::new(tree.roots());
        look(&mut sensor, start);
        let expected = ["cpu_stall host 0", "memory_stall host 0", "io_stall host 0"];
        assert_eq!(look(&mut sensor, start + LOOK_EVERY), expected);
    }

    #[test]
    fn a_kernel_that_does_not_know_is_asked_once() {
        let tree = Tree::new(&[("proc/self/cgroup", "0::/own\n")]);
        let (mut sensor, start) = (StallSensor::new(tree.roots()), Instant::now());
        look(&mut sensor, start);
        for name in ["cpu", "memory", "io"] {
            tree.write(&format!("proc/pressure/{name}"), &text(0));
        }
        for second in 1..10 {
            assert!(look(&mut sensor, start + Duration::from_secs(second)).is_empty());
        }
    }

    #[test]
    fn what_goes_backward_or_is_garbage_is_left_out() {
        let tree = Tree::new(&[("proc/pressure/io", &text(1_000_000))]);
        let (mut sensor, start) = (StallSensor::new(tree.roots()), Instant::now());
        let mut at = |millis| look(&mut sensor, start + Duration::from_millis(millis)).join(", ");
        assert_eq!(at(5000), "");
        tree.write("proc/pressure/io", &text(1_050_000));
        assert_eq!(at(5100), "io_stall host 500");
        tree.write("proc/pressure/io", &text(10_000));
        assert_eq!(at(5200), "", "the total went backward");
        tree.write("proc/pressure/io", &text(20_000));
        assert_eq!(at(5300), "io_stall host 100");
        let garbage =
            ["", "some\n", "some total=\n", "some total=-1\n", "full total=9\n", "some total=9"];
        for (garbage, millis) in garbage.into_iter().zip((5400..).step_by(100)) {
            tree.write("proc/pressure/io", garbage);
            assert_eq!(at(millis), "", "{garbage:?}");
        }
        tree.write("proc/pressure/io", &text(30_000));
        assert_eq!(at(6300), "io_stall host 10", "10 ms since the last good look");
        tree.write("proc/pressure/io", &text(40_000));
        assert_eq!(at(1000), "io_stall host 10", "the clock went backward: the last is repeated");
        tree.write("proc/pressure/io", &text(70_000));
        assert_eq!(at(1100), "io_stall host 300", "and it begins again");
    }

    #[test]
    fn this_machine_says_what_its_files_say() {
        let (mut sensor, start) = (StallSensor::new(Roots::default()), Instant::now());
        look(&mut sensor, start);
        let found = look(&mut sensor, start + Duration::from_hours(1)).join(", ");
        for name in ["cpu", "memory", "io"] {
            let is_known = std::fs::read(format!("/proc/pressure/{name}")).is_ok();
            assert!(!is_known || found.contains(&format!("{name}_stall")), "{name}: {found:?}");
        }
    }
}
