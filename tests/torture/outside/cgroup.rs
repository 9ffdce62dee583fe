//! Control groups of the first version: a limit of memory, a limit of the speed of a disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Suites run at once: in a group that two share, one has the limit and the use of the other.
static MADE: AtomicU64 = AtomicU64::new(0);

const ROOT: &str = "/sys/fs/cgroup";

/// A group of one controller; removed when dropped, when its processes are gone.
pub(super) struct Group {
    dir: PathBuf,
}

impl Group {
    /// Makes a group; says why there is none.
    pub(super) fn new(controller: &str) -> Result<Self, String> {
        let dir = Path::new(ROOT).join(controller);
        if !dir.join("cgroup.procs").exists() {
            return Err(format!("needs the {controller} controller of cgroup v1 at {ROOT}"));
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = dir.join(format!("gophership-torture-{}-{number}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("needs to make a cgroup: {error}"))?;
        Ok(Self { dir })
    }

    /// Sets a value.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), String> {
        fs::write(self.dir.join(name), value).map_err(|error| format!("cgroup {name}: {error}"))
    }

    /// Reads a number: the whole file, or what follows `word` in it.
    pub(super) fn number(&self, name: &str, word: Option<&str>) -> u64 {
        let text = fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let mut words = text.split_whitespace();
        let found = match word {
            Some(word) => words.find(|found| *found == word).and_then(|_| words.next()),
            None => words.next(),
        };
        found.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The words before a program that put it into the group.
    pub(super) fn before(&self) -> Vec<String> {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.dir.display());
        ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            super::pause(Duration::from_millis(20));
        }
    }
}

/// The number of the disk that a directory lies on, as the block controller wants it.
pub(super) fn device_of(dir: &Path) -> Result<String, String> {
    let device = fs::metadata(dir).map_err(|error| error.to_string())?.dev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}
