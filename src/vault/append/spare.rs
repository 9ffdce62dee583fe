//! Segments before their first record: numbers, names, and how a spare is made durable.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::vault::fs::Access;
use crate::vault::fs::File;
use crate::vault::fs::FileSystem;

/// The number of a segment; order among segments is order of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub(in crate::vault) u64);

impl SegmentId {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Where a segment stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Takes records.
    Open,
    /// Takes no more records; its footer is not written.
    Closed,
    /// Has its footer and its final name.
    Sealed,
    /// Set aside: some of it was damaged. Its good records are still read; never deleted by itself.
    Quarantined,
}

/// Largest number a segment can have: no vault lives to reach it, and there is always a next one.
const SEGMENT_MAX: u64 = 1 << 62;

/// Extension of a file that holds nothing yet.
pub(in crate::vault) const EXTENSION_NEW: &str = "tmp";
/// Extension of a spare or a segment being written.
pub(in crate::vault) const EXTENSION_OPEN: &str = "open";
/// Extension of a sealed segment.
pub(in crate::vault) const EXTENSION_SEALED: &str = "gsv";

/// Builds a segment's path.
pub(in crate::vault) fn segment_path(dir: &Path, id: SegmentId, extension: &str) -> PathBuf {
    dir.join(format!("seg-{:020}.{extension}", id.0))
}

/// Splits a segment's file name into number and extension.
pub(in crate::vault) fn parse_name(name: &str) -> Option<(SegmentId, &str)> {
    let (digits, extension) = name.strip_prefix("seg-")?.split_once('.')?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = if is_number { SegmentId(digits.parse().ok()?) } else { return None };
    if SEGMENT_MAX < id.0 {
        return None;
    }
    Some((id, extension))
}

/// A prepared, empty segment.
#[derive(Debug)]
pub(in crate::vault) struct Spare {
    pub(in crate::vault) id: SegmentId,
    pub(in crate::vault) path: PathBuf,
    pub(in crate::vault) file: Arc<dyn File>,
    pub(in crate::vault) bytes: u64,
}

/// Makes a spare and everything that leads to it durable.
pub(in crate::vault) fn create_spare(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
    bytes: u64,
) -> io::Result<Spare> {
    let new = segment_path(dir, id, EXTENSION_NEW);
    let path = segment_path(dir, id, EXTENSION_OPEN);
    let file = files.create(&new, Access::Direct)?;
    let made = file
        .allocate(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| files.rename(&new, &path))
        .and_then(|()| files.sync_dir(dir));
    if let Err(error) = made {
        // Nothing refers to it; what stays behind here is taken away at the next start.
        drop(files.remove(&new));
        drop(files.remove(&path));
        return Err(error);
    }
    Ok(Spare { id, path, file: file.into(), bytes })
}
