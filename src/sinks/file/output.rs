//! The file that is written to: found again when it was moved or removed, and begun anew at a size or
//! an age.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use super::rotation;

/// A file that cannot be begun anew is written on, and tried again after this long.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// When the sink starts a new file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    /// Old files to keep; 0 keeps all.
    pub(super) keep: usize,
}

/// Appends lines; whole lines only go into one file.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    rules: Rules,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// Not a pipe or a device, of which there is only what is written.
    is_regular: bool,
    begun: SystemTime,
    /// Not before this, because it failed.
    rotate_after: Option<Instant>,
}

impl OutputFile {
    /// Opens the file for appending, creating it and its directory if need be.
    ///
    /// A line torn by a crash is ended, so that the next one stands on its own.
    ///
    /// # Errors
    ///
    /// Also for a pipe that nobody reads.
    pub(super) fn open(path: PathBuf, rules: Rules) -> io::Result<Self> {
        let file = open(&path)?;
        let metadata = file.metadata()?;
        let mut opened = Self {
            path,
            rules,
            identity: identity(&metadata),
            is_regular: metadata.is_file(),
            begun: SystemTime::now(),
            rotate_after: None,
            file,
        };
        if opened.is_regular && metadata.len() > 0 {
            opened.begun = metadata.modified()?;
            if !ends_with_newline(&opened.file, metadata.len())? {
                opened.file.write_all(b"\n")?;
            }
        }
        Ok(opened)
    }

    /// Appends one line, which `write` writes with its newline, in as many pieces as it likes; begins
    /// a new file first if it is time, or if `bytes_max` more would not fit.
    ///
    /// # Errors
    ///
    /// Nothing of the line is there then, unless it went into a pipe or to a device.
    pub(super) fn append(
        &mut self,
        bytes_max: u64,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        if !self.is_regular {
            return write(&mut self.file);
        }
        // Asked each time: somebody else may have cut it, as logrotate's `copytruncate` does.
        let mut bytes = self.file.metadata()?.len();
        if self.is_full(bytes, bytes_max) {
            self.try_rotate();
            bytes = self.file.metadata()?.len();
        }
        let written = write(&mut self.file);
        if written.is_err() && self.file.metadata()?.len() > bytes {
            self.file.set_len(bytes)?;
        }
        written
    }

    /// Looks whether the path still leads to this file, and opens it again if not.
    ///
    /// # Errors
    ///
    /// When it cannot be opened again; lines would go where nobody finds them.
    pub(super) fn look(&mut self) -> io::Result<Option<GoneFile>> {
        let is_there =
            fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_there { Ok(None) } else { self.reopen().map(Some) }
    }

    /// Opens the path again; returns what became of the file before.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn reopen(&mut self) -> io::Result<GoneFile> {
        let removed_bytes = self.removed_bytes()?;
        *self = Self::open(self.path.clone(), self.rules)?;
        Ok(GoneFile { path: self.path.clone(), removed_bytes })
    }

    /// Whether the file has no name any more: what is written to it is lost when it is closed.
    pub(super) fn is_removed(&self) -> bool {
        self.is_regular && self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    fn removed_bytes(&self) -> io::Result<u64> {
        Ok(if self.is_removed() { self.file.metadata()?.len() } else { 0 })
    }

    /// Syncs what was written to the device. What cannot be synced is written, and that is all.
    pub(super) fn sync(&self) -> io::Result<()> {
        if !self.is_regular {
            return Ok(());
        }
        match self.file.sync_data() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }

    fn is_full(&self, bytes: u64, more: u64) -> bool {
        let is_old = || self.begun.elapsed().unwrap_or_default() >= self.rules.age;
        let may = self.rotate_after.is_none_or(|after| Instant::now() >= after);
        // What lies there is the system's, and not a file of ours to give another name.
        let is_system = self.path.starts_with("/dev") || self.path.starts_with("/proc");
        let is_due = bytes > 0 && (bytes.saturating_add(more) > self.rules.bytes || is_old());
        is_due && may && !is_system
    }

    /// Begins a new file. If that fails the old one is written on: no line is lost for that.
    fn try_rotate(&mut self) {
        let told = match self.rotate() {
            Ok(()) => {
                self.rotate_after = None;
                real_path(&self.path)
                    .and_then(|path| rotation::prune(&path, self.rules.keep))
                    .map_err(|error| (error, "Cannot delete old files."))
            }
            Err(error) => {
                self.rotate_after = Some(Instant::now() + ROTATE_AGAIN_AFTER);
                Err((error, "Cannot rotate the file; the sink continues to write to it."))
            }
        };
        if let Err((error, what)) = told {
            let path = self.path.display();
            tracing::warn!(%path, %error, "{what}");
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let path = real_path(&self.path)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let old = rotation::next_name(&path, now)?;
        fs::rename(&path, &old)?;
        match open(&path).and_then(|file| Ok((file.metadata()?, file))) {
            Ok((metadata, file)) => {
                self.identity = identity(&metadata);
                self.is_regular = metadata.is_file();
                self.file = file;
                self.begun = SystemTime::now();
                Ok(())
            }
            Err(error) => {
                fs::rename(&old, &path)?;
                Err(error)
            }
        }
    }
}

/// The file behind a link: that one is rotated, where it lies, and the link stays.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(path)?.is_symlink() {
        fs::canonicalize(path)
    } else {
        Ok(path.to_owned())
    }
}

/// A file that was there before and is not any more.
#[derive(Debug)]
pub(super) struct GoneFile {
    pub(super) path: PathBuf,
    /// Bytes that went with it, if it was removed and not moved.
    pub(super) removed_bytes: u64,
}

fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return open_special(path);
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().create(true).append(true).read(true).open(path)
}

/// Opens a pipe or a device, for writing only: a pipe that nobody reads is an error then, and not a
/// place for lines that nobody will ever see.
fn open_special(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = OpenOptions::new().append(true).custom_flags(flags).open(path)?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags.difference(OFlags::NONBLOCK))?;
    Ok(file)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn ends_with_newline(file: &File, len: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, len - 1)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn rules(bytes: u64, keep: usize) -> Rules {
        Rules { bytes, age: Duration::from_hours(1), keep }
    }

    fn append(file: &mut OutputFile, line: &str) -> io::Result<()> {
        file.append(line.len() as u64, |out| out.write_all(line.as_bytes()))
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
        let mut file = OutputFile::open(dir.path().join("sub/x.jsonl"), rules(10, 0)).unwrap();
        for line in ["a23456\n", "b2\n", "c23456789012345\n", "d\n"] {
            append(&mut file, line).unwrap();
        }
        assert_eq!(files(&dir.path().join("sub")), ["a23456\nb2\n", "c23456789012345\n", "d\n"]);
    }

    #[test]
    fn a_file_is_rotated_at_its_age_which_a_restart_does_not_reset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let mut file = OutputFile::open(path.clone(), rules(1 << 20, 0)).unwrap();
        append(&mut file, "a\n").unwrap();
        append(&mut file, "b\n").unwrap();
        assert_eq!(files(dir.path()), ["a\nb\n"], "it is young");
        let long_ago = SystemTime::now() - Duration::from_mins(61);
        File::options().append(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let mut file = OutputFile::open(path, rules(1 << 20, 0)).unwrap();
        append(&mut file, "c\n").unwrap();
        append(&mut file, "d\n").unwrap();
        assert_eq!(files(dir.path()), ["a\nb\n", "c\nd\n"]);
    }

    #[test]
    fn a_link_stays_and_the_file_behind_it_is_rotated_where_it_lies() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = dir.path().join("x.jsonl");
        std::os::unix::fs::symlink(disk.path().join("x.jsonl"), &link).unwrap();
        let mut file = OutputFile::open(link.clone(), rules(1, 1)).unwrap();
        for line in ["a\n", "b\n", "c\n"] {
            append(&mut file, line).unwrap();
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(files(disk.path()), ["b\n", "c\n"]);
        assert_eq!(
            (files(dir.path()), file.look().unwrap().is_none()),
            (vec!["c\n".to_owned()], true)
        );
    }

    #[test]
    fn only_the_newest_old_files_are_kept_and_nothing_foreign_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.jsonl.notes"), "mine").unwrap();
        fs::write(dir.path().join("x.jsonl.1"), "logrotate's").unwrap();
        // Of a clock that was ahead.
        fs::write(dir.path().join("x.jsonl.9999999999.000000000"), "z\n").unwrap();
        let mut file = OutputFile::open(dir.path().join("x.jsonl"), rules(1, 2)).unwrap();
        for line in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
            append(&mut file, line).unwrap();
        }
        assert_eq!(files(dir.path()), ["c\n", "d\n", "e\n", "logrotate's", "mine"]);
    }

    #[test]
    fn a_torn_line_is_ended_when_the_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        let mut file = OutputFile::open(path.clone(), rules(1000, 0)).unwrap();
        append(&mut file, "{}\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "{\"torn\n{}\n");
    }

    #[test]
    fn of_a_line_that_fails_half_way_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let mut file = OutputFile::open(path.clone(), rules(1000, 0)).unwrap();
        append(&mut file, "1\n").unwrap();
        let half = |out: &mut File| {
            out.write_all(b"{\"first piece\":")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        file.append(100, half).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        append(&mut file, "2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.jsonl");
        let mut file = OutputFile::open(path.clone(), rules(1000, 0)).unwrap();
        append(&mut file, "1\n").unwrap();
        assert!(file.look().unwrap().is_none());
        fs::rename(&path, dir.path().join("moved")).unwrap();
        assert_eq!(file.look().unwrap().unwrap().removed_bytes, 0);
        append(&mut file, "2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(fs::read_to_string(dir.path().join("moved")).unwrap(), "1\n");
        fs::remove_dir_all(dir.path().join("sub")).unwrap();
        assert!(file.is_removed());
        assert_eq!(file.look().unwrap().unwrap().removed_bytes, 2);
        append(&mut file, "3\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        // Somebody else's `create`.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "theirs\n").unwrap();
        file.look().unwrap().unwrap();
        append(&mut file, "4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n4\n");
        fs::remove_dir_all(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub"), "in the way").unwrap();
        assert!(file.look().is_err(), "what cannot be found again is an error");
    }

    #[test]
    fn a_rotation_that_fails_is_no_failed_write() {
        if rustix::process::geteuid().is_root() {
            // Root may rename where it may not write, but not over what is no directory.
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.jsonl");
            let mut file = OutputFile::open(path.clone(), rules(1, 0)).unwrap();
            append(&mut file, "1\n").unwrap();
            fs::rename(&path, dir.path().join("moved")).unwrap();
            append(&mut file, "2\n").unwrap();
            assert_eq!(fs::read_to_string(dir.path().join("moved")).unwrap(), "1\n2\n");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let mut file = OutputFile::open(path.clone(), rules(1, 0)).unwrap();
        append(&mut file, "1\n").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        append(&mut file, "2\n").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
    }

    #[test]
    fn pipes_and_devices_are_written_and_not_synced() {
        use std::io::Read as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_bits_truncate(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(OutputFile::open(path.clone(), rules(1, 1)).is_err(), "nobody reads it");
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut file = OutputFile::open(path, rules(1, 1)).unwrap();
        for line in ["a\n", "b\n", "c\n"] {
            append(&mut file, line).unwrap();
            file.sync().unwrap();
            assert!(file.look().unwrap().is_none());
        }
        let mut text = [0; 6];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"a\nb\nc\n");
        let mut null = OutputFile::open("/dev/null".into(), rules(1, 1)).unwrap();
        append(&mut null, "a\n").unwrap();
        null.sync().unwrap();
        let mut full = OutputFile::open("/dev/full".into(), rules(1, 1)).unwrap();
        assert!(append(&mut full, "a\n").is_err());
    }
}
