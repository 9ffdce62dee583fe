//! `cargo bench --bench archive`: what a segment of the vault becomes as an object, and how fast; beside it
//! the stock `zstd` tool on the same file.
//!
//! Both work on one thread. Speed is by processor time, not by the clock, so that others on the machine do not
//! count; of rounds in turns the median is printed. Ours also verifies every record, and takes the BLAKE3 and the
//! CRC-32 of file and object; the tool does neither.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints figures, or stops"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use gophership_archive::FrameOptions;
use gophership_archive::encode;
use gophership_otlp::Signal;
use gophership_otlp::demo::{demo_logs, demo_metrics, demo_traces};
use gophership_vault::AppendError;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::RecordCompression;
use gophership_vault::SealedSegment;
use gophership_vault::Writer;
use rustix::param::clock_ticks_per_second;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

type Done = Box<dyn FnOnce(Result<Receipt, AppendError>) + Send>;

const SEGMENT_BYTES: u64 = 64 << 20;
const RECORDS: usize = 100;
const ROUNDS: usize = 5;
const START_UNIX_NS: u64 = 1_700_000_000_000_000_000;

/// Fills a vault until a segment is sealed, and returns that and the bytes of its requests.
fn segment(dir: &Path, compression: RecordCompression) -> (SealedSegment, u64) {
    let mut options = Options::new(dir);
    options.segment_bytes = SEGMENT_BYTES;
    options.segment_age_max = Duration::from_hours(1);
    options.compression = compression;
    let (writer, _) = Writer::<Done>::open(options).unwrap();
    let path = dir.join("seg-00000000000000000001.gsv");
    let mut number = 0;
    while !path.exists() {
        let at = START_UNIX_NS + number * 1_000_000;
        let (signal, payload) = match number % 3 {
            0 => (Signal::Logs, demo_logs(RECORDS, number, at)),
            1 => (Signal::Traces, demo_traces(RECORDS, number, at)),
            _ => (Signal::Metrics, demo_metrics(RECORDS, number, at)),
        };
        let (tell, told) = channel();
        let done: Done = Box::new(move |stored| tell.send(stored).unwrap());
        let record =
            NewRecord { signal: signal as u8, received_unix_ns: at, attrs: &[], payload: &payload };
        assert!(writer.try_append(record, done).is_ok(), "the vault has room");
        told.recv().unwrap().unwrap();
        number += 1;
    }
    let segment = SealedSegment::open(&path).unwrap();
    let mut raw_bytes = 0;
    segment.for_each_note(|note| raw_bytes += note.payload_bytes).unwrap();
    (segment, raw_bytes)
}

/// What an encoder made of a segment: the bytes of the object, and processor seconds.
type Figure = (u64, f64);

/// Makes an object as the sink does.
fn ours(segment: &SealedSegment, target: &Path, options: FrameOptions) -> Figure {
    let seconds = || clock_gettime(ClockId::ThreadCPUTime);
    let began = seconds();
    let encoded = encode(segment, target, options, || ControlFlow::Continue(())).unwrap();
    let ended = seconds();
    let nanos = (ended.tv_sec - began.tv_sec) * 1_000_000_000 + (ended.tv_nsec - began.tv_nsec);
    (encoded.object.bytes, nanos as f64 / 1e9)
}

/// The same of the stock tool; nothing without it.
fn stock(segment: &SealedSegment, target: &Path, options: FrameOptions) -> Option<Figure> {
    let began = children_seconds();
    let mut command = Command::new("zstd");
    command.args(["--single-thread", "-q", "-f", &format!("-{}", options.level)]);
    if options.is_long_distance {
        command.arg(format!("--long={}", options.window_log));
    }
    let status = command.arg(&segment.path).arg("-o").arg(target).status().ok()?;
    assert!(status.success());
    Some((fs::metadata(target).unwrap().len(), children_seconds() - began))
}

/// The processor time of the children that have ended, to 10 ms.
fn children_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program may have spaces.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    ticks as f64 / clock_ticks_per_second() as f64
}

/// Both in turns; of each the median time.
fn compare(
    segment: &SealedSegment,
    target: &Path,
    options: FrameOptions,
) -> (Figure, Option<Figure>) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(ours(segment, target, options));
        other.extend(stock(segment, target, options));
    }
    let median = |mut figures: Vec<Figure>| {
        figures.sort_by(|a, b| a.1.total_cmp(&b.1));
        figures.get(figures.len() / 2).copied()
    };
    (median(own).unwrap(), median(other))
}

fn main() {
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("object.zst");
    for (name, compression) in [("lz4", RecordCompression::Lz4), ("none", RecordCompression::None)]
    {
        let vault = tempfile::tempdir().unwrap();
        let (segment, raw_bytes) = segment(vault.path(), compression);
        let file_bytes = segment.file_bytes;
        println!(
            "a segment of {} MiB, compression {name}: {} MiB of requests",
            file_bytes >> 20,
            raw_bytes >> 20
        );
        for level in [1, 3, 6, 9] {
            for is_long_distance in [false, true] {
                let options = FrameOptions { level, window_log: 22, is_long_distance };
                let row = |who: &str, (bytes, seconds): (u64, f64)| {
                    println!(
                        "  {who:<5} level {level} long {is_long_distance:<5} {:>7.1} MB/s per core  ratio {:>6.2} of the \
                         file, {:>6.2} of the requests",
                        file_bytes as f64 / seconds / 1e6,
                        file_bytes as f64 / bytes as f64,
                        raw_bytes as f64 / bytes as f64,
                    );
                };
                let (own, other) = compare(&segment, &target, options);
                row("ours", own);
                match other {
                    Some(figures) => row("stock", figures),
                    None => println!("  the tool `zstd` is not there: no comparison"),
                }
            }
        }
    }
}
