//! The files that options name, and whether they are still the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

/// A file that an option names and that is read when its component is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The option inside the component, like `tls.cert`.
    pub option: String,
    /// The file.
    pub path: PathBuf,
    /// The component itself reads the file again when it changes.
    pub is_followed: bool,
}

impl NamedFile {
    /// Makes one that is read once.
    pub fn new(option: impl Into<String>, path: &Path) -> Self {
        Self { option: option.into(), path: path.to_owned(), is_followed: false }
    }

    /// Makes one that the component follows.
    pub fn followed(option: impl Into<String>, path: &Path) -> Self {
        Self { is_followed: true, ..Self::new(option, path) }
    }

    /// Makes those of a group of options that are read once.
    pub fn all_inside<'a>(
        outer: &str,
        files: impl Iterator<Item = (&'static str, &'a Path)>,
    ) -> Vec<Self> {
        files.map(|(option, path)| Self::new(format!("{outer}.{option}"), path)).collect()
    }
}

/// What tells that a file is another one: the file behind all links, its length, and when it was
/// changed, its mode included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl FileStamp {
    /// Looks at a file; `None` if that fails.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Files with their stamps; without one those that could not be looked at.
pub type FileStamps = BTreeMap<PathBuf, Option<FileStamp>>;

/// Opens a file as its component will.
///
/// # Errors
///
/// Why it cannot be read.
pub fn try_open(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}
