//! `cargo bench --bench vault [DIRECTORY]`: what the vault costs beside what its disk and its
//! compressor cost alone. Ratios are from one run: both sides take turns on the same machine.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a tool for the terminal")]
#![expect(clippy::unwrap_used, reason = "a benchmark that meets an error may end")]

use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use gophership_vault::{
    AppendError, Completion, Durability, NewRecord, Options, Reader, Receipt, RecordCompression,
    Throttle, VerifyOptions, Writer, verify,
};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

const REQUEST_BYTES: usize = 250 << 10;
const BLOCK: usize = 4096;
const ROUNDS: usize = 5;
const SENDERS: usize = 16;

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = given.map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let dir = tempfile::tempdir_in(place).unwrap();
    let requests = requests();
    written(dir.path(), &requests);
    synced(dir.path(), &requests, RecordCompression::None);
    synced(dir.path(), &requests, RecordCompression::Lz4);
    latency(dir.path(), &requests);
    reading(dir.path(), &requests);
}

/// Requests that look like logs: the words repeat, the numbers do not.
fn requests() -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(7);
    let services = ["checkout", "cart", "payment", "search", "shipping"];
    let request = |_| {
        let mut bytes = Vec::with_capacity(REQUEST_BYTES);
        while bytes.len() < REQUEST_BYTES {
            let service = services[random.usize(..services.len())];
            let (id, took, item) = (random.u64(..), random.u32(..5000), random.u32(..100_000));
            let line = format!(
                "severity_text=INFO service.name={service} http.request.method=GET \
                 trace_id={id:016x} http.route=/api/v1/items/{item} took_ms={took} order placed"
            );
            bytes.extend_from_slice(line.as_bytes());
        }
        bytes.truncate(REQUEST_BYTES);
        Bytes::from(bytes)
    };
    (0..16).map(request).collect()
}

struct Bare {
    table: CompressTable,
    packed: Vec<u8>,
    aligned: memmap2::MmapMut,
    file: std::fs::File,
    offset: u64,
}

impl Bare {
    fn new(path: &Path, bytes: u64) -> Self {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
        let file = options.open(path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
        file.sync_all().unwrap();
        Self {
            table: CompressTable::large(),
            packed: vec![0; get_maximum_output_size(REQUEST_BYTES)],
            aligned: memmap2::MmapMut::map_anon(4 << 20).unwrap(),
            file,
            offset: 0,
        }
    }

    /// Compresses, checksums and writes one request.
    fn append(&mut self, request: &[u8]) {
        let len = compress_into_with_table(request, &mut self.packed, &mut self.table).unwrap();
        std::hint::black_box(crc32fast::hash(request));
        std::hint::black_box(crc32fast::hash(&self.packed[..len]));
        self.aligned[..len].copy_from_slice(&self.packed[..len]);
        let padded = len.next_multiple_of(BLOCK);
        self.file.write_all_at(&self.aligned[..padded], self.offset).unwrap();
        self.offset += padded as u64;
    }

    /// Writes and syncs bytes that are there already.
    fn commit(&mut self, bytes: usize) {
        self.file.write_all_at(&self.aligned[..bytes], self.offset).unwrap();
        self.file.sync_data().unwrap();
        self.offset += bytes as u64;
    }
}

struct Done(mpsc::Sender<Result<Receipt, AppendError>>);

impl Completion for Done {
    fn complete(self, result: Result<Receipt, AppendError>) {
        self.0.send(result).unwrap();
    }
}

fn open(
    dir: &Path,
    name: &str,
    durability: Durability,
    compression: RecordCompression,
) -> Writer<Done> {
    let mut options = Options::new(dir.join(name));
    options.max_bytes = 32 << 30;
    options.durability = durability;
    options.compression = compression;
    Writer::open(options).unwrap().0
}

fn append(writer: &Writer<Done>, payload: &Bytes, mut done: Done) {
    loop {
        let record = NewRecord { signal: 1, received_unix_ns: 0, attrs: &[0; 8], payload };
        match writer.try_append_shared(record, payload, done) {
            Ok(()) => return,
            Err(refused) => done = refused.done,
        }
        std::thread::park_timeout(Duration::from_micros(50));
    }
}

fn rate(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64() / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One sender at level `written` beside the bare loop.
fn written(dir: &Path, requests: &[Bytes]) {
    const COUNT: usize = 400;
    let bytes = COUNT * REQUEST_BYTES;
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let writer = open(dir, "written", Durability::Written, RecordCompression::Lz4);
    for _ in 0..ROUNDS {
        let mut loop_ = Bare::new(&dir.join("bare"), bytes as u64);
        let started = Instant::now();
        (0..COUNT).for_each(|idx| loop_.append(&requests[idx % requests.len()]));
        let bare_rate = rate(bytes, started.elapsed());
        let (to, answers) = mpsc::channel();
        let started = Instant::now();
        for idx in 0..COUNT {
            append(&writer, &requests[idx % requests.len()], Done(to.clone()));
        }
        assert!(answers.iter().take(COUNT).all(|answer| answer.is_ok()));
        let our_rate = rate(bytes, started.elapsed());
        ratios.push(our_rate / bare_rate);
        ours.push(our_rate);
        bare.push(bare_rate);
    }
    println!(
        "written, 1 sender, 250 KiB requests: {:.0} MB/s raw, bare loop {:.0} MB/s, ratio {:.2}",
        median(ours),
        median(bare),
        median(ratios)
    );
}

/// Sixteen senders at level `synced` beside the device's own rate for commits of that size.
fn synced(dir: &Path, requests: &[Bytes], compression: RecordCompression) {
    const WITHIN: Duration = Duration::from_secs(2);
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut compressor, mut limit_ratios) = (Vec::new(), Vec::new());
    let writer = open(dir, &format!("synced-{compression:?}"), Durability::Synced, compression);
    let mut group_bytes = 0;
    for _ in 0..ROUNDS {
        let before = writer.log().segments().iter().map(|info| info.stored_bytes).sum::<u64>();
        let commits_before = writer.stats().commits;
        let started = Instant::now();
        let sent = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (writer, sent) = (&writer, &sent);
                scope.spawn(move || {
                    let (to, answers) = mpsc::channel();
                    let mut idx = sender;
                    while started.elapsed() < WITHIN {
                        append(writer, &requests[idx % requests.len()], Done(to.clone()));
                        assert!(answers.recv().unwrap().is_ok());
                        sent.fetch_add(1, Ordering::Relaxed);
                        idx += 1;
                    }
                });
            }
        });
        let took = started.elapsed();
        let after = writer.log().segments().iter().map(|info| info.stored_bytes).sum::<u64>();
        let commits = writer.stats().commits - commits_before;
        let stored = after - before;
        group_bytes = usize::try_from(stored / commits).unwrap().next_multiple_of(BLOCK);
        let our_rate = rate(usize::try_from(stored).unwrap(), took);
        // The device alone: the vault first reads back what it wrote.
        while 0 < writer.stats().unread_segments {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let mut loop_ = Bare::new(&dir.join("bare"), 4 << 30);
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < WITHIN {
            loop_.commit(group_bytes);
            count += 1;
        }
        let bare_rate = rate(count * group_bytes, started.elapsed());
        let compressor_rate = match compression {
            RecordCompression::Lz4 => compressor_alone(requests),
            RecordCompression::None | RecordCompression::Auto => f64::INFINITY,
        };
        ratios.push(our_rate / bare_rate);
        limit_ratios.push(our_rate / bare_rate.min(compressor_rate));
        compressor.push(compressor_rate);
        ours.push(our_rate);
        bare.push(bare_rate);
        std::fs::remove_file(dir.join("bare")).unwrap();
    }
    println!(
        "synced, {compression:?}, {SENDERS} senders, 250 KiB requests: {:.0} MB/s stored in groups of {} KiB, \
         device alone {:.0} MB/s, ratio {:.2}",
        median(ours),
        group_bytes >> 10,
        median(bare),
        median(ratios)
    );
    if compression == RecordCompression::Lz4 {
        println!(
            "        LZ4 alone on all cores {:.0} MB/s stored, ratio to the slower of it and the device {:.2}",
            median(compressor),
            median(limit_ratios)
        );
    }
}

/// What as many senders get through LZ4 and the checksums when nothing is stored: compressed bytes.
fn compressor_alone(requests: &[Bytes]) -> f64 {
    const WITHIN: Duration = Duration::from_secs(1);
    let (started, stored) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let stored = &stored;
            scope.spawn(move || {
                let mut table = CompressTable::large();
                let mut packed = vec![0; get_maximum_output_size(REQUEST_BYTES)];
                let mut idx = sender;
                while started.elapsed() < WITHIN {
                    let request = &requests[idx % requests.len()];
                    let len = compress_into_with_table(request, &mut packed, &mut table).unwrap();
                    std::hint::black_box(crc32fast::hash(request));
                    std::hint::black_box(crc32fast::hash(&packed[..len]));
                    stored.fetch_add(len as u64, Ordering::Relaxed);
                    idx += 1;
                }
            });
        }
    });
    rate(usize::try_from(stored.into_inner()).unwrap(), started.elapsed())
}

/// Time from an append to its answer, one at a time and sixteen at a time.
fn latency(dir: &Path, requests: &[Bytes]) {
    for (level, durability) in [("written", Durability::Written), ("synced", Durability::Synced)] {
        let writer = open(dir, &format!("latency-{level}"), durability, RecordCompression::Lz4);
        for (bytes, senders) in [(16 << 10, 1), (250 << 10, 1), (16 << 10, SENDERS)] {
            let mut waits: Vec<u64> = std::thread::scope(|scope| {
                let work = |sender: usize| {
                    let writer = &writer;
                    let request = requests[sender % requests.len()].slice(..bytes);
                    move || {
                        let (to, answers) = mpsc::channel();
                        let one = |_| {
                            let started = Instant::now();
                            append(writer, &request, Done(to.clone()));
                            assert!(answers.recv().unwrap().is_ok());
                            u64::try_from(started.elapsed().as_micros()).unwrap()
                        };
                        (0..2000 / senders).map(one).collect::<Vec<u64>>()
                    }
                };
                let threads: Vec<_> = (0..senders).map(|idx| scope.spawn(work(idx))).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            waits.sort_unstable();
            let at = |share: usize| waits[(waits.len() - 1) * share / 1000];
            println!(
                "commit latency, {level}, {senders:>2} x {:>3} KiB: p50 {} us, p99 {} us, p99.9 {} us",
                bytes >> 10,
                at(500),
                at(990),
                at(999)
            );
        }
    }
}

/// Verification and replay of what was written above.
fn reading(dir: &Path, requests: &[Bytes]) {
    const COUNT: usize = 8000;
    let writer = open(dir, "reading", Durability::Written, RecordCompression::Lz4);
    let (to, answers) = mpsc::channel();
    for idx in 0..COUNT {
        append(&writer, &requests[idx % requests.len()], Done(to.clone()));
    }
    assert!(answers.iter().take(COUNT).all(|answer| answer.is_ok()));
    let bytes = COUNT * REQUEST_BYTES;
    let log: Arc<_> = writer.log();
    for round in 0..3 {
        let (started, cpu) = (Instant::now(), cpu_time());
        let mut reader = Reader::open(&log, &format!("bench-{round}")).unwrap();
        let mut count = 0;
        while let Some(record) = reader.next().unwrap() {
            reader.ack(record.seq);
            count += 1;
        }
        assert_eq!(count, COUNT);
        tell("replay", bytes, started.elapsed(), cpu_time().saturating_sub(cpu));
    }
    writer.close().unwrap();
    for _ in 0..3 {
        let (started, cpu) = (Instant::now(), cpu_time());
        let options = VerifyOptions {
            jobs: NonZeroUsize::MIN,
            segment: None,
            read_bytes: Arc::new(AtomicU64::new(0)),
            throttle: Throttle::default(),
            is_cancelled: Arc::default(),
        };
        let verification = verify(&dir.join("reading"), &options).unwrap();
        assert!(verification.findings.is_empty());
        tell("verification, 1 job", bytes, started.elapsed(), cpu_time().saturating_sub(cpu));
    }
}

fn tell(what: &str, bytes: usize, wall: Duration, cpu: Duration) {
    println!(
        "{what}: {:.2} GB/s of raw bytes, {:.2} GB/s per core used",
        rate(bytes, wall) / 1e3,
        rate(bytes, cpu) / 1e3
    );
}

/// Processor time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
