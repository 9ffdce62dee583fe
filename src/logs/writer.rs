//! Writes log lines on a thread of its own.
//!
//! ```text
//!   whoever logs --> queue, bounded in bytes --> thread "log" --> standard error
//! ```
//!
//! A line that finds the queue full is dropped and counted. What cannot be written now (its reader is
//! gone, the disk is full) is tried again, and what was dropped meanwhile is told when lines are
//! written again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Condvar;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::repeat::RepeatLimit;
use crate::metrics::LogMetrics;

/// How often the thread looks whether repeated lines are to be told.
const TICK: Duration = Duration::from_secs(1);
/// Pauses between attempts to write what could not be written.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// What a waiting line takes beside its text.
const LINE_COST_BYTES: usize = 32;

/// Where log lines are put. Cheap to clone; putting a line never waits and never fails.
#[derive(Clone)]
pub struct LogWriter {
    queue: Arc<Queue>,
    repeats: Arc<RepeatLimit>,
}

struct Queue {
    state: Mutex<State>,
    /// Wakes the thread.
    filled: Condvar,
    /// Wakes whoever waits until everything is written.
    changed: Condvar,
    bytes_max: usize,
    metrics: LogMetrics,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread has a line in its hands.
    is_writing: bool,
    /// The last attempt to write failed.
    is_failing: bool,
    /// Lines dropped since that was told last.
    dropped: u64,
}

impl LogWriter {
    /// Starts the thread that writes to `out`; at most `bytes_max` bytes of lines wait.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        out: File,
        bytes_max: usize,
        metrics: LogMetrics,
        repeats: Arc<RepeatLimit>,
    ) -> io::Result<Self> {
        let queue = Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            changed: Condvar::new(),
            bytes_max,
            metrics,
        };
        let writer = Self { queue: Arc::new(queue), repeats };
        let thread = writer.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.write_on(out))?;
        Ok(writer)
    }

    /// Puts text as it is, with a newline at its end.
    pub fn put(&self, text: &str) {
        let mut line = text.trim_end().as_bytes().to_vec();
        line.push(b'\n');
        self.queue.push(line);
    }

    /// Waits until everything is written, at most for a time. Ends at once if nothing can be written.
    pub fn flush(&self, within: Duration) {
        self.repeats.tell(Instant::now(), Duration::ZERO);
        let deadline = Instant::now() + within;
        let mut state = self.queue.lock();
        while !state.is_failing && (state.is_writing || !state.lines.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _is_late = self.queue.changed.wait_for(&mut state, left);
        }
    }

    /// The thread: never returns, and ends with the process.
    fn write_on(self, mut out: File) {
        loop {
            if let Some(line) = self.queue.next(TICK) {
                self.queue.write(&mut out, &line);
                self.queue.tell_dropped();
            }
            self.repeats.tell(Instant::now(), RepeatLimit::TELL_EVERY);
        }
    }
}

impl Queue {
    fn push(&self, line: Vec<u8>) {
        let cost = line.len() + LINE_COST_BYTES;
        let mut state = self.lock();
        if state.bytes + cost > self.bytes_max {
            state.dropped += 1;
            drop(state);
            return self.metrics.dropped.inc();
        }
        state.bytes += cost;
        state.lines.push_back(line);
        drop(state);
        self.filled.notify_one();
    }

    /// Takes a line out, or returns `None` when there is none for a while.
    fn next(&self, wait: Duration) -> Option<Vec<u8>> {
        let mut state = self.lock();
        if state.lines.is_empty() {
            let _is_late = self.filled.wait_for(&mut state, wait);
        }
        let line = state.lines.pop_front()?;
        state.bytes -= line.len() + LINE_COST_BYTES;
        state.is_writing = true;
        Some(line)
    }

    /// Writes a line, however often it takes: meanwhile the queue fills up, and no more than that.
    #[expect(
        clippy::disallowed_methods,
        reason = "what is written of a line is not written again, and this thread has nothing else to do"
    )]
    fn write(&self, out: &mut impl Write, line: &[u8]) {
        let (mut rest, mut pause) = (line, RETRY_MIN);
        while !rest.is_empty() {
            let failed = match out.write(rest) {
                Ok(written) if written > 0 => {
                    rest = rest.get(written..).unwrap_or_default();
                    continue;
                }
                Ok(_nothing) => io::ErrorKind::WriteZero,
                Err(error) => error.kind(),
            };
            match failed {
                io::ErrorKind::Interrupted => continue,
                // Somebody made the pipe non-blocking, and its reader is slow.
                io::ErrorKind::WouldBlock => {}
                _ => {
                    self.metrics.errors.inc();
                    self.settle(|state| state.is_failing = true);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MAX);
        }
        self.settle(|state| (state.is_writing, state.is_failing) = (false, false));
    }

    /// Changes what those who flush wait for.
    fn settle(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Tells how many lines were dropped, as soon as there is room for the line that tells it.
    fn tell_dropped(&self) {
        let mut state = self.lock();
        if state.dropped == 0 || state.bytes > self.bytes_max / 2 {
            return;
        }
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        tracing::warn!(dropped, "Dropped log lines, because standard error was too slow.");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// One log line; it is put into the queue as a whole.
pub struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::metrics::Metrics;

    const SOON: Duration = Duration::from_secs(10);

    fn start(out: File, bytes_max: usize) -> (LogWriter, LogMetrics) {
        let metrics = Metrics::new().log.clone();
        let repeats = Arc::new(RepeatLimit::new(metrics.suppressed.clone()));
        (LogWriter::start(out, bytes_max, metrics.clone(), repeats).unwrap(), metrics)
    }

    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        let file = |fd: std::os::fd::OwnedFd| File::from(fd);
        (file(reader.into()), file(writer.into()))
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (mut reader, out) = pipe();
        let (writer, metrics) = start(out, 1 << 20);
        for number in 0..100 {
            writer.put(&format!("line {number}"));
        }
        writer.flush(SOON);
        let mut text = vec![0; 790];
        reader.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let expected: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(metrics.dropped.get(), 0);
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_drops_are_counted() {
        let (mut reader, out) = pipe();
        let (writer, metrics) = start(out, 4096);
        let line = "x".repeat(1023);
        // A pipe holds 64 KiB, and the queue 4 KiB.
        for _ in 0..1000 {
            writer.put(&line);
        }
        let begun = Instant::now();
        writer.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < SOON);
        let dropped = metrics.dropped.get();
        assert!((900..1000).contains(&dropped), "{dropped}");
        let kept = usize::try_from(1000 - dropped).unwrap();
        let mut text = vec![0; kept * 1024];
        reader.read_exact(&mut text).unwrap();
        writer.flush(SOON);
        assert_eq!(writer.queue.lock().dropped, 0, "it was told when lines are written again");
        assert_eq!(writer.queue.lock().bytes, 0);
    }

    #[test]
    fn a_closed_pipe_is_counted_and_tried_again() {
        let (reader, out) = pipe();
        drop(reader);
        let (writer, metrics) = start(out, 4096);
        writer.put("nobody reads this");
        let deadline = Instant::now() + SOON;
        while metrics.errors.get() < 2 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        // It gives up at once, for it would wait in vain.
        writer.flush(SOON * 100);
    }
}
