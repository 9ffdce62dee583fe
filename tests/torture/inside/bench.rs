//! A vault on a simulated disk, and what was promised about its records.

use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Refused;
use gophership_vault::Writer;
use gophership_vault_sim::SimFileSystem;

/// The directory of every simulated vault.
pub(super) fn dir() -> PathBuf {
    PathBuf::from("/vault")
}

/// Small everything, so that rotation happens all the time.
pub(super) fn options() -> Options {
    let mut options = Options::new(dir());
    options.segment_bytes = 64 << 10;
    options.max_bytes = 4 << 20;
    options.record_bytes_max = 128 << 10;
    options.staging_bytes = 256 << 10;
    // So small that groups are full and written ahead wherever some records come at once.
    options.group_bytes_max = 8 << 10;
    options
}

/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What became of an append.
pub(super) type Answered = (u64, Result<Receipt, AppendError>);

/// Sends an append's id and answer, and notes the moment in the disk's recording.
pub(super) struct Answer {
    id: u64,
    to: mpsc::Sender<Answered>,
    files: SimFileSystem,
}

impl Completion for Answer {
    fn complete(self, result: Result<Receipt, AppendError>) {
        if result.is_ok() {
            self.files.mark(self.id);
        }
        let _closed = self.to.send((self.id, result));
    }
}

/// A running vault.
pub(super) struct Bench {
    pub(super) writer: Writer<Answer>,
    files: SimFileSystem,
    to: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
}

impl Bench {
    pub(super) fn new(files: &SimFileSystem, writer: Writer<Answer>) -> Self {
        let (to, answers) = mpsc::channel();
        Self { writer, files: files.clone(), to, answers }
    }

    /// Appends without waiting.
    pub(super) fn offer(&self, id: u64, payload: &[u8]) -> Result<(), Refused<Answer>> {
        let attrs = attrs(id);
        let record = NewRecord { signal: 1, received_unix_ns: id, attrs: &attrs, payload };
        let answer = Answer { id, to: self.to.clone(), files: self.files.clone() };
        self.writer.try_append(record, answer)
    }

    /// Waits for one answer.
    pub(super) fn answer(&self) -> Answered {
        self.answers.recv_timeout(PATIENCE).expect("every accepted record is answered")
    }

    /// Appends a group and waits for all of it; returns the ids that were stored.
    pub(super) fn append_all(&self, group: &[(u64, &[u8])]) -> Vec<u64> {
        let taken = group.iter().filter(|(id, payload)| self.offer(*id, payload).is_ok()).count();
        let answers = (0..taken).map(|_| self.answer());
        answers.filter(|(_, answer)| answer.is_ok()).map(|(id, _)| id).collect()
    }
}

/// A record's attributes; a third has none.
pub(super) fn attrs(id: u64) -> Vec<u8> {
    if id.is_multiple_of(3) { Vec::new() } else { id.to_le_bytes().to_vec() }
}

/// A payload that names its id; every second one does not compress.
pub(super) fn payload(id: u64, len: usize) -> Vec<u8> {
    if id.is_multiple_of(2) {
        let mut bytes = vec![0; len];
        fastrand::Rng::with_seed(id).fill(&mut bytes);
        bytes
    } else {
        let text = format!("severity=INFO service=shop request={id} ");
        let mut bytes = text.as_bytes().repeat(len / text.len() + 1);
        bytes.truncate(len);
        bytes
    }
}

/// Waits until something holds; says whether it came to that.
pub(super) fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if deadline < Instant::now() {
            return false;
        }
        std::thread::park_timeout(Duration::from_micros(200));
    }
    true
}

/// Whether a path has this extension.
pub(super) fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}
