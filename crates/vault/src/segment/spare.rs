//! Spares: segments before their first record, made durable with everything that leads to them.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::segment::id::EXTENSION_NEW;
use crate::segment::id::EXTENSION_OPEN;
use crate::segment::id::SegmentId;
use crate::segment::id::segment_path;

/// A prepared, empty segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
}

/// Makes a spare and everything that leads to it durable.
pub(crate) fn create_spare(
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
