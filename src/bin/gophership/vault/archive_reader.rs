//! The requests of an archive: restores one segment after the other, and reads it as tools read a vault.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use gophership_archive::Manifest;
use gophership_restore::RestoreError;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;

use super::Failure;
use super::archive::ArchiveTarget;
use super::archive::failure;
use super::archive::panicked;
use super::args::FilterArgs;
use super::progress::Progress;
use crate::complain;

/// How often progress is drawn while a segment comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Reads the requests of an archive.
pub(super) struct ArchiveReader {
    target: ArchiveTarget,
    selection: RecordSelection,
    left: VecDeque<Manifest>,
    current: Option<Restored>,
    /// Of segments that are read.
    done_bytes: u64,
    total_bytes: u64,
    /// Segments that could not be restored.
    faults: u64,
}

/// A segment that is here; its file goes with it.
pub(super) struct Restored {
    reader: OfflineReader,
    path: PathBuf,
    bytes: u64,
}

impl Drop for Restored {
    fn drop(&mut self) {
        // If it stays, it goes with its folder.
        let _removed = std::fs::remove_file(&self.path);
    }
}

impl ArchiveReader {
    /// Finds the segments that are meant.
    pub(super) fn open(target: &ArchiveTarget, filter: &FilterArgs) -> Result<Self, Failure> {
        let left = VecDeque::from(manifests(target, filter)?);
        Ok(Self {
            target: target.clone(),
            selection: RecordSelection { seqs: filter.seq, ..RecordSelection::default() },
            total_bytes: left.iter().map(|manifest| manifest.raw.bytes).sum(),
            left,
            current: None,
            done_bytes: 0,
            faults: 0,
        })
    }

    /// Segments that could not be restored so far.
    pub(super) const fn faults(&self) -> u64 {
        self.faults
    }

    /// Number of the segment and offset in it of the last request.
    pub(super) fn place(&self) -> (u64, u64) {
        self.current.as_ref().map_or((0, 0), |current| current.reader.place())
    }

    /// The next request or damage; nothing at the end.
    pub(super) fn next(&mut self, progress: &mut Progress) -> Result<Option<OfflineItem>, Failure> {
        loop {
            if let Some(current) = &mut self.current {
                let read_bytes = current.reader.progress_bytes().0;
                progress.show(self.done_bytes + read_bytes, self.total_bytes);
                match current.reader.next()? {
                    Some(item) => return Ok(Some(item)),
                    None => self.done_bytes += current.bytes,
                }
            }
            self.current = None;
            let Some(manifest) = self.left.pop_front() else { return Ok(None) };
            match restore(&self.target, &manifest, progress, self.done_bytes, self.total_bytes)? {
                Ok(path) => {
                    let reader = OfflineReader::open_selected(&path, &self.selection)?;
                    self.current = Some(Restored { reader, path, bytes: manifest.raw.bytes });
                }
                Err(problem) => {
                    self.faults += 1;
                    self.done_bytes += manifest.raw.bytes;
                    let (segment, node) = (manifest.segment, &manifest.node);
                    complain(&format!("damaged: segment {segment} of {node}: {problem}"));
                }
            }
        }
    }
}

/// The segments that may have what a filter selects.
pub(super) fn manifests(
    target: &ArchiveTarget,
    filter: &FilterArgs,
) -> Result<Vec<Manifest>, Failure> {
    if filter.cursor.is_some() || filter.deadletter {
        return Err(Failure::usage(
            "an archive has neither cursors nor dead letters: leave out --cursor and --deadletter",
        ));
    }
    let selection = gophership_restore::Selection {
        since_unix_ns: filter.since.map(|since| since.0),
        until_unix_ns: filter.until.map(|until| until.0),
        signals: filter.signal.map(|signal| signal.name().to_owned()).into_iter().collect(),
        segments: filter.segment,
        vault_id: target.vault_id,
        ..gophership_restore::Selection::default()
    };
    let archive = target.archive.clone();
    let found = target.begin(async move { archive.manifests(&selection).await });
    let manifests = found.recv().map_err(|_| panicked())?.map_err(|error| failure(&error))?;
    let is_everything = filter.signal.is_none()
        && filter.since.is_none()
        && filter.until.is_none()
        && filter.segment.is_none();
    if manifests.is_empty() && is_everything {
        let text = format!(
            "there is no archive at {}: no manifest is below it; check bucket and prefix",
            target.archive.url()
        );
        return Err(Failure { code: crate::exit::NO_INPUT, text });
    }
    Ok(manifests)
}

/// Restores a segment, and draws progress; the inner error is damage of this segment alone.
pub(super) fn restore(
    target: &ArchiveTarget,
    manifest: &Manifest,
    progress: &mut Progress,
    done_bytes: u64,
    total_bytes: u64,
) -> Result<Result<PathBuf, String>, Failure> {
    let came = Arc::new(AtomicU64::new(0));
    let (counted, archive) = (Arc::clone(&came), target.archive.clone());
    let (manifest, folder) = (manifest.clone(), target.folder().to_owned());
    let restored = target.begin(async move {
        let count = |bytes| {
            counted.fetch_add(bytes, Ordering::Relaxed);
        };
        archive.restore(&manifest, &folder, count).await
    });
    let restored = loop {
        match restored.recv_timeout(LOOK_EVERY) {
            Ok(restored) => break restored,
            Err(RecvTimeoutError::Timeout) => {
                progress.show(done_bytes + came.load(Ordering::Relaxed), total_bytes);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(panicked()),
        }
    };
    match restored {
        Ok(segment) => Ok(Ok(segment.path)),
        Err(error) if is_damage(&error) => Ok(Err(gophership_http_client::chain(&error))),
        Err(error) => Err(failure(&error)),
    }
}

/// Whether an error is of one segment, and others may be read.
fn is_damage(error: &RestoreError) -> bool {
    match error {
        RestoreError::Missing { .. } => true,
        RestoreError::Archive(error) => error.is_damage(),
        RestoreError::S3(error) => error.kind == gophership_s3::S3ErrorKind::Checksum,
        _ => false,
    }
}
