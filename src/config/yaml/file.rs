//! The bytes of a configuration file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::diagnosis::Problem;
use crate::config::yaml::parse::TEXT_BYTES_MAX;
use crate::tree::Mark;

/// Reads a file that is no longer than a document may be.
///
/// # Errors
///
/// The problem: unreadable, or too large.
pub(in crate::config) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |source| Problem::Unreadable { source };
    let file = File::open(path).map_err(unreadable)?;
    let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if TEXT_BYTES_MAX < bytes.len() {
        return Err(Problem::TooLarge { bytes: bytes.len(), max_bytes: TEXT_BYTES_MAX });
    }
    Ok(bytes)
}

/// Returns the place of a byte in a text, in characters as far as it is UTF-8.
pub(in crate::config) fn mark_of_byte(bytes: &[u8], idx: usize) -> Mark {
    let before = String::from_utf8_lossy(bytes.get(..idx).unwrap_or(bytes)).into_owned();
    let lines_len = before.matches('\n').count();
    let column_idx = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let count = |value: usize| u32::try_from(value + 1).unwrap_or(u32::MAX);
    Mark { line: count(lines_len), column: count(column_idx) }
}
