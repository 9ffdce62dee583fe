//! The real server as a subject: a scene around it, and what the system says about the process.

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_http_client::Answer;
use gophership_otlp::Signal;
use gophership_otlp_client::CodeOption;
use gophership_otlp_client::Reply;
use gophership_otlp_client::judge;
use tonic::Status;

use crate::harness::Backend;
use crate::harness::Metrics;
use crate::harness::Oracle;
use crate::harness::Process;
use crate::harness::Shape;
use crate::harness::Site;
use crate::harness::SteadyLoad;
use crate::harness::Traffic;
use crate::suite::Run;

/// To be ready: a second, and another one for each GiB that recovery must read.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(1);

/// For the rest of a backlog, of which everything acknowledged was delivered.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// A server with everything around it.
pub(super) struct Scene {
    pub(super) backend: Backend,
    pub(super) site: Site,
    pub(super) traffic: Arc<Traffic>,
    pub(super) oracle: Arc<Oracle>,
    /// The longest that a start took.
    pub(super) slowest_start: Duration,
}

impl Scene {
    /// A site with this configuration; nothing runs yet.
    pub(super) async fn new(yaml: &str) -> Self {
        let backend = Backend::start().await;
        let site = Site::new(backend.address(), yaml);
        let slowest_start = Duration::ZERO;
        Self { backend, site, traffic: Arc::default(), oracle: Arc::default(), slowest_start }
    }

    /// Starts the server and waits until it is ready.
    pub(super) async fn start(&mut self) -> Process {
        let begun = Instant::now();
        let process = self.site.start().await;
        self.slowest_start = self.slowest_start.max(begun.elapsed());
        process
    }

    pub(super) fn load(&self, shape: Shape) -> SteadyLoad {
        SteadyLoad::start(self.site.grpc(), shape, &self.traffic, &self.oracle)
    }

    /// Waits until nothing is left to be delivered, so that no duplicate comes after it.
    pub(super) async fn quiet(&self, process: &Process) {
        // Gauges are told once a second, so they may be those of a moment before; the ledger is of now.
        let is_over = |metrics: &Metrics| {
            let waits = metrics.sum("gophership_sink_backlog_requests", &[]);
            let moves = metrics.sum("gophership_sink_in_flight_requests", &[]);
            waits == 0 && moves == 0 && undelivered(metrics) == 0
        };
        process.measured(QUIET_WITHIN, "nothing is left to deliver", is_over).await;
    }

    /// Waits until everything acknowledged was delivered, and says what is not as it must be.
    pub(super) async fn settle(&self, within: Duration, context: &str) -> Vec<String> {
        let audit = self.oracle.settle(&self.backend, within).await;
        let mut violations = Vec::new();
        if !audit.missing.is_empty() {
            let missing = audit.missing.len();
            violations.push(format!("{context}: {missing} acknowledged records are missing"));
        }
        if audit.altered > 0 {
            violations.push(format!("{context}: {} requests were altered", audit.altered));
        }
        violations
    }
}

/// Records that the ledger has in a vault or on their way.
pub(super) fn undelivered(metrics: &Metrics) -> i64 {
    let of = |signal: &Signal| {
        let books = metrics.books(signal.name());
        books.count("vaulted") + books.count("in_flight")
    };
    Signal::ALL.iter().map(of).sum()
}

/// Runs a future on two threads of its own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a process starts two threads").block_on(future)
}

/// A part of a suite: what was violated, by seed, and what else it has to say.
pub(super) type Part<'a, T> = Box<dyn FnOnce() -> (Vec<(u64, String)>, T) + Send + 'a>;

/// Runs two or more parts at once, each on a runtime of its own, and books what they found.
pub(super) fn at_once<T: Send>(run: &mut Run, parts: Vec<Part<'_, T>>) -> Vec<T> {
    let ended: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(part)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut results = Vec::new();
    for part in ended {
        match part {
            Ok((violations, result)) => {
                for (seed, violation) in violations {
                    run.violation(seed, violation);
                }
                results.push(result);
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                run.violation(run.seed, format!("panic: {text}"));
            }
        }
    }
    results
}

/// A status as the client of a load would have judged it.
pub(super) fn judged(status: &Status) -> Reply {
    let code = Some(CodeOption::Grpc(status.code()));
    Reply { code, answer: judge::of_status(status) }
}

/// Refusals that do not say when to come again, in words; the first is enough.
pub(super) fn unhinted(refusals: &[Reply]) -> Option<String> {
    let has_hint = |reply: &Reply| matches!(reply.answer, Answer::Retry { after: Some(delay), .. } if !delay.is_zero());
    let without: Vec<&Reply> = refusals.iter().filter(|reply| !has_hint(reply)).collect();
    let first = without.first()?;
    Some(format!("{} of {} refusals without RetryInfo: {first:?}", without.len(), refusals.len()))
}

/// A panic that the log tells of.
pub(super) fn panicked(process: &Process) -> Option<String> {
    let log = process.log();
    let line = log.lines().find(|line| line.contains("panicked"))?;
    Some(format!("the server panicked: {line}"))
}

/// Resident memory of a process, in bytes.
pub(super) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Time on a processor that a process has used, in hundredths of a second.
pub(super) fn used_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Files a process has open.
pub(super) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Bytes that are free where `dir` lies.
pub(super) fn free_bytes(dir: &Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).expect("a mounted directory has numbers");
    stat.f_bavail * stat.f_frsize
}

/// Makes `file` as large as leaves `left` bytes free, or removes it when `left` is more than is free.
pub(super) fn ballast(file: &Path, left: u64) {
    let _gone = fs::remove_file(file);
    let dir = file.parent().expect("a file lies in a directory");
    let bytes = free_bytes(dir).saturating_sub(left);
    if bytes == 0 {
        return;
    }
    let open = fs::File::create(file).expect("there is space for a name");
    let mut bytes = bytes;
    // Blocks for the file's own map make it a little more than was asked for.
    while rustix::fs::fallocate(&open, rustix::fs::FallocateFlags::empty(), 0, bytes).is_err() {
        bytes -= bytes.min(64 << 10);
        assert!(bytes > 0, "no ballast fits");
    }
}

/// Gives the room of a ballast back; there is no file where nothing was left for it to take.
pub(super) fn remove_ballast(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("the ballast stays: {error}"),
        _ => {}
    }
}
