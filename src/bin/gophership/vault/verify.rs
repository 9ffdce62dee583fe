//! `gophership vault verify`: whether a vault is sound.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use gophership_vault::Finding;
use gophership_vault::Survey;
use gophership_vault::Throttle;
use gophership_vault::Verification;
use gophership_vault::VerifyOptions;

use super::Failure;
use super::archive_verify;
use super::args::VerifyArgs;
use super::exit;
use super::place::VaultTarget;
use super::progress::Progress;
use super::table;

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(args: &VerifyArgs) -> Result<u8, Failure> {
    let target = args.place.find(args.deadletter)?;
    if let Some(archive) = &target.archive {
        return archive_verify::run(archive, args);
    }
    let throttle = args.manners.throttle(&target)?;
    let done = verify(&target, args.jobs, args.quiet, throttle)?;
    table::print(args.output, || text(&done), || document(&done))?;
    Ok(if done.findings.is_empty() { 0 } else { exit::FAULTS })
}

/// Verifies, and shows progress meanwhile.
pub(super) fn verify(
    target: &VaultTarget,
    jobs: Option<NonZeroUsize>,
    is_quiet: bool,
    throttle: Throttle,
) -> Result<Verification, Failure> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let read_bytes = Arc::new(AtomicU64::new(0));
    let options = VerifyOptions {
        jobs: jobs.unwrap_or_else(cores),
        segment: target.segment,
        read_bytes: Arc::clone(&read_bytes),
        throttle,
        is_cancelled: Arc::default(),
    };
    watched(target, is_quiet, &read_bytes, || Ok(gophership_vault::verify(&target.dir, &options)?))
}

/// Does long work on this thread while another one draws how far it is.
pub(super) fn watched<T>(
    target: &VaultTarget,
    is_quiet: bool,
    read_bytes: &Arc<AtomicU64>,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut progress = Progress::new(is_quiet);
    if !progress.is_shown() {
        return work();
    }
    let total: u64 = Survey::take(&target.dir)
        .map_or(0, |survey| survey.segments.iter().map(|segment| segment.file_bytes).sum());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                progress.show(read_bytes.load(Ordering::Relaxed), total);
                std::thread::park_timeout(LOOK_EVERY);
            }
            drop(progress);
        });
        let done = work();
        is_done.store(true, Ordering::Release);
        watcher.thread().unpark();
        done
    })
}

fn lost(finding: &Finding) -> u64 {
    finding.lost.map_or(0, |(first, last)| last - first + 1)
}

/// What is wrong, as a table with a sentence for each kind.
pub(super) fn findings(found: &[Finding]) -> String {
    let row = |finding: &Finding| {
        let name = finding.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let segment = finding.segment.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let lost = match finding.lost {
            None => "-".to_owned(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}..{last}"),
        };
        let bytes = format!("{}..{}", finding.start, finding.end);
        vec![segment, finding.kind.name().to_owned(), bytes, lost, name]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let mut text =
        gophership_units::columns(&[">segment", "fault", "bytes", "lost seqs", "file"], &rows);
    let mut kinds: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    text.push('\n');
    for kind in kinds {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{}: {}", kind.name(), kind.meaning());
    }
    text
}

fn text(done: &Verification) -> String {
    let mut text = String::new();
    if !done.findings.is_empty() {
        text = findings(&done.findings);
        text.push('\n');
    }
    let verdict = match (done.findings.len(), done.findings.iter().map(lost).sum::<u64>()) {
        (0, _) => "sound".to_owned(),
        (faults, 0) => format!("{}, no request lost", table::count(faults as u64, "fault")),
        (faults, lost) => {
            let faults = table::count(faults as u64, "fault");
            format!("{faults}, {} lost", table::count(lost, "request"))
        }
    };
    let _written = writeln!(
        text,
        "{verdict}: {} in {}, {} read{}",
        table::count(done.records, "request"),
        table::count(done.segments, "segment"),
        table::size(done.read_bytes),
        if done.gone == 0 {
            String::new()
        } else {
            format!(", {} deleted by the server meanwhile", table::count(done.gone, "segment"))
        }
    );
    text
}

/// One finding for scripts.
pub(super) fn finding(finding: &Finding) -> Value {
    json!({
        "segment": finding.segment,
        "fault": finding.kind.name(),
        "meaning": finding.kind.meaning(),
        "path": finding.path.display().to_string(),
        "start": finding.start,
        "end": finding.end,
        "lost_first_seq": finding.lost.map(|(first, _)| first),
        "lost_last_seq": finding.lost.map(|(_, last)| last),
    })
}

fn document(done: &Verification) -> Value {
    json!({
        "sound": done.findings.is_empty(),
        "segments": done.segments,
        "requests": done.records,
        "raw_bytes": done.raw_bytes,
        "read_bytes": done.read_bytes,
        "gone_meanwhile": done.gone,
        "lost_requests": done.findings.iter().map(lost).sum::<u64>(),
        "faults": done.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
