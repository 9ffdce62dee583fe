//! The process under torture: this very program, started again, appending to a vault and telling its
//! parent about every acknowledgement.
//!
//! What it tells goes over its standard output, 17 bytes at a time, so that a message is whole or
//! absent whenever the process dies. It ends well when its standard input is closed.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::Durability;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::Writer;

/// The cursor of the child and of the audit after it.
pub(super) const CURSOR: &str = "torture";
/// Bytes of a message.
pub(super) const MESSAGE_LEN: usize = 17;
/// How long a thread whose record was refused waits.
const AFTER_REFUSAL: Duration = Duration::from_millis(2);
/// Records that each thread has on their way at the same time.
const WINDOW: u64 = 4;
/// Acknowledgements between two saves of the cursor.
const SAVED_EVERY: u64 = 16;

/// What the child tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The vault is open; the id of the process, and how long recovery took in microseconds.
    Ready,
    /// A record was acknowledged: its id and its seq.
    Acknowledged,
    /// A record was read and is about to be acknowledged to the cursor: its id and its seq.
    Delivered,
    /// An accepted record failed: it may or may not exist.
    Failed,
    /// A record was refused: its id, and the milliseconds after which it may come again.
    Refused,
    /// A record came back with other bytes: its seq.
    Altered,
    /// Recovery says that acknowledged records are gone: how many.
    Lost,
}

impl Message {
    const ALL: [Self; 7] = [
        Self::Ready,
        Self::Acknowledged,
        Self::Delivered,
        Self::Failed,
        Self::Refused,
        Self::Altered,
        Self::Lost,
    ];

    /// Reads a message.
    pub(super) fn from_bytes(bytes: [u8; MESSAGE_LEN]) -> (Self, u64, u64) {
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|idx| bytes[from + idx]));
        (Self::ALL[usize::from(bytes[0])], number(1), number(9))
    }

    fn tell(self, first: u64, second: u64) {
        let mut bytes = [0; MESSAGE_LEN];
        let kind = Self::ALL.iter().position(|kind| *kind == self);
        bytes[0] = u8::try_from(kind.unwrap_or_default()).unwrap_or_default();
        bytes[1..9].copy_from_slice(&first.to_le_bytes());
        bytes[9..].copy_from_slice(&second.to_le_bytes());
        // A parent that is gone ends this process by closing its input.
        let _gone = rustix::io::write(std::io::stdout().as_fd(), &bytes);
    }
}

/// What the child is to do; travels as arguments.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) dir: PathBuf,
    pub(super) durability: Durability,
    /// No two tasks on a vault share it.
    pub(super) seed: u64,
    pub(super) segment_bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) threads: u64,
    /// Records that it leaves unread, so that the audit has something to find.
    pub(super) lag: u64,
}

impl Task {
    /// The arguments that [`run`] reads.
    pub(super) fn arguments(&self) -> Vec<String> {
        let level = match self.durability {
            Durability::Memory => "memory",
            Durability::Written => "written",
            Durability::Synced => "synced",
        };
        let numbers =
            [self.seed, self.segment_bytes, self.max_bytes, self.threads, self.lag].into_iter();
        let head = ["--child", "append"].into_iter().map(str::to_owned);
        head.chain([self.dir.display().to_string(), level.to_owned()])
            .chain(numbers.map(|number| number.to_string()))
            .collect()
    }

    fn parse(arguments: &[String]) -> Option<Self> {
        let [dir, level, numbers @ ..] = arguments else { return None };
        let numbers: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
        let [seed, segment_bytes, max_bytes, threads, lag] = numbers[..] else { return None };
        let durability = match level.as_str() {
            "memory" => Durability::Memory,
            "written" => Durability::Written,
            _ => Durability::Synced,
        };
        let dir = PathBuf::from(dir);
        Some(Self { dir, durability, seed, segment_bytes, max_bytes, threads, lag })
    }

    /// The vault it works on.
    pub(super) fn options(&self) -> Options {
        Options {
            max_bytes: self.max_bytes,
            segment_bytes: self.segment_bytes,
            durability: self.durability,
            staging_bytes: 1 << 20,
            record_bytes_max: 128 << 10,
            ..Options::new(&self.dir)
        }
    }
}

/// The payload of a record: whoever knows its id can make it again.
pub(super) fn payload(id: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let len = match random.u32(0..40) {
        0 => random.usize(20_000..60_000),
        1..=3 => random.usize(8..64),
        _ => random.usize(100..4_000),
    };
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.resize(len.max(8), 0);
    // A third compresses well.
    let noisy_len = if random.u8(0..3) == 0 { len.div_ceil(4).max(8) } else { bytes.len() };
    random.fill(&mut bytes[8..noisy_len.max(8)]);
    bytes
}

/// The id of a record that came back as it was appended.
pub(super) fn id_of(payload_found: &[u8]) -> Option<u64> {
    let id = u64::from_le_bytes(*payload_found.first_chunk::<8>()?);
    (payload(id) == payload_found).then_some(id)
}

/// One record on its way.
struct Ack {
    id: u64,
    on_its_way: &'static AtomicU64,
}

impl Completion for Ack {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(receipt) => Message::Acknowledged.tell(self.id, receipt.seq),
            Err(_) => Message::Failed.tell(self.id, 0),
        }
        self.on_its_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs a child if the arguments say so.
pub(crate) fn run() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ["--child", "append"] = [arguments.first()?.as_str(), arguments.get(1)?.as_str()] else {
        return None;
    };
    let task = Task::parse(&arguments[2..]).expect("only this program starts it");
    Some(match append(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    })
}

fn append(task: &Task) -> Result<(), gophership_vault::VaultError> {
    let (writer, report) = Writer::<Ack>::open(task.options())?;
    let micros = u64::try_from(report.elapsed.as_micros()).unwrap_or(u64::MAX);
    Message::Ready.tell(u64::from(std::process::id()), micros);
    if !report.acknowledged_lost.is_empty() {
        Message::Lost.tell(report.lost_records(), 0);
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..task.threads {
            let (writer, is_over) = (&writer, &is_over);
            scope.spawn(move || send(writer, task.seed << 32 | thread << 28, is_over));
        }
        scope.spawn(|| read(&writer, task.lag, &is_over));
        let _ended = std::io::stdin().read(&mut [0]);
        is_over.store(true, Ordering::SeqCst);
    });
    writer.close()
}

/// Appends records whose ids follow `base`, a few at a time.
fn send(writer: &Writer<Ack>, base: u64, is_over: &AtomicBool) {
    let on_its_way: &'static AtomicU64 = Box::leak(Box::default());
    let mut id = base;
    while !is_over.load(Ordering::SeqCst) {
        if WINDOW <= on_its_way.load(Ordering::Acquire) {
            super::pause(Duration::from_micros(50));
            continue;
        }
        let payload = payload(id);
        let record =
            NewRecord { signal: 1, received_unix_ns: id, attrs: b"torture", payload: &payload };
        on_its_way.fetch_add(1, Ordering::AcqRel);
        if let Err(refused) = writer.try_append(record, Ack { id, on_its_way }) {
            on_its_way.fetch_sub(1, Ordering::AcqRel);
            let millis = u64::try_from(refused.retry_after.as_millis()).unwrap_or(u64::MAX);
            Message::Refused.tell(id, if refused.is_retryable() { millis } else { 0 });
            super::pause(AFTER_REFUSAL);
        }
        id += 1;
    }
}

/// Delivers what is more than `lag` records old, so that segments are removed.
fn read(writer: &Writer<Ack>, lag: u64, is_over: &AtomicBool) {
    let Some(mut reader) = patiently(is_over, || Reader::open(&writer.log(), CURSOR).ok()) else {
        return;
    };
    let mut delivered = 0;
    while !is_over.load(Ordering::SeqCst) {
        if reader.backlog().records <= lag {
            super::pause(Duration::from_millis(1));
            continue;
        }
        let Ok(Some(record)) = reader.next() else {
            let _more = reader.wait(Duration::from_millis(5));
            continue;
        };
        match id_of(&record.payload) {
            Some(id) => Message::Delivered.tell(id, record.seq),
            None => Message::Altered.tell(record.seq, 0),
        }
        reader.ack(record.seq);
        delivered += 1;
        if delivered % SAVED_EVERY == 0 {
            // Repeated at the next one.
            let _saved = reader.save();
        }
    }
    // A save that fails costs duplicates, which the audit expects.
    let _saved = reader.save();
}

/// Tries until it works: a disk that fails is no reason to end.
fn patiently<T>(is_over: &AtomicBool, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let done = attempt();
        if done.is_some() || is_over.load(Ordering::SeqCst) {
            return done;
        }
        super::pause(Duration::from_millis(10));
    }
}
