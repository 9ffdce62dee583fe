//! A small file of the kernel that is looked at again and again: kept open, read into a buffer of
//! the caller, opened again when it is gone.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// A file that cannot be read is opened again this often at most.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// Says when something is due again. A clock that went backward makes it due: the time of the last
/// look means nothing then.
#[derive(Debug)]
pub(super) struct SampleInterval {
    every: Duration,
    last: Option<Instant>,
}

impl SampleInterval {
    /// Due at once, and then this long after it was due the last time.
    pub(super) const fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Whether it is due; if so, it has been done.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_early =
            self.last.is_some_and(|last| last <= now && now.duration_since(last) < self.every);
        if !is_early {
            self.last = Some(now);
        }
        !is_early
    }
}

/// A file with its path, so that it can be opened again.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
    opening: SampleInterval,
}

impl KernelFile {
    /// Opens nothing yet.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None, opening: SampleInterval::new(REOPEN_EVERY) }
    }

    /// The whole lines at the file's begin, as many as the buffer holds; none if there is none.
    ///
    /// A file that cannot be read (the cgroup is gone, the process moved) is opened again.
    pub(super) fn read<'a>(&mut self, now: Instant, buffer: &'a mut [u8]) -> Option<&'a str> {
        loop {
            if self.file.is_none() {
                if !self.opening.is_due(now) {
                    return None;
                }
                self.file = File::open(&self.path).ok();
            }
            if let Some(len) = read_from_start(self.file.as_ref()?, buffer) {
                return whole_lines(buffer.get(..len)?);
            }
            self.file = None;
        }
    }
}

/// How much of the buffer was filled; none if the file cannot be read.
///
/// The kernel may hand out a long file in pieces.
fn read_from_start(file: &File, buffer: &mut [u8]) -> Option<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let len = file.read_at(rest, filled as u64).ok()?;
        filled += len;
        if len == 0 {
            break;
        }
    }
    Some(filled)
}

/// What ends with a line's end: a number that was cut off is a wrong number.
fn whole_lines(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n')?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}

/// The number behind a name that begins a line: `name 17` or `name: 17 kB`.
pub(super) fn number_of(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next()?.trim_end_matches(':') == name).then_some(words.next()?.parse().ok())?
    };
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_pace_is_kept_and_survives_a_clock_that_goes_backward() {
        let (mut pace, start) = (SampleInterval::new(Duration::from_millis(100)), Instant::now());
        let mut due = |millis| pace.is_due(at(start, millis));
        assert!(due(5000));
        assert!(!due(5099));
        assert!(due(5100));
        assert!(due(10), "the clock went backward");
        assert!(!due(50));
        assert!(due(110), "it does not wait until the clock is back where it was");
    }

    #[test]
    fn only_whole_lines_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let (mut file, now) = (KernelFile::new(path.clone()), Instant::now());
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"12345\n", Some("12345")),
            (b"12345", None),
            (b"", None),
            (b"first 1\nsecond 2\nthi", Some("first 1\nsecond 2")),
            (b"first 1\na line that is longer than the buffer\n", Some("first 1")),
            (b"\xff\xfe\n", None),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, content).unwrap();
            assert_eq!(file.read(now, &mut [0; 24]), expected, "{content:?}");
        }
    }

    #[test]
    fn a_file_that_is_gone_is_opened_again_once_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let (mut file, start) = (KernelFile::new(path.clone()), Instant::now());
        let mut read =
            |millis| file.read(at(start, millis), &mut [0; 64]).map(str::len).unwrap_or_default();
        // A folder can be opened but not read, like the file of a cgroup that was removed.
        std::fs::create_dir(&path).unwrap();
        assert_eq!(read(0), 0);
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(read(1000), 0);
        std::fs::write(&path, "17\n").unwrap();
        assert_eq!(read(1999), 0);
        assert_eq!(read(2000), 2);
        // It stays open: what is at the path does not matter any more.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(5000), 2);
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "total_file 1\nfile 22 kB\nMemTotal:  333 kB\nempty\nword abc\nnegative -4";
        assert_eq!(number_of(text, "file"), Some(22));
        assert_eq!(number_of(text, "MemTotal"), Some(333));
        for name in ["empty", "word", "negative", "total", "missing"] {
            assert_eq!(number_of(text, name), None, "{name}");
        }
        assert_eq!(number_of("file 99999999999999999999", "file"), None);
    }
}
