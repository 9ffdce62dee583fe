//! Tails that were never completed: copied aside before their place is used, and forgotten with their
//! segment.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::buffer::ReadBuffer;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::segment::id::SegmentId;
use crate::segment::quarantine;
use crate::segment::quarantine::QUARANTINE_DIR;

/// Extension of the copies.
const EXTENSION: &str = "torn";
/// Copies a tail that was never completed, before its place is used for the footer.
pub(crate) fn keep_tail(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
    file: &dyn File,
    tail: Range<u64>,
) -> io::Result<()> {
    let folder = dir.join(QUARANTINE_DIR);
    let name = format!("{}{}.{EXTENSION}", prefix_of(id), tail.start);
    let copy = quarantine::create_new(files, &folder, &name)?;
    let mut buffer = ReadBuffer::new()?;
    let mut from = tail.start - tail.start % BLOCK_BYTES;
    while from < tail.end {
        let count = file.read_at(&mut buffer, from)?;
        if count == 0 {
            break;
        }
        let end = tail.end.min(from + count as u64);
        let start = tail.start.max(from);
        let in_buffer =
            |at: u64| usize::try_from(at - from).map_err(|_| io::ErrorKind::InvalidData);
        let piece = buffer.get(in_buffer(start)?..in_buffer(end)?).unwrap_or_default();
        copy.write_at(piece, start - tail.start)?;
        from += count as u64;
    }
    copy.sync_all()?;
    files.sync_dir(&folder)
}

/// Zeroes the rest of a block, of which a sealed segment keeps the begin: in it stands a part of a
/// group that was never completed, which would look like damage.
pub(crate) fn clear_block_from(file: &dyn File, start: u64) -> io::Result<()> {
    let kept = usize::try_from(start % BLOCK_BYTES).map_err(|_| io::ErrorKind::InvalidInput)?;
    if kept == 0 {
        return Ok(());
    }
    let at = start - start % BLOCK_BYTES;
    let mut window = ReadBuffer::new()?;
    let block = &mut window[..BLOCK_LEN];
    file.read_at(block, at)?;
    block[kept..].fill(0);
    file.write_at(block, at)
}

/// Removes the torn tails of segments that are deleted: nobody was ever promised what is in them.
/// Returns the bytes that are free again.
pub(crate) fn forget_tails(
    files: &dyn FileSystem,
    dir: &Path,
    ids: &[SegmentId],
) -> io::Result<u64> {
    let folder = dir.join(QUARANTINE_DIR);
    let prefixes: Vec<String> = ids.iter().copied().map(prefix_of).collect();
    let mut freed = 0;
    for entry in files.list(&folder)? {
        let is_torn = Path::new(&entry.name).extension().is_some_and(|it| it == EXTENSION);
        if is_torn && prefixes.iter().any(|prefix| entry.name.starts_with(prefix)) {
            files.remove(&folder.join(&entry.name))?;
            freed += entry.bytes;
        }
    }
    Ok(freed)
}

fn prefix_of(id: SegmentId) -> String {
    format!("seg-{:020}-", id.get())
}
