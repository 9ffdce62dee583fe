//! Disks to torture: ext4 and XFS on loop devices, small tmpfs, zram; always undone.
//!
//! Every directory has the id of its process in its name: what a run that was killed has left behind
//! is undone by the next one.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NAME: &str = "gophership-torture-";

/// A directory of this run, with whatever is mounted below it; undone when dropped.
pub(super) struct Place {
    dir: PathBuf,
    /// What is mounted, the last one on top.
    mounts: Vec<PathBuf>,
}

impl Place {
    /// Makes a directory in memory, or where temporary files go if there is no such place.
    pub(super) fn new() -> Self {
        Self::below(&base())
    }

    /// Makes a directory on the disk where temporary files go.
    pub(super) fn on_disk() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(base: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        clean();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("{NAME}{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for temporary files takes one more");
        Self { dir, mounts: Vec::new() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Mounts a tmpfs of this size.
    pub(super) fn tmpfs(&mut self, name: &str, bytes: u64) -> PathBuf {
        let size = format!("size={bytes}");
        self.mount(name, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// Mounts a ramfs.
    pub(super) fn ramfs(&mut self, name: &str) -> PathBuf {
        self.mount(name, &["-t", "ramfs", "ramfs"])
    }

    /// Gives a tmpfs another size.
    pub(super) fn resize(at: &Path, bytes: u64) {
        must("mount", &["-o", &format!("remount,size={bytes}"), &text(at)]);
    }

    /// Mounts what lies in a file or on a device.
    pub(super) fn attach(&mut self, name: &str, image: &Path) -> PathBuf {
        let (is_device, image) = (is_device(image), text(image));
        let options: &[&str] = if is_device { &[&image] } else { &["-o", "loop", &image] };
        self.mount(name, options)
    }

    /// Unmounts the newest mount.
    pub(super) fn detach(&mut self) {
        if let Some(at) = self.mounts.pop() {
            unmount(&at);
        }
    }

    fn mount(&mut self, name: &str, arguments: &[&str]) -> PathBuf {
        let at = self.dir.join(name);
        fs::create_dir_all(&at).expect("a directory of this run takes one more");
        let point = text(&at);
        let arguments: Vec<&str> = arguments.iter().copied().chain([point.as_str()]).collect();
        must("mount", &arguments);
        self.mounts.push(at.clone());
        at
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        while !self.mounts.is_empty() {
            self.detach();
        }
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

/// A file system that can be made on a file or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// Makes the file system on a file of this size, or on a device.
    pub(super) fn make(self, image: &Path, bytes: u64) {
        if !is_device(image) {
            let file = fs::File::create(image).expect("a directory of this run takes a file");
            file.set_len(bytes).expect("a sparse file has any size");
        }
        let image = text(image);
        match self {
            Self::Ext4 => must("mkfs.ext4", &["-q", "-F", "-J", "size=4", "-m", "0", &image]),
            Self::Xfs => must("mkfs.xfs", &["-q", "-f", &image]),
        }
    }

    /// The smallest size that its tool accepts, or a little more.
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            Self::Xfs => 320 << 20,
        }
    }
}

/// A compressed disk in memory, that fails when its memory is used up.
pub(super) struct Zram {
    number: String,
}

impl Zram {
    /// Adds a device; says why there is none.
    pub(super) fn add(disk_bytes: u64, memory_bytes: u64) -> Result<Self, String> {
        let added = fs::read_to_string("/sys/class/zram-control/hot_add");
        let number = added.map_err(|error| format!("no zram: {error}"))?.trim().to_owned();
        let zram = Self { number };
        zram.set("disksize", disk_bytes)?;
        zram.set("mem_limit", memory_bytes)?;
        Ok(zram)
    }

    pub(super) fn device(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }

    /// Gives it another limit; none with 0.
    pub(super) fn limit(&self, memory_bytes: u64) -> Result<(), String> {
        self.set("mem_limit", memory_bytes)
    }

    fn set(&self, name: &str, value: u64) -> Result<(), String> {
        let path = format!("/sys/block/zram{}/{name}", self.number);
        fs::write(&path, value.to_string()).map_err(|error| format!("zram {name}: {error}"))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _reset = self.set("reset", 1);
        let _removed = fs::write("/sys/class/zram-control/hot_remove", &self.number);
    }
}

fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn done(program: &str, arguments: &[&str]) -> Result<bool, String> {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| output.status.success()).map_err(|error| format!("{program}: {error}"))
}

fn must(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
}

/// Unmounts; a process that has just ended may hold it for a moment.
fn unmount(at: &Path) {
    for _ in 0..100 {
        if done("umount", &[&text(at)]) == Ok(true) {
            return;
        }
        super::pause(Duration::from_millis(20));
    }
    let _lazily = done("umount", &["-l", &text(at)]);
}

/// Undoes what earlier runs that are dead have left behind.
fn clean() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let dead: Vec<&str> = points.filter(|point| is_of_the_dead(point)).collect();
        for point in dead.into_iter().rev() {
            let _lazily = done("umount", &["-l", point]);
        }
        for base in [base(), std::env::temp_dir()] {
            let entries = fs::read_dir(base).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                if is_of_the_dead(&text(&path)) {
                    let _gone = fs::remove_dir_all(path);
                }
            }
        }
    });
}

/// Whether a path belongs to a run whose process is gone.
fn is_of_the_dead(path: &str) -> bool {
    let Some((_, rest)) = path.split_once(NAME) else { return false };
    let pid = rest.split('-').next().unwrap_or_default();
    pid.parse::<u32>().is_ok_and(|_| !Path::new("/proc").join(pid).exists())
}
