//! Quarantine: damaged segments are set aside with a report, never deleted.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;

/// Folder of what was set aside.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

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
pub(crate) fn set_aside(
    files: &dyn FileSystem,
    dir: &Path,
    id: SegmentId,
    path: &Path,
    faults: &[DamagedRange],
) -> io::Result<PathBuf> {
    let folder = dir.join(QUARANTINE_DIR);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let target = folder.join(name);
    if target != path {
        match files.rename(path, &target) {
            // It was moved by an attempt before, whose sync failed.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && files.open(&target, Access::Buffered).is_ok() => {}
            answer => answer?,
        }
        files.sync_dir(&folder)?;
        files.sync_dir(dir)?;
    }
    let report = write_report(files, &folder, id, &name.to_string_lossy(), faults);
    if let Err(error) = report {
        tracing::warn!(%error, segment = %id, "Cannot write the quarantine report.");
    }
    Ok(target)
}

fn write_report(
    files: &dyn FileSystem,
    folder: &Path,
    id: SegmentId,
    file: &str,
    faults: &[DamagedRange],
) -> io::Result<()> {
    let report = |fault: &DamagedRange| ReportedFault {
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

fn write_new(files: &dyn FileSystem, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = create_new(files, folder, name)?;
    file.write_at(bytes, 0)?;
    file.sync_all()?;
    files.sync_dir(folder)
}

/// Makes a file, in the place of one of that name if there is one.
pub(super) fn create_new(
    files: &dyn FileSystem,
    folder: &Path,
    name: &str,
) -> io::Result<Box<dyn File>> {
    let path = folder.join(name);
    match files.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files.create(&path, Access::Buffered)
}
