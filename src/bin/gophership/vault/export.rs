//! `gophership vault export`: stored requests to files or to an endpoint.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use gophership_http_client::Answer;
use gophership_otlp::Signal;
use gophership_vault::StoredRecord;

use super::Failure;
use super::args::ExportArgs;
use super::endpoint::ExportClient;
use super::exit;
use super::files::Files;
use super::progress::Progress;
use super::records;
use super::records::Records;
use super::table;
use super::through::Through;
use crate::complain;

/// Requests on their way at the same time.
const IN_FLIGHT_MAX: usize = 8;
/// Above this nothing goes beside what is on its way: of the largest requests, each goes alone.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// The pause between attempts doubles from the shortest to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What became of an export.
#[derive(Debug, Default)]
struct Outcome {
    exported: u64,
    rejected: u64,
    rejected_records: u64,
    files: Vec<String>,
    /// The seq to go on with, when it did not get to the end.
    next_seq: Option<u64>,
    gave_up: Option<String>,
}

pub(super) fn run(args: &ExportArgs) -> Result<u8, Failure> {
    let target = args.place.find(args.filter.deadletter)?;
    let through = Through::new(args)?;
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let throttle = args.manners.throttle(&target)?;
    let records = Records::open(&target, &args.filter)?;
    let mut records = records.give_way(throttle, &is_interrupted).through(through);
    let mut progress = Progress::new(args.quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure { code: crate::exit::UNAVAILABLE, text: error.to_string() })?;
    watch_signals(&runtime, &is_interrupted)?;
    let outcome = if is_endpoint(&args.to) {
        let endpoint = ExportClient::new(args)?;
        runtime.block_on(send_all(args, endpoint, &mut records, &mut progress, &is_interrupted))?
    } else {
        write_all(args, &mut records, &mut progress, &is_interrupted)?
    };
    drop(progress);
    runtime.shutdown_background();
    report(args, &outcome, records.filtered())?;
    Ok(match &outcome {
        Outcome { gave_up: Some(_), .. } => crate::exit::UNAVAILABLE,
        Outcome { next_seq: Some(_), .. } => exit::INTERRUPTED,
        Outcome { rejected: 0, rejected_records: 0, .. } => records.code(),
        _ => exit::FAULTS,
    })
}

/// Whether `--to` means an endpoint. `backend:4317` does too, and gets an error that says how to write
/// it, instead of a directory of that name.
fn is_endpoint(to: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
    let has_port = || to.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    to.contains("://") || (has_port() && !to.contains('/') && !Path::new(to).exists())
}

fn watch_signals(
    runtime: &tokio::runtime::Runtime,
    is_interrupted: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    use tokio::signal::unix::SignalKind;
    use tokio::signal::unix::signal;

    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut stream = signal(kind)?;
        let is_interrupted = Arc::clone(is_interrupted);
        runtime.spawn(async move {
            stream.recv().await;
            is_interrupted.store(true, Ordering::Release);
        });
    }
    Ok(())
}

fn write_all(
    args: &ExportArgs,
    records: &mut Records,
    progress: &mut Progress,
    is_interrupted: &AtomicBool,
) -> Result<Outcome, Failure> {
    let mut files = Files::create(Path::new(&args.to), args.format, args.file_size.bytes())?;
    let mut outcome = Outcome::default();
    let mut pace = Pace::new(args);
    while let Some(record) = records.next(progress)? {
        if is_interrupted.load(Ordering::Acquire) {
            outcome.next_seq = Some(record.seq);
            break;
        }
        if let Some(pause) = pace.pause() {
            std::thread::park_timeout(pause);
        }
        match files.write(&record)? {
            Ok(()) => outcome.exported += 1,
            Err(reason) => {
                outcome.rejected += 1;
                records.complain_of(&record, &reason);
            }
        }
    }
    let finished = files.finish()?;
    outcome.files = finished.iter().map(|path| path.display().to_string()).collect();
    Ok(outcome)
}

/// What all deliveries share.
struct Shared {
    endpoint: ExportClient,
    give_up_after: Duration,
    /// When the endpoint last took something, or the export began.
    last_taken: Mutex<Instant>,
}

impl Shared {
    fn note_taken(&self) {
        *self.last_taken.lock() = Instant::now();
    }

    /// How long ago the endpoint last gave an answer for good.
    fn idle(&self) -> Duration {
        self.last_taken.lock().elapsed()
    }
}

/// What became of one request.
struct Done {
    seq: u64,
    bytes: usize,
    answer: Answer,
    /// It was denied while others were taken.
    is_alone: bool,
}

/// Requests on their way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<Done>,
    seqs: BTreeSet<u64>,
    bytes: usize,
}

impl UnderWay {
    fn has_room(&self) -> bool {
        self.tasks.len() < IN_FLIGHT_MAX && self.bytes < IN_FLIGHT_BYTES_MAX
    }

    fn send(&mut self, shared: &Arc<Shared>, signal: Signal, record: StoredRecord) {
        self.bytes += record.payload.len();
        self.seqs.insert(record.seq);
        self.tasks.spawn(deliver(Arc::clone(shared), signal, record));
    }

    /// Books everything that has ended.
    fn settle(&mut self, outcome: &mut Outcome) {
        while let Some(joined) = self.tasks.try_join_next() {
            self.book(outcome, joined);
        }
    }

    /// Waits a moment for one to end.
    async fn wait(&mut self, outcome: &mut Outcome) {
        let ended = tokio::time::timeout(LOOK_EVERY, self.tasks.join_next()).await;
        if let Ok(Some(joined)) = ended {
            self.book(outcome, joined);
        }
    }

    fn book(&mut self, outcome: &mut Outcome, joined: Result<Done, tokio::task::JoinError>) {
        let Ok(done) = joined else { return };
        self.bytes -= done.bytes;
        if book(outcome, &done) {
            self.seqs.remove(&done.seq);
        }
    }
}

async fn send_all(
    args: &ExportArgs,
    endpoint: ExportClient,
    records: &mut Records,
    progress: &mut Progress,
    is_interrupted: &AtomicBool,
) -> Result<Outcome, Failure> {
    let give_up_after = args.give_up_after.get();
    let last_taken = Mutex::new(Instant::now());
    let shared = Arc::new(Shared { endpoint, give_up_after, last_taken });
    let mut outcome = Outcome::default();
    let (mut under_way, mut pace) = (UnderWay::default(), Pace::new(args));
    let mut is_at_end = false;
    while !is_at_end || !under_way.seqs.is_empty() {
        under_way.settle(&mut outcome);
        if is_interrupted.load(Ordering::Acquire) || outcome.gave_up.is_some() {
            break;
        }
        if is_at_end || !under_way.has_room() {
            under_way.wait(&mut outcome).await;
            continue;
        }
        let Some(record) = records.next(progress)? else {
            is_at_end = true;
            continue;
        };
        let Some(signal) = records::signal(&record) else {
            outcome.rejected += 1;
            records.complain_of(&record, "has an unknown signal, skipped");
            continue;
        };
        if let Some(pause) = pace.pause() {
            tokio::time::sleep(pause).await;
        }
        under_way.send(&shared, signal, record);
    }
    // What is on its way may or may not arrive; it is sent again by whoever goes on.
    under_way.tasks.abort_all();
    if is_interrupted.load(Ordering::Acquire) || outcome.gave_up.is_some() {
        outcome.next_seq = match under_way.seqs.first() {
            Some(seq) => Some(*seq),
            None => records.next(progress)?.map(|record| record.seq),
        };
    }
    Ok(outcome)
}

/// Books what became of a request; returns whether it is settled.
fn book(outcome: &mut Outcome, done: &Done) -> bool {
    let seq = done.seq;
    match &done.answer {
        Answer::Delivered { rejected, message } => {
            outcome.exported += 1;
            outcome.rejected_records += rejected;
            if 0 < *rejected {
                let rejected = table::count(*rejected, "record");
                complain(&format!(
                    "seq {seq}: the endpoint rejected {rejected} of the request: {message}"
                ));
            }
            true
        }
        Answer::Rejected { reason } => {
            outcome.rejected += 1;
            complain(&format!("seq {seq}: the endpoint rejected the request: {reason}"));
            true
        }
        Answer::Denied { reason } if done.is_alone => {
            outcome.rejected += 1;
            complain(&format!(
                "seq {seq}: the endpoint refused the request and accepted others: {reason}"
            ));
            true
        }
        Answer::Retry { reason, .. } | Answer::Denied { reason } => {
            outcome.gave_up.get_or_insert_with(|| reason.clone());
            false
        }
    }
}

/// Sends a request until the endpoint has answered it for good, or it is time to give up.
async fn deliver(shared: Arc<Shared>, signal: Signal, record: StoredRecord) -> Done {
    let (seq, bytes) = (record.seq, record.payload.len());
    let mut pause = PAUSE_MIN;
    let begun = Instant::now();
    loop {
        let answer = shared.endpoint.send(signal, record.payload.clone()).await;
        // An endpoint that takes others refuses this one for what it is.
        let is_alone = matches!(answer, Answer::Denied { .. }) && shared.idle() < begun.elapsed();
        let after = match &answer {
            Answer::Retry { after, .. } => *after,
            Answer::Denied { .. } if !is_alone => None,
            Answer::Denied { .. } => return Done { seq, bytes, answer, is_alone },
            Answer::Delivered { .. } | Answer::Rejected { .. } => {
                shared.note_taken();
                return Done { seq, bytes, answer, is_alone };
            }
        };
        if shared.give_up_after <= shared.idle() {
            return Done { seq, bytes, answer, is_alone };
        }
        let wait = after.unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Keeps to a rate: request `n` is not sent before `n / rate` seconds have passed.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(args: &ExportArgs) -> Self {
        let rate = args.rate.map(|rate| u32::try_from(rate.get()).unwrap_or(u32::MAX));
        Self { interval: rate.map(|rate| Duration::from_secs(1) / rate), next: Instant::now() }
    }

    fn pause(&mut self) -> Option<Duration> {
        let interval = self.interval?;
        let now = Instant::now();
        let pause = self.next.saturating_duration_since(now);
        self.next = self.next.max(now) + interval;
        (!pause.is_zero()).then_some(pause)
    }
}

fn report(args: &ExportArgs, outcome: &Outcome, filtered: Option<u64>) -> Result<(), Failure> {
    let text = || {
        let mut lines = outcome.files.clone();
        let requests = table::count(outcome.exported, "request");
        lines.push(format!("{requests} exported; none was marked as delivered"));
        if let Some(filtered) = filtered.filter(|filtered| 0 < *filtered) {
            lines.push(format!("{} dropped by transforms", table::count(filtered, "request")));
        }
        if 0 < outcome.rejected + outcome.rejected_records {
            let rejected = table::count(outcome.rejected, "request");
            let records = table::count(outcome.rejected_records, "record");
            lines.push(format!("{rejected} rejected, and {records} of other requests"));
        }
        format!("{}\n", lines.join("\n"))
    };
    table::print(args.output, text, || {
        json!({
            "exported": outcome.exported,
            "rejected": outcome.rejected,
            "rejected_records": outcome.rejected_records,
            "filtered": filtered,
            "files": outcome.files,
            "next_seq": outcome.next_seq,
            "gave_up": outcome.gave_up,
        })
    })?;
    if let Some(reason) = &outcome.gave_up {
        complain(&format!(
            "error: {} accepted no request within --give-up-after: {reason}",
            args.to
        ));
    }
    if let Some(seq) = outcome.next_seq {
        let place = if is_endpoint(&args.to) { "" } else { " and a new directory" };
        complain(&format!(
            "all requests before seq {seq} are exported; continue with --seq {seq}..{place}"
        ));
    }
    Ok(())
}
