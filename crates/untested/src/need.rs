//! What a test may need of the machine, tried rather than guessed.

use std::fs;
use std::fs::OpenOptions;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::cgroup::ControlGroup;

/// Large enough for any file system that is tried here.
const IMAGE_BYTES: u64 = 64 << 20;
/// A limit that nothing reaches while it is tried.
const LIMIT: u64 = 1 << 30;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All rights of a user.
    Root,
    /// A program.
    Program(&'static str),
    /// `strace`, allowed to trace and to inject.
    Tracing,
    /// ext4 in a file, mounted.
    LoopDevices,
    /// A file system without direct I/O, mounted.
    Ramfs,
    /// A disk of compressed memory.
    Zram,
    /// A control group that bounds memory.
    MemoryLimit,
    /// A control group that bounds the speed of a disk.
    DiskLimit,
}

impl Need {
    /// What is missing here, in words that follow the name of a test; nothing if all is there.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let tried = match self {
            Self::Root => root("for what only root may do"),
            Self::Program(name) => program(name),
            Self::Tracing => tracing(),
            Self::LoopDevices => loop_devices(),
            Self::Ramfs => ramfs(),
            Self::Zram => zram(),
            Self::MemoryLimit => root("to make a cgroup").and_then(|()| {
                ControlGroup::with_memory(LIMIT)?;
                Ok(())
            }),
            Self::DiskLimit => root("to make a cgroup").and_then(|()| {
                ControlGroup::with_disk(&std::env::temp_dir(), LIMIT)?;
                Ok(())
            }),
        };
        tried.err()
    }
}

fn root(purpose: &str) -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(format!("needs root {purpose}")) }
}

fn program(name: &str) -> Result<(), String> {
    let paths = std::env::var("PATH").unwrap_or_default();
    let dirs = paths.split(':').chain(["/sbin", "/usr/sbin"]);
    if dirs.map(|dir| Path::new(dir).join(name)).any(|path| path.is_file()) {
        Ok(())
    } else {
        Err(format!("needs the program {name}"))
    }
}

fn tracing() -> Result<(), String> {
    program("strace")?;
    let tried = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["--trace=close", "--inject=close:delay_enter=1", "true"])
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => Ok(()),
        _ => Err("needs an strace that may trace and inject".to_owned()),
    }
}

fn loop_devices() -> Result<(), String> {
    root("to mount")?;
    if !Path::new("/dev/loop-control").exists() {
        return Err("needs /dev/loop-control".to_owned());
    }
    program("mkfs.ext4")?;
    let scratch = Scratch::new()?;
    let image = scratch.dir.join("image");
    let made = fs::File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
    made.map_err(|error| format!("needs a file in {}: {error}", scratch.dir.display()))?;
    run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
    scratch.mount(&["-o", "loop", &text(&image)])
}

fn ramfs() -> Result<(), String> {
    root("to mount")?;
    let scratch = Scratch::new()?;
    scratch.mount(&["-t", "ramfs", "ramfs"])?;
    if takes_direct_io(&scratch.at()) {
        return Err("needs a ramfs without direct I/O".to_owned());
    }
    Ok(())
}

fn takes_direct_io(dir: &Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    options.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
    options.open(dir.join("probe")).is_ok()
}

fn zram() -> Result<(), String> {
    root("to add a disk")?;
    if Path::new("/sys/class/zram-control/hot_add").exists() {
        Ok(())
    } else {
        Err("needs the kernel module zram".to_owned())
    }
}

/// A directory for a trial, and what is mounted in it; undone when dropped.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Named as the directories of the torture are, which undoes what a run that was killed has left.
    fn new() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("gophership-torture-{}-trial{number}", std::process::id()));
        fs::create_dir_all(dir.join("mount")).map_err(|error| {
            format!("needs a directory for temporary files at {}: {error}", base.display())
        })?;
        Ok(Self { dir })
    }

    fn at(&self) -> PathBuf {
        self.dir.join("mount")
    }

    fn mount(&self, arguments: &[&str]) -> Result<(), String> {
        let at = text(&self.at());
        run("mount", &[arguments, &[&at]].concat())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _not_mounted = run("umount", &[&text(&self.at())]);
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(name: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(name).args(arguments).output();
    let output = output.map_err(|error| format!("needs the program {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("needs {name} to be allowed: {told}"))
}
