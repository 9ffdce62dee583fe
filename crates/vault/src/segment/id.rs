//! Which segment, and what its file is called.

use std::fmt;
use std::path::Path;
use std::path::PathBuf;

/// The number of a segment; order among segments is order of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub(crate) u64);

impl SegmentId {
    /// Makes one of its number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

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
pub(crate) const EXTENSION_NEW: &str = "tmp";
/// Extension of a spare or a segment being written.
pub(crate) const EXTENSION_OPEN: &str = "open";
/// Extension of a sealed segment.
pub(crate) const EXTENSION_SEALED: &str = "gsv";

/// Builds a segment's path.
pub(crate) fn segment_path(dir: &Path, id: SegmentId, extension: &str) -> PathBuf {
    dir.join(format!("seg-{:020}.{extension}", id.0))
}

/// Splits a segment's file name into number and extension.
pub(crate) fn parse_name(name: &str) -> Option<(SegmentId, &str)> {
    let (digits, extension) = name.strip_prefix("seg-")?.split_once('.')?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = if is_number { SegmentId(digits.parse().ok()?) } else { return None };
    if SEGMENT_MAX < id.0 {
        return None;
    }
    Some((id, extension))
}
