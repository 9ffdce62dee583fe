//! Paths that name a vault, or one segment of it.

use std::path::Path;
use std::path::PathBuf;

use crate::segment::id;
use crate::segment::id::SegmentId;
use crate::segment::quarantine::QUARANTINE_DIR;

/// Splits the path of a vault, or of one segment in it or its quarantine, into both.
#[must_use]
pub fn split_path(path: &Path) -> (PathBuf, Option<SegmentId>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((id, _)) = id::parse_name(&name) else { return (path.to_path_buf(), None) };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if parent.file_name().is_some_and(|name| name == QUARANTINE_DIR) {
        return (parent.join("..").components().collect(), Some(id));
    }
    (parent, Some(id))
}
