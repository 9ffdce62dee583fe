//! The audit log: a JSON object for each change and each refusal, in a file of its own and in the log.
//!
//! One thread writes the file, so a disk that does not answer holds nobody up for long.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::time::Instant;

use gophership_units::unix_ns;
use gophership_units::utc_text;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;

use super::access::Caller;
use super::access::Peer;
use crate::config::AuditConfig;

/// The file, in the data folder; older ones have a number behind it.
const FILE_NAME: &str = "audit.log";
/// Lines that wait for the disk.
const QUEUE_LEN_MAX: usize = 1024;
/// A text of a line, in bytes; what is longer is cut.
const TEXT_LEN_MAX: usize = 1024;
/// The answer to a command waits so long for its line to be written.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Refusals that have a line of their own, each second; the next line has the number of the others.
const REFUSALS_MAX: u32 = 20;
const SECOND: Duration = Duration::from_secs(1);
/// A disk that refuses is told of so often.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    event: &'static str,
    who: &'a str,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    action: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    suppressed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over by reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A change that a client asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// The method.
    pub(super) action: &'a str,
    /// With what arguments.
    pub(super) detail: &'a str,
    /// Why, in the words of the client.
    pub(super) reason: &'a str,
    /// What came of it.
    pub(super) outcome: &'a str,
}

struct Message {
    line: Vec<u8>,
    written: Option<oneshot::Sender<()>>,
}

/// How many refusals there were in the second that began then.
#[derive(Debug)]
struct Rate {
    since: Instant,
    count: u32,
    suppressed: u64,
}

/// The audit log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    queue: SyncSender<Message>,
    refusals: Arc<Mutex<Rate>>,
}

impl AuditLog {
    /// Opens the file in the data folder, and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the system gives no thread.
    pub fn open(data_dir: &Path, config: AuditConfig) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        let file = AuditFile::open(path, config)?;
        let (queue, lines) = sync_channel(QUEUE_LEN_MAX);
        let run = move || file.write_all_of(&lines);
        std::thread::Builder::new().name("audit".to_owned()).spawn(run)?;
        let rate = Rate { since: Instant::now(), count: 0, suppressed: 0 };
        Ok(Self { queue, refusals: Arc::new(Mutex::new(rate)) })
    }

    /// Notes a change, and waits until the line is in the file, at most a second.
    pub(super) async fn change(&self, caller: &Caller, change: Change<'_>) {
        let who = caller.peer.identity.to_string();
        let (from, role) = (caller.peer.from.as_str(), caller.role.name());
        let Change { action, detail, reason, outcome } = change;
        tracing::info!(who, from, role, action, detail, reason, outcome, "Audit: change.");
        let line = Line {
            time: utc_text(unix_ns()),
            event: "change",
            who: cut(&who),
            from: cut(from),
            role: Some(role),
            action: cut(action),
            detail: cut(detail),
            reason: cut(reason),
            outcome: cut(outcome),
            suppressed: 0,
        };
        let (sender, written) = oneshot::channel();
        self.put(&line, Some(sender));
        // The change has been made already; a disk that does not answer is told of in the log.
        let _late = tokio::time::timeout(WRITE_WAIT_MAX, written).await;
    }

    /// Notes that somebody was refused, unless there were many in this second.
    pub(super) fn refuse(&self, peer: &Peer, action: &str, outcome: &str) {
        self.refuse_from(&peer.identity.to_string(), &peer.from, action, outcome);
    }

    /// Notes that somebody was refused who did not prove who he is.
    pub(super) fn refuse_unknown(&self, from: &str, action: &str, outcome: &str) {
        self.refuse_from("unknown", from, action, outcome);
    }

    fn refuse_from(&self, who: &str, from: &str, action: &str, outcome: &str) {
        let Some(suppressed) = self.refusals.lock().next(Instant::now()) else { return };
        tracing::warn!(who, from, action, outcome, suppressed, "Audit: refusal.");
        let line = Line {
            time: utc_text(unix_ns()),
            event: "refusal",
            who: cut(who),
            from: cut(from),
            role: None,
            action: cut(action),
            detail: "",
            reason: "",
            outcome: cut(outcome),
            suppressed,
        };
        self.put(&line, None);
    }

    fn put(&self, line: &Line<'_>, written: Option<oneshot::Sender<()>>) {
        // It has texts and numbers only.
        let Ok(mut line) = serde_json::to_vec(line) else { return };
        line.push(b'\n');
        match self.queue.try_send(Message { line, written }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!(
                    "The disk of audit.log does not answer; a line is in this log only."
                );
            }
        }
    }

    /// Waits until every line is written, at most a second.
    pub async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        let end = Message { line: Vec::new(), written: Some(sender) };
        if self.queue.try_send(end).is_ok() {
            let _late = tokio::time::timeout(WRITE_WAIT_MAX, written).await;
        }
    }
}

impl Rate {
    /// Counts one more; returns how many had no line before it, or nothing if it has none either.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if SECOND <= now.saturating_duration_since(self.since) {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        if REFUSALS_MAX < self.count {
            self.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_LEN_MAX)).unwrap_or(text)
}

/// The file in use, and those before it.
struct AuditFile {
    path: PathBuf,
    file: File,
    len: u64,
    len_max: u64,
    files_max: u32,
    warned: Option<Instant>,
}

impl AuditFile {
    fn open(path: PathBuf, config: AuditConfig) -> io::Result<Self> {
        let file = append_to(&path)?;
        let len = file.metadata()?.len();
        let (len_max, files_max) = (config.max_size.bytes(), config.files.get());
        Ok(Self { path, file, len, len_max, files_max, warned: None })
    }

    fn write_all_of(mut self, lines: &Receiver<Message>) {
        while let Ok(Message { line, written }) = lines.recv() {
            if let Err(error) = self.write(&line) {
                self.warn(&error);
            }
            if let Some(written) = written {
                // Whoever waited may have gone.
                let _gone = written.send(());
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.len_max < self.len.saturating_add(len) && self.len != 0 {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.len = self.len.saturating_add(len);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| self.path.with_file_name(format!("{FILE_NAME}.{number}"));
        for number in (1..self.files_max).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(number - 1) };
            match fs::rename(from, numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files_max == 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = append_to(&self.path)?;
        self.len = self.file.metadata()?.len();
        Ok(())
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|at| WARN_EVERY <= at.elapsed()) {
            self.warned = Some(Instant::now());
            let path = self.path.display();
            tracing::warn!(%path, %error, "Cannot write the audit log; its lines are in this log.");
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn file(dir: &Path, files: u32) -> AuditFile {
        let config = AuditConfig {
            max_size: "64KiB".parse().unwrap(),
            files: NonZeroU32::new(files).unwrap(),
        };
        AuditFile::open(dir.join(FILE_NAME), config).unwrap()
    }

    #[test]
    fn the_files_are_bounded_in_number_and_size_and_the_newest_lines_stay() {
        for (files, names) in [(1, 1), (3, 3)] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = file(dir.path(), files);
            for number in 0..400_u32 {
                let line = format!("{number:>1023}\n");
                log.write(line.as_bytes()).unwrap();
            }
            let all: Vec<_> = fs::read_dir(dir.path()).unwrap().map(Result::unwrap).collect();
            assert_eq!(all.len(), names);
            assert!(all.iter().all(|file| file.metadata().unwrap().len() <= 64 << 10));
            let newest = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
            assert!(newest.ends_with(" 399\n"));
        }
    }

    #[test]
    fn a_file_that_is_there_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), 2).write(b"one\n").unwrap();
        file(dir.path(), 2).write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn many_refusals_have_few_lines_and_all_are_counted() {
        let mut now = Instant::now();
        let mut rate = Rate { since: now, count: 0, suppressed: 0 };
        let lines = (0..100).filter(|_| rate.next(now) == Some(0)).count();
        assert_eq!(lines, 20);
        now += SECOND;
        assert_eq!(rate.next(now), Some(80));
        assert_eq!(rate.next(now), Some(0));
    }

    #[tokio::test]
    async fn a_line_is_json_and_a_long_text_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), AuditConfig::default()).unwrap();
        log.refuse_unknown("127.0.0.1:1\n", "connect", &"x".repeat(5000));
        log.flush().await;
        let text = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["event"], "refusal");
        assert_eq!(line["from"], "127.0.0.1:1\n");
        assert_eq!(line["outcome"].as_str().unwrap().len(), TEXT_LEN_MAX);
    }
}
