//! Tests of the whole engine: behaviour, crashes, corruption, full disks, a model.

mod ahead;
mod behaviour;
mod corruption;
mod crash;
mod dropping;
mod full;
mod holds;
mod model;
mod newest;
mod outage;
mod presence;
mod simulator;
mod torn;
mod unreadable;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::Log;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Reader;
use gophership_vault::Receipt;
use gophership_vault::RecoveryReport;
use gophership_vault::StoredRecord;
use gophership_vault::Writer;
use gophership_vault_sim::SimFileSystem;

/// Sends an append's number and answer to the test.
struct Answer {
    id: u64,
    to: mpsc::Sender<(u64, Result<Receipt, AppendError>)>,
}

impl Completion for Answer {
    fn complete(self, result: Result<Receipt, AppendError>) {
        let _closed = self.to.send((self.id, result));
    }
}

/// A vault under test: appends and remembers what was promised.
struct Bench {
    writer: Writer<Answer>,
    to: mpsc::Sender<(u64, Result<Receipt, AppendError>)>,
    answers: mpsc::Receiver<(u64, Result<Receipt, AppendError>)>,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Small everything, so that rotation happens all the time.
fn small_options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = 64 << 10;
    options.max_bytes = 64 << 20;
    options.staging_bytes = 1 << 20;
    options.record_bytes_max = 8 << 20;
    options.read_patience = Duration::ZERO;
    options
}

fn sim_dir() -> PathBuf {
    PathBuf::from("/vault")
}

fn sim_options() -> Options {
    let mut options = small_options(&sim_dir());
    options.max_bytes = 4 << 20;
    options.record_bytes_max = 128 << 10;
    options.staging_bytes = 256 << 10;
    options
}

impl Bench {
    fn new(writer: Writer<Answer>) -> Self {
        let (to, answers) = mpsc::channel();
        Self { writer, to, answers }
    }

    fn open(options: Options) -> (Self, RecoveryReport) {
        let (writer, report) = Writer::open(options).expect("opens");
        (Self::new(writer), report)
    }

    fn open_sim(files: &SimFileSystem, options: Options) -> (Self, RecoveryReport) {
        let (writer, report) = Writer::open_on(&files.shared(), options).expect("opens");
        (Self::new(writer), report)
    }

    /// Appends without waiting; returns whether it was taken.
    fn offer(&self, id: u64, payload: &[u8]) -> bool {
        let attrs = attrs(id);
        let record = NewRecord { signal: 1, received_unix_ns: id, attrs: &attrs, payload };
        self.writer.try_append(record, Answer { id, to: self.to.clone() }).is_ok()
    }

    fn answer(&self) -> (u64, Result<Receipt, AppendError>) {
        self.answers.recv_timeout(PATIENCE).expect("every accepted record is answered")
    }

    /// Appends and waits for the answer.
    fn append(&self, id: u64, payload: &[u8]) -> Result<Receipt, AppendError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.offer(id, payload) {
            assert!(Instant::now() < deadline, "staging never found room");
            std::thread::yield_now();
        }
        self.answer().1
    }
}

fn attrs(id: u64) -> Vec<u8> {
    if id.is_multiple_of(3) { Vec::new() } else { id.to_le_bytes().to_vec() }
}

/// A payload that names its id; half of them do not compress.
fn payload(id: u64, len: usize) -> Vec<u8> {
    let mut state = id | 1;
    if id.is_multiple_of(2) {
        let mut bytes = vec![0; len];
        for chunk in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
        }
        bytes
    } else {
        let text = format!("severity=INFO service=shop request={id} ");
        let mut bytes = text.as_bytes().repeat(len / text.len() + 1);
        bytes.truncate(len);
        bytes
    }
}

/// Recovers without starting a writer and reads everything; also whether damage was noticed.
fn recover_and_read(files: &SimFileSystem) -> (Vec<StoredRecord>, bool) {
    let (log, report) =
        gophership_vault::recover_on(&files.shared(), &sim_dir()).expect("recovers");
    let records = read_all(&log, "test");
    (records, !report.faults.is_empty() || 0 < log.corrupt_records())
}

/// Everything a reader gets now, unacknowledged.
fn read_all(log: &Arc<Log>, cursor: &str) -> Vec<StoredRecord> {
    let mut reader = Reader::open(log, cursor).expect("opens");
    let mut records = Vec::new();
    while let Some(record) = reader.next().expect("reads") {
        reader.ack(record.seq);
        records.push(record);
    }
    records
}

/// Checks records against what was appended under their ids, and that order is kept.
fn check_identical(records: &[StoredRecord], appended: &BTreeMap<u64, Vec<u8>>) {
    for record in records {
        let id = record.received_unix_ns;
        let original = appended.get(&id).expect("nothing is invented");
        assert_eq!(&record.payload[..], &original[..], "record {id} is altered");
        assert_eq!(record.attrs, attrs(id), "attributes of {id} are altered");
    }
    assert!(records.windows(2).all(|pair| pair[0].seq < pair[1].seq), "order is kept");
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
