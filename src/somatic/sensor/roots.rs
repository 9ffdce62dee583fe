//! Where the kernel shows its files.

use std::path::PathBuf;

/// Where the kernel shows its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The process file system.
    pub proc: PathBuf,
    /// The folder of cgroups: a tree of the second version, or one folder for each controller of
    /// the first.
    pub cgroup: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), cgroup: PathBuf::from("/sys/fs/cgroup") }
    }
}
