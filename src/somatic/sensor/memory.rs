//! How much memory is left: of what the process may have, of what its cgroup may have, of the host.
//!
//! A cgroup counts the page cache of its files as used, although the kernel drops it before it
//! kills anybody. So what of it was not touched lately (`inactive_file`) is taken off, as the
//! "working set" of Kubernetes does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::cgroup;
use super::cgroup::Cgroup;
use super::cgroup::Version;
use super::file::KernelFile;
use super::file::SampleInterval;
use super::file::number_of;
use super::roots::Roots;
use crate::somatic::kind::PressureKind;
use crate::somatic::reading::Place;
use crate::somatic::reading::Readings;
use crate::somatic::reading::Sensor;

/// Limits change seldom, and `memory.stat` costs a walk over all processors.
const SELDOM: Duration = Duration::from_secs(1);
/// The first version says "no limit" with a number near 2^63, rounded to pages of any size.
const LIMIT_BYTES_MAX: u64 = 1 << 60;
/// One number, or the first lines of `/proc/meminfo`.
const SMALL: usize = 256;
/// All of `memory.stat`; its older version has what is sought at the end of 2 KiB.
const STAT: usize = 8192;

/// What the process may use. Clones are one budget: a reload changes it while a sensor reads it.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<AtomicU64>);

impl MemoryBudget {
    /// A budget in bytes; without one the process is not sensed.
    #[must_use]
    pub fn new(bytes: Option<u64>) -> Self {
        Self(Arc::new(AtomicU64::new(bytes.unwrap_or_default())))
    }

    /// Replaces the budget.
    pub fn set(&self, bytes: Option<u64>) {
        self.0.store(bytes.unwrap_or_default(), Ordering::Relaxed);
    }

    fn bytes(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&bytes| bytes != 0)
    }
}

/// Reads [`PressureKind::Host`] at the places `process`, `cgroup` and `host`.
///
/// Of the cgroups that hold this process, the fullest counts: one further up may have less left
/// than the own. Without any limit there is no number.
#[derive(Debug)]
pub struct MemorySensor {
    budget: MemoryBudget,
    statm: KernelFile,
    meminfo: KernelFile,
    levels: Vec<Level>,
    process: Place,
    cgroup: Place,
    host: Place,
}

impl MemorySensor {
    /// Finds the own cgroup. A process that is moved to another one later is not followed.
    #[must_use]
    pub fn new(roots: &Roots, budget: MemoryBudget) -> Self {
        Self {
            budget,
            statm: KernelFile::new(roots.proc.join("self/statm")),
            meminfo: KernelFile::new(roots.proc.join("meminfo")),
            levels: cgroup::of_memory(roots).map(Level::all).unwrap_or_default(),
            process: Place::from("process"),
            cgroup: Place::from("cgroup"),
            host: Place::from("host"),
        }
    }

    /// The pages in memory are the second number.
    fn resident_bytes(&mut self, now: Instant) -> Option<u64> {
        let mut buffer = [0; SMALL];
        let text = self.statm.read(now, &mut buffer)?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }

    /// What is used of the host, and what it has.
    fn host(&mut self, now: Instant) -> Option<(u64, u64)> {
        let mut buffer = [0; SMALL];
        let text = self.meminfo.read(now, &mut buffer)?;
        let total = number_of(text, "MemTotal")?;
        Some((total.saturating_sub(number_of(text, "MemAvailable")?), total))
    }
}

impl Sensor for MemorySensor {
    fn read(&mut self, now: Instant, readings: &mut Readings) {
        if let Some(budget) = self.budget.bytes()
            && let Some(resident) = self.resident_bytes(now)
        {
            push(readings, &self.process, (resident, budget));
        }
        let shares = self.levels.iter_mut().filter_map(|level| level.share(now));
        if let Some(fullest) = shares.max_by(|left, right| fill(*left).total_cmp(&fill(*right))) {
            push(readings, &self.cgroup, fullest);
        }
        if let Some(share) = self.host(now) {
            push(readings, &self.host, share);
        }
    }
}

/// The memory limit that counts for this process: the smallest of its cgroup and of those above it.
#[must_use]
pub fn memory_limit_bytes(roots: &Roots) -> Option<u64> {
    let levels = cgroup::of_memory(roots).map(Level::all).unwrap_or_default();
    let limit = |mut level: Level| level.share(Instant::now()).map(|(_, limit)| limit);
    levels.into_iter().filter_map(limit).filter(|&limit| 0 < limit).min()
}

#[expect(clippy::cast_precision_loss, reason = "thousandths need no more")]
fn push(readings: &mut Readings, place: &Place, (part, whole): (u64, u64)) {
    readings.push_share(PressureKind::Host, place, part as f64, whole as f64);
}

#[expect(clippy::cast_precision_loss, reason = "thousandths need no more")]
fn fill((part, whole): (u64, u64)) -> f64 {
    part as f64 / whole as f64
}

/// One cgroup.
#[derive(Debug)]
struct Level {
    version: Version,
    limit: KernelFile,
    usage: KernelFile,
    stat: KernelFile,
    limit_bytes: Option<u64>,
    /// Page cache, as it was when `memory.stat` was read the last time.
    droppable_bytes: u64,
    limit_pace: SampleInterval,
    stat_pace: SampleInterval,
}

impl Level {
    /// The cgroups that have a limit or could be given one: a root cannot.
    fn all(cgroup: Cgroup) -> Vec<Self> {
        let Cgroup { version, folders } = cgroup;
        let (limit, usage) = match version {
            Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::V2 => ("memory.max", "memory.current"),
        };
        let level = |folder: PathBuf| Self {
            version,
            limit: KernelFile::new(folder.join(limit)),
            usage: KernelFile::new(folder.join(usage)),
            stat: KernelFile::new(folder.join("memory.stat")),
            limit_bytes: None,
            droppable_bytes: 0,
            limit_pace: SampleInterval::new(SELDOM),
            stat_pace: SampleInterval::new(SELDOM),
        };
        folders.into_iter().filter(|folder| folder.join(limit).exists()).map(level).collect()
    }

    /// What is used, and the limit; none without a limit.
    fn share(&mut self, now: Instant) -> Option<(u64, u64)> {
        if self.limit_pace.is_due(now) {
            let limit = number(&mut self.limit, now);
            self.limit_bytes = limit.filter(|&bytes| bytes < LIMIT_BYTES_MAX);
        }
        let limit = self.limit_bytes?;
        let usage = number(&mut self.usage, now)?;
        if usage > limit / 2 && self.stat_pace.is_due(now) {
            self.droppable_bytes = self.droppable_bytes(now).unwrap_or_default();
        }
        // Below the half an old number stays: without it a full cache would look like pressure
        // just when there is less.
        Some((usage.saturating_sub(self.droppable_bytes), limit))
    }

    fn droppable_bytes(&mut self, now: Instant) -> Option<u64> {
        let name = match self.version {
            Version::V1 => "total_inactive_file",
            Version::V2 => "inactive_file",
        };
        let mut buffer = [0; STAT];
        number_of(self.stat.read(now, &mut buffer)?, name)
    }
}

/// The only number of a file; `max` is none.
fn number(file: &mut KernelFile, now: Instant) -> Option<u64> {
    file.read(now, &mut [0; SMALL])?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::sensor::tests::Tree;

    const V2: (&str, &str) = ("proc/self/cgroup", "0::/up/own\n");
    const MIB: u64 = 1 << 20;

    fn sensor(tree: &Tree) -> MemorySensor {
        MemorySensor::new(&tree.roots(), MemoryBudget::new(None))
    }

    /// What is read at a place.
    fn look(sensor: &mut MemorySensor, now: Instant, place: &str) -> Option<u32> {
        let mut readings = Readings::default();
        sensor.read(now, &mut readings);
        let found = readings.iter().find(|at| &*at.place == place);
        found.map(|at| (at.kind, at.permille)).map(|(kind, permille)| {
            assert_eq!(kind, PressureKind::Host);
            permille
        })
    }

    fn level(tree: &Tree, folder: &str, limit: &str, usage: &str) {
        tree.write(&format!("cgroup/{folder}/memory.max"), limit);
        tree.write(&format!("cgroup/{folder}/memory.current"), usage);
    }

    #[test]
    fn the_fullest_of_all_cgroups_above_counts() {
        let tree = Tree::new(&[V2]);
        let cases = [
            ("1000\n", "300\n", "2000\n", "400\n", Some(300)),
            ("1000\n", "300\n", "500\n", "400\n", Some(800)),
            ("max\n", "300\n", "500\n", "250\n", Some(500)),
            ("1000\n", "300\n", "max\n", "250\n", Some(300)),
            ("max\n", "300\n", "max\n", "250\n", None),
            ("1000\n", "1100\n", "max\n", "0\n", Some(1100)),
            ("0\n", "300\n", "max\n", "0\n", None),
            ("10", "300\n", "garbage\n", "0\n", None),
            ("1000\n", "30", "", "0\n", None),
            ("1000\n", "-300\n", "2000\n", "100\n", Some(50)),
        ];
        for (limit, usage, limit_up, usage_up, expected) in cases {
            level(&tree, "up/own", limit, usage);
            level(&tree, "up", limit_up, usage_up);
            let found = look(&mut sensor(&tree), Instant::now(), "cgroup");
            assert_eq!(found, expected, "{limit:?} {usage:?} {limit_up:?} {usage_up:?}");
        }
    }

    #[test]
    fn page_cache_is_no_pressure() {
        let tree = Tree::new(&[V2]);
        level(&tree, "up/own", "1000\n", "900\n");
        let cached = |bytes: u64| {
            let text = format!("anon 17\ninactive_file {bytes}\nactive_file 100\n");
            tree.write("cgroup/up/own/memory.stat", &text);
        };
        cached(600);
        let (mut sensor, start) = (sensor(&tree), Instant::now());
        let mut at = |millis| look(&mut sensor, start + Duration::from_millis(millis), "cgroup");
        assert_eq!(at(0), Some(300));
        cached(100);
        assert_eq!(at(999), Some(300), "the file is costly");
        assert_eq!(at(1000), Some(800));
        cached(700);
        level(&tree, "up/own", "1000\n", "400\n");
        assert_eq!(at(5000), Some(300), "below the half the file is not looked at");
        level(&tree, "up/own", "1000\n", "50\n");
        assert_eq!(at(5001), Some(0));
        level(&tree, "up/own", "1000\n", "950\n");
        assert_eq!(at(5002), Some(250), "it is again, at once");
        tree.write("cgroup/up/own/memory.stat", "inactive_file");
        assert_eq!(at(7000), Some(950));
    }

    #[test]
    fn the_smallest_limit_above_counts() {
        let tree = Tree::new(&[V2]);
        let cases = [
            ("1000\n", "2000\n", Some(1000)),
            ("3000\n", "2000\n", Some(2000)),
            ("max\n", "2000\n", Some(2000)),
            ("max\n", "max\n", None),
            ("0\n", "garbage\n", None),
        ];
        for (limit, limit_up, expected) in cases {
            level(&tree, "up/own", limit, "5\n");
            level(&tree, "up", limit_up, "5\n");
            assert_eq!(memory_limit_bytes(&tree.roots()), expected, "{limit:?} {limit_up:?}");
        }
    }

    #[test]
    fn limits_are_followed() {
        let tree = Tree::new(&[V2]);
        level(&tree, "up/own", "max\n", "400\n");
        let (mut sensor, start) = (sensor(&tree), Instant::now());
        let mut at = |millis| look(&mut sensor, start + Duration::from_millis(millis), "cgroup");
        assert_eq!(at(0), None);
        level(&tree, "up/own", "1000\n", "400\n");
        assert_eq!(at(1000), Some(400));
        level(&tree, "up/own", "800\n", "200\n");
        assert_eq!((at(1001), at(2000)), (Some(200), Some(250)));
    }

    #[test]
    fn the_first_version_has_other_names_and_an_absurd_limit() {
        let tree = Tree::new(&[
            ("proc/self/cgroup", "4:memory:/own\n0::/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cgroup/memory/memory.usage_in_bytes", "9000\n"),
            ("cgroup/memory/own/memory.limit_in_bytes", "1000\n"),
            ("cgroup/memory/own/memory.usage_in_bytes", "800\n"),
            ("cgroup/memory/own/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
        ]);
        assert_eq!(look(&mut sensor(&tree), Instant::now(), "cgroup"), Some(500));
        let limit = (1_u64 << 60).to_string() + "\n";
        tree.write("cgroup/memory/own/memory.limit_in_bytes", &limit);
        assert_eq!(look(&mut sensor(&tree), Instant::now(), "cgroup"), None);
    }

    #[test]
    fn the_host_is_read_from_meminfo() {
        let tree = Tree::new(&[]);
        let rest = "Buffers:           67008 kB\n".repeat(50);
        let lines = "MemTotal:       1000 kB\nMemFree:        50 kB\nMemAvailable:   400 kB\n";
        let cases = [
            (lines.to_owned() + &rest, Some(600)),
            ("MemTotal: 1000 kB\nMemAvailable: 4000 kB\n".to_owned(), Some(0)),
            ("MemTotal: 1000 kB\nMemAvailable: 40".to_owned(), None),
            ("MemTotal: 0 kB\nMemAvailable: 0 kB\n".to_owned(), None),
            ("MemTotal: many kB\nMemAvailable: 400 kB\n".to_owned(), None),
        ];
        let mut sensor = sensor(&tree);
        let start = Instant::now();
        assert_eq!(look(&mut sensor, start, "host"), None);
        for (text, expected) in cases {
            tree.write("proc/meminfo", &text);
            let later = start + Duration::from_secs(1);
            assert_eq!(look(&mut sensor, later, "host"), expected, "{text:?}");
        }
    }

    #[test]
    fn the_process_is_held_against_a_budget_that_can_change() {
        let tree = Tree::new(&[("proc/self/statm", "9000 256 17 5 0 123 0\n")]);
        let resident = 256 * rustix::param::page_size() as u64;
        let budget = MemoryBudget::new(None);
        let mut sensor = MemorySensor::new(&tree.roots(), budget.clone());
        let mut look = || look(&mut sensor, Instant::now(), "process");
        assert_eq!(look(), None);
        budget.set(Some(resident * 2));
        assert_eq!(look(), Some(500));
        budget.set(Some(resident / 2));
        assert_eq!(look(), Some(2000));
        for garbage in ["", "9000\n", "9000 256", "a b c\n", "1 18446744073709551615 1\n"] {
            tree.write("proc/self/statm", garbage);
            assert_eq!(look(), None, "{garbage:?}");
        }
    }

    #[test]
    fn this_machine_has_memory() {
        let mut sensor = MemorySensor::new(&Roots::default(), MemoryBudget::new(Some(MIB)));
        let host = look(&mut sensor, Instant::now(), "host").unwrap();
        assert!((1..1000).contains(&host), "{host}");
        let process = look(&mut sensor, Instant::now(), "process").unwrap();
        assert!(process > 1000, "this process needs more than a MiB: {process}");
    }
}
