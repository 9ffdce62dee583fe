//! The figures of the process that every Prometheus client shows, with the names that dashboards expect.
//!
//! Read from `/proc/self` when somebody asks. The crate `prometheus` can do that too, but only with the crate `procfs`
//! and all that it brings, and this needs three files of it.

use std::fs;
use std::sync::OnceLock;

use prometheus::Opts;
use prometheus::core::Collector;
use prometheus::core::Desc;
use prometheus::core::Describer;
use prometheus::proto;
use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;
use rustix::process::Resource;
use rustix::process::getrlimit;

use crate::metrics::Builder;

/// The names and help texts, in the order of [`Figures`].
const FAMILIES: [(&str, &str); 7] = [
    ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
    ("process_max_fds", "Maximum number of open file descriptors."),
    ("process_open_fds", "Number of open file descriptors."),
    ("process_resident_memory_bytes", "Resident memory size in bytes."),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds."),
    ("process_threads", "Number of OS threads in the process."),
    ("process_virtual_memory_bytes", "Virtual memory size in bytes."),
];

/// One value for each of [`FAMILIES`]; what cannot be read is not shown.
type Figures = [Option<f64>; FAMILIES.len()];

struct ProcessFamilies([Desc; FAMILIES.len()]);

impl Builder {
    pub(super) fn process(&self) {
        let desc = |(name, help): (&str, &str)| {
            Opts::new(name, help).describe().expect("the names in this file are valid")
        };
        let families = ProcessFamilies(FAMILIES.map(desc));
        self.0.register(Box::new(families)).expect("each name in this file is used once");
    }
}

impl Collector for ProcessFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let shown = FAMILIES.iter().zip(read()).filter_map(|((name, help), value)| {
            let mut family = proto::MetricFamily::default();
            family.set_name((*name).to_owned());
            family.set_help((*help).to_owned());
            let mut metric = proto::Metric::default();
            if name.ends_with("_total") {
                let mut counter = proto::Counter::default();
                counter.set_value(value?);
                metric.set_counter(counter);
                family.set_field_type(proto::MetricType::COUNTER);
            } else {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value?);
                metric.set_gauge(gauge);
                family.set_field_type(proto::MetricType::GAUGE);
            }
            family.set_metric(vec![metric]);
            Some(family)
        });
        shown.collect()
    }
}

/// Reads all figures of now.
fn read() -> Figures {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    let limit = getrlimit(Resource::Nofile).current;
    // The directory itself is open while it is read.
    let open =
        fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1) as u64);
    [
        stat.map(|stat| seconds(stat.cpu_ticks)),
        limit.map(real),
        open.ok().map(real),
        stat.map(|stat| real(stat.resident_pages * page_size() as u64)),
        stat.and_then(|stat| Some(booted_unix_seconds()? + seconds(stat.start_ticks))),
        stat.map(|stat| real(stat.threads)),
        stat.map(|stat| real(stat.virtual_bytes)),
    ]
}

/// What `/proc/self/stat` says.
///
/// Source: Linux, `Documentation/filesystems/proc.rst`, table 1-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the system was started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // The first one is field 3 of the table.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the system was started, in seconds since 1970. Read once: it moves when the clock is set.
fn booted_unix_seconds() -> Option<f64> {
    static BOOTED: OnceLock<Option<f64>> = OnceLock::new();
    *BOOTED.get_or_init(|| {
        let text = fs::read_to_string("/proc/stat").ok()?;
        text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

fn seconds(ticks: u64) -> f64 {
    real(ticks) / real(clock_ticks_per_second())
}

#[expect(clippy::cast_precision_loss, reason = "the format knows nothing else")]
const fn real(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_fields_behind_any_name_are_read() {
        let rest: Vec<String> = (4..=52).map(|number: u32| number.to_string()).collect();
        let text = format!("7 (a ) name) S {}", rest.join(" "));
        let stat = Stat {
            cpu_ticks: 14 + 15,
            threads: 20,
            start_ticks: 22,
            virtual_bytes: 23,
            resident_pages: 24,
        };
        assert_eq!(Stat::parse(&text), Some(stat));
        assert_eq!(Stat::parse("7 (name) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_has_plausible_figures() {
        let [cpu, max, open, resident, started, threads, virtual_bytes] =
            read().map(Option::unwrap);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..86_400.0).contains(&cpu), "{cpu}");
        assert!(3.0 <= open && open <= max, "{open} of {max}");
        assert!(1e6 < resident && resident <= virtual_bytes, "{resident} of {virtual_bytes}");
        // The boot time has a resolution of a second.
        assert!((now - 86_400.0..now + 2.0).contains(&started), "{started}, now {now}");
        assert!(2.0 <= threads, "{threads}");
    }
}
