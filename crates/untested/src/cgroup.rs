//! Control groups of both versions: a limit of memory, a limit of the speed of a disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Where the kernel's control groups are mounted; with both versions the second one lies in a folder.
const ROOT: &str = "/sys/fs/cgroup";
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const REMOVED_AFTER_TRIES: u32 = 50;

/// Suites run at once: in a group that two share, one has the limit and the use of the other.
static MADE: AtomicU64 = AtomicU64::new(0);

/// The version of a group, which decides the names of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A group of one controller; removed when dropped, when its processes are gone.
#[derive(Debug)]
pub struct ControlGroup {
    dir: PathBuf,
    version: Version,
}

impl ControlGroup {
    /// Makes a group whose processes have this much memory together.
    ///
    /// # Errors
    ///
    /// What is missing for it, in words.
    pub fn with_memory(bytes: u64) -> Result<Self, String> {
        let group = Self::new("memory", "memory")?;
        let name = match group.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        group.set(name, &bytes.to_string())?;
        if group.version == Version::V2 {
            // A group that swaps instead of ending would pass whatever it uses.
            let _without_swap = group.set("memory.swap.max", "0");
        }
        Ok(group)
    }

    /// Makes a group whose processes write this much in a second to the disk of `dir`.
    ///
    /// # Errors
    ///
    /// What is missing for it, in words.
    pub fn with_disk(dir: &Path, bytes: u64) -> Result<Self, String> {
        let group = Self::new("blkio", "io")?;
        let device = device_of(dir)?;
        match group.version {
            Version::V1 => {
                group.set("blkio.throttle.write_bps_device", &format!("{device} {bytes}"))?;
            }
            Version::V2 => group.set("io.max", &format!("{device} wbps={bytes}"))?,
        }
        Ok(group)
    }

    fn new(controller_v1: &str, controller_v2: &str) -> Result<Self, String> {
        let old = Path::new(ROOT).join(controller_v1);
        let (base, version) = if old.join("cgroup.procs").exists() {
            (old, Version::V1)
        } else {
            (unified(controller_v2)?, Version::V2)
        };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("gophership-torture-{}-{number}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("needs to make a cgroup: {error}"))?;
        Ok(Self { dir, version })
    }

    fn set(&self, name: &str, value: &str) -> Result<(), String> {
        let path = self.dir.join(name);
        fs::write(&path, value).map_err(|error| format!("needs to set {}: {error}", path.display()))
    }

    /// How many of its processes the kernel ended because they used all memory of the group.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        self.number(file, "oom_kill")
    }

    /// Memory in use that is no page of a file.
    #[must_use]
    pub fn anonymous_bytes(&self) -> u64 {
        let word = match self.version {
            Version::V1 => "total_rss",
            Version::V2 => "anon",
        };
        self.number("memory.stat", word)
    }

    fn number(&self, file: &str, word: &str) -> u64 {
        number_in(&fs::read_to_string(self.dir.join(file)).unwrap_or_default(), word)
    }

    /// The words before a program that put it into the group.
    #[must_use]
    pub fn before(&self) -> Vec<String> {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.dir.display());
        ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for ControlGroup {
    #[expect(clippy::disallowed_methods, reason = "called on threads of tests only")]
    fn drop(&mut self) {
        for _ in 0..REMOVED_AFTER_TRIES {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where groups of the second version can have this controller.
fn unified(controller: &str) -> Result<PathBuf, String> {
    let lists = |dir: &Path, file: &str| {
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    let mut dirs = UNIFIED.map(PathBuf::from).into_iter();
    let base = dirs.find(|dir| lists(dir, "cgroup.controllers"));
    let base = base.ok_or_else(|| format!("needs the {controller} controller at {ROOT}"))?;
    let control = base.join("cgroup.subtree_control");
    if !lists(&base, "cgroup.subtree_control") {
        fs::write(&control, format!("+{controller}")).map_err(|error| {
            format!("needs to switch {controller} on in {}: {error}", control.display())
        })?;
    }
    Ok(base)
}

/// The number that follows a word.
fn number_in(text: &str, wanted: &str) -> u64 {
    let mut words = text.split_whitespace();
    let found = words.find(|word| *word == wanted).and_then(|_| words.next());
    found.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number of the disk that a directory lies on, as the controllers of disks want it.
///
/// # Errors
///
/// The directory cannot be read.
pub fn device_of(dir: &Path) -> Result<String, String> {
    let device = fs::metadata(dir).map_err(|error| error.to_string())?.dev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_files_of_both_versions() {
        let first = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        let second = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(number_in(first, "oom_kill"), 3);
        assert_eq!(number_in(second, "oom_kill"), 1);
        assert_eq!(number_in("cache 5\ntotal_cache 5\ntotal_rss 4096\n", "total_rss"), 4096);
        assert_eq!(number_in("anon 8192\nfile 4096\n", "anon"), 8192);
        assert_eq!(number_in("", "anon"), 0);
    }
}
