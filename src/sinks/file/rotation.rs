//! A file that is begun anew at a size or an age.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// When a new file is begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    /// Old files to keep; 0 keeps all.
    pub(super) keep: usize,
}

/// Appends lines; whole lines only go into one file.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    rules: Rules,
    file: File,
    written_bytes: u64,
    begun: SystemTime,
}

impl RotatingFile {
    /// Opens the file for appending, creating it and its directory if need be.
    ///
    /// A line torn by a crash is ended, so that the next one stands on its own.
    pub(super) fn open(path: PathBuf, rules: Rules) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
        let metadata = file.metadata()?;
        let mut written_bytes = metadata.len();
        if written_bytes > 0 && !ends_with_newline(&file, written_bytes)? {
            file.write_all(b"\n")?;
            written_bytes += 1;
        }
        let begun = if written_bytes > 0 { metadata.modified()? } else { SystemTime::now() };
        Ok(Self { path, rules, file, written_bytes, begun })
    }

    /// Appends one line, ending with its newline; begins a new file first if it is time.
    ///
    /// After an error the line may be there in part: it is ended when the file is opened again.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let is_full = self.written_bytes + line.len() as u64 > self.rules.bytes;
        let is_old = self.begun.elapsed().unwrap_or_default() >= self.rules.age;
        if self.written_bytes > 0 && (is_full || is_old) {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.written_bytes += line.len() as u64;
        Ok(())
    }

    /// Syncs what was written to the device.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let mut now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut old = self.named(now);
        while old.exists() {
            now += Duration::from_nanos(1);
            old = self.named(now);
        }
        fs::rename(&self.path, &old)?;
        self.file = OpenOptions::new().create(true).append(true).read(true).open(&self.path)?;
        self.written_bytes = 0;
        self.begun = SystemTime::now();
        self.prune()
    }

    /// The name of a file that ends at `time`; names sort by time.
    fn named(&self, time: Duration) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.{:09}", time.as_secs(), time.subsec_nanos()));
        self.path.with_file_name(name)
    }

    /// Deletes the oldest files beyond the number to keep.
    fn prune(&self) -> io::Result<()> {
        if self.rules.keep == 0 {
            return Ok(());
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let mut old = Vec::new();
        for entry in fs::read_dir(dir.unwrap_or(Path::new(".")))? {
            let path = entry?.path();
            let suffix = path.file_name().and_then(|file| file.to_str()?.strip_prefix(&name));
            let is_ours = suffix.is_some_and(|suffix| {
                let digits = suffix.strip_prefix('.').unwrap_or_default();
                !digits.is_empty()
                    && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            });
            if is_ours {
                old.push(path);
            }
        }
        old.sort();
        let surplus = old.len().saturating_sub(self.rules.keep);
        old.iter().take(surplus).try_for_each(fs::remove_file)
    }
}

fn ends_with_newline(file: &File, len: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;

    let mut last = [0];
    file.read_exact_at(&mut last, len - 1)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(bytes: u64, keep: usize) -> Rules {
        Rules { bytes, age: Duration::from_hours(1), keep }
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_file_is_rotated_before_the_line_that_would_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(dir.path().join("sub/x.jsonl"), rules(10, 0)).unwrap();
        for line in ["a23456\n", "b2\n", "c23456789012345\n", "d\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(files(&dir.path().join("sub")), ["a23456\nb2\n", "c23456789012345\n", "d\n"]);
    }

    #[test]
    fn only_the_newest_old_files_are_kept_and_nothing_foreign_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.jsonl.notes"), "mine").unwrap();
        let mut file = RotatingFile::open(dir.path().join("x.jsonl"), rules(1, 2)).unwrap();
        for line in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(files(dir.path()), ["c\n", "d\n", "e\n", "mine"]);
    }

    #[test]
    fn a_torn_line_is_ended_when_the_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        let mut file = RotatingFile::open(path.clone(), rules(1000, 0)).unwrap();
        file.append(b"{}\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "{\"torn\n{}\n");
    }
}
