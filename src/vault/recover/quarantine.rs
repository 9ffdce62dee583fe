//! Quarantine: damaged segments are set aside with a report, never deleted.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::vault::append::spare::SegmentId;
use crate::vault::buffer::AlignedBuffer;
use crate::vault::format::BLOCK_BYTES;
use crate::vault::format::BLOCK_LEN;
use crate::vault::fs::Access;
use crate::vault::fs::File;
use crate::vault::fs::FileSystem;
use crate::vault::read::scan::Fault;
use crate::vault::read::scan::FaultKind;

/// Folder of what was set aside.
pub(in crate::vault) const QUARANTINE_DIR: &str = "quarantine";

/// Largest torn tail that is copied; a group of ordinary records is far smaller.
const TORN_COPY_BYTES_MAX: u64 = 4 << 20;

#[derive(serde::Serialize)]
struct Report<'a> {
    segment: u64,
    file: &'a str,
    faults: Vec<ReportedFault>,
}

#[derive(serde::Serialize)]
struct ReportedFault {
    kind: FaultKind,
    start: u64,
    end: u64,
    lost_first_seq: Option<u64>,
    lost_last_seq: Option<u64>,
}

/// Moves a segment into quarantine and writes its report; returns the new path.
///
/// A report that cannot be written (a full disk) is left out: the move needs no new block.
pub(in crate::vault) fn set_aside(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
    path: &Path,
    faults: &[Fault],
) -> io::Result<PathBuf> {
    let folder = dir.join(QUARANTINE_DIR);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let target = folder.join(name);
    if target != path {
        files.rename(path, &target)?;
        files.sync_dir(&folder)?;
        files.sync_dir(dir)?;
    }
    let report = write_report(files, &folder, id, &name.to_string_lossy(), faults);
    if let Err(error) = report {
        tracing::warn!(%error, segment = %id, "Quarantine report could not be written.");
    }
    Ok(target)
}

fn write_report(
    files: &dyn FileSystem,
    folder: &Path,
    id: SegmentId,
    file: &str,
    faults: &[Fault],
) -> io::Result<()> {
    let report = |fault: &Fault| ReportedFault {
        kind: fault.kind,
        start: fault.start,
        end: fault.end,
        lost_first_seq: fault.lost.map(|(first, _)| first),
        lost_last_seq: fault.lost.map(|(_, last)| last),
    };
    let report = Report { segment: id.get(), file, faults: faults.iter().map(report).collect() };
    let text = serde_json::to_vec_pretty(&report)?;
    write_new(files, folder, &format!("seg-{:020}.json", id.get()), &text)
}

/// Copies a tail that was never completed, before its place is used for the footer. Returns whether
/// the copy is whole.
pub(in crate::vault) fn keep_torn_tail(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
    file: &dyn File,
    start: u64,
    end: u64,
) -> io::Result<bool> {
    if TORN_COPY_BYTES_MAX < end - start {
        return Ok(false);
    }
    let from = start - start % BLOCK_BYTES;
    let len = usize::try_from(end - from).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut buffer = AlignedBuffer::new(len.next_multiple_of(BLOCK_LEN))?;
    let count = file.read_at(&mut buffer, from)?.min(len);
    let skip = usize::try_from(start - from).map_err(|_| io::ErrorKind::InvalidInput)?;
    let tail = buffer.get(skip..count).unwrap_or_default();
    let folder = dir.join(QUARANTINE_DIR);
    write_new(files, &folder, &format!("seg-{:020}-{start}.torn", id.get()), tail)?;
    Ok(true)
}

fn write_new(files: &dyn FileSystem, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    match files.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = files.create(&path, Access::Buffered)?;
    file.write_at(bytes, 0)?;
    file.sync_all()?;
    files.sync_dir(folder)
}
