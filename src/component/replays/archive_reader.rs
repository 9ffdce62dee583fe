//! Reads the requests of a range from an archive in a bucket: restores one segment at a time into a folder,
//! reads it, and removes it.

use std::collections::VecDeque;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gophership_archive::Manifest;
use gophership_archive::vault_id_text;
use gophership_restore::Archive;
use gophership_restore::RestoreError;
use gophership_restore::Selection;
use gophership_s3::BucketClient;
use gophership_units::ByteSize;
use gophership_vault::OfflineReader;
use gophership_vault::StoredRecord;

use super::chunk::read_chunk;
use super::error::RangeError;
use super::job::JobCounts;
use super::location::ArchiveLocation;
use super::range::ReplayRange;
use crate::pool::Budget;
use crate::pool::Grant;

/// Each request to the bucket is made so often before the segment is put off.
const ATTEMPTS: u32 = 4;
/// To restore a segment takes a window of zstd (8 MiB at most), the piece that came (1 MiB), and what stands
/// between. One `s3` sink leaves that much of its share with the default options.
const RESTORE_BYTES: u64 = (9 << 20) + (640 << 10);
/// The pause after a failure doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What restoring segments takes of the process.
#[derive(Clone, Debug)]
pub struct RestoreRoom {
    /// The memory of whoever moves segments between disk and bucket.
    pub memory: Arc<Budget>,
    /// A folder for one segment at a time; nobody else writes to it.
    pub folder: PathBuf,
}

/// Reads what an archive has when it is opened.
pub(super) struct ArchiveRangeReader {
    archive: Archive,
    range: ReplayRange,
    left: VecDeque<Manifest>,
    open: Option<OpenSegment>,
    folder: Folder,
    passed_bytes: u64,
    total_bytes: u64,
    unusable: u64,
    first_problem: String,
    _memory: Grant,
}

/// A segment that was restored and is being read.
struct OpenSegment {
    reader: OfflineReader,
    file: PathBuf,
    bytes: u64,
}

/// The folder of restored segments; it goes with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // If it stays, the next reader that has it removes what is in it.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

impl ArchiveRangeReader {
    /// Finds the segments that are meant. It tries again for ever while the bucket does not answer; may be
    /// dropped at any time.
    pub(super) async fn open(
        location: &ArchiveLocation,
        room: &RestoreRoom,
        range: ReplayRange,
        counts: &JobCounts,
    ) -> Result<Self, RangeError> {
        let memory = room.memory.try_take(RESTORE_BYTES).ok_or_else(|| RangeError::Memory {
            wanted: ByteSize(RESTORE_BYTES),
            used: ByteSize(room.memory.used()),
            limit: ByteSize(room.memory.limit()),
        })?;
        let folder = prepare(room.folder.clone()).await?;
        let bucket = BucketClient::connect(&location.bucket).await;
        let bucket = bucket.map_err(|source| RangeError::Bucket { url: location.url(), source })?;
        let archive = Archive::new(bucket, location.prefix.clone(), ATTEMPTS);
        let left: VecDeque<_> = list(&archive, &range).await?.into();
        let total_bytes = left.iter().map(|manifest| manifest.raw.bytes).sum();
        counts.read(0, total_bytes);
        Ok(Self {
            archive,
            range,
            left,
            open: None,
            folder,
            passed_bytes: 0,
            total_bytes,
            unusable: 0,
            first_problem: String::new(),
            _memory: memory,
        })
    }

    /// Reads some of what is left; nothing at the end. May be dropped at any time, and the reader with it.
    ///
    /// A segment that can never be restored is passed, and told at the end.
    pub(super) async fn next(
        mut self,
        counts: &Arc<JobCounts>,
    ) -> Result<(Self, Option<Vec<StoredRecord>>), RangeError> {
        if self.open.is_none() && !self.open_next().await? {
            counts.read(self.total_bytes, self.total_bytes);
            if self.unusable == 0 {
                return Ok((self, None));
            }
            return Err(RangeError::Unusable {
                segments: self.unusable,
                first: self.first_problem,
            });
        }
        let Some(mut open) = self.open.take() else { return Ok((self, Some(Vec::new()))) };
        let (range, of_job) = (self.range.clone(), Arc::clone(counts));
        let (open, chunk) = blocking(move || {
            let chunk = read_chunk(&mut open.reader, &range, &of_job);
            (open, chunk)
        })
        .await?;
        let done = open.reader.progress_bytes().0.min(open.bytes);
        match chunk {
            Ok(Some(chunk)) => {
                counts.read(self.passed_bytes + done, self.total_bytes);
                self.open = Some(open);
                return Ok((self, Some(chunk)));
            }
            Ok(None) => {}
            Err(error) => self.pass(error.to_string()),
        }
        self.close(open, counts).await;
        Ok((self, Some(Vec::new())))
    }

    /// Counts a segment without opening it, as far as its manifest says all that is asked; whether it did.
    pub(super) fn count_by_manifest(&mut self, counts: &JobCounts) -> bool {
        if self.open.is_some() {
            return false;
        }
        let Some(known) = self.left.front().and_then(|manifest| self.range.count_of(manifest))
        else {
            return false;
        };
        if let Some(manifest) = self.left.pop_front() {
            counts.add(&known);
            self.passed_bytes += manifest.raw.bytes;
            counts.read(self.passed_bytes, self.total_bytes);
        }
        true
    }

    /// Restores and opens the next segment that can be; whether there was one.
    async fn open_next(&mut self) -> Result<bool, RangeError> {
        let mut pause = PAUSE_MIN;
        while let Some(manifest) = self.left.front() {
            let (segment, vault) = (manifest.segment, vault_id_text(manifest.vault_id));
            let bytes = manifest.raw.bytes;
            let restored = self.archive.restore(manifest, &self.folder.0, |_| {}).await;
            match restored {
                Ok(restored) => {
                    self.left.pop_front();
                    let file = restored.path;
                    let path = file.clone();
                    match blocking(move || OfflineReader::open(&path)).await? {
                        Ok(reader) => {
                            self.open = Some(OpenSegment { reader, file, bytes });
                            return Ok(true);
                        }
                        Err(error) => self.pass(error.to_string()),
                    }
                }
                Err(source) if needs_operator(&source) => {
                    return Err(RangeError::Archive { url: self.archive.url(), source });
                }
                Err(error) if error.is_retryable() => {
                    tracing::warn!(segment, vault, %error, "Cannot restore a segment; the replay retries.");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
                Err(error) => {
                    tracing::error!(segment, vault, %error, "Cannot restore a segment; the replay leaves it out.");
                    self.left.pop_front();
                    self.pass(error.to_string());
                }
            }
            self.passed_bytes += bytes;
        }
        Ok(false)
    }

    /// Notes a segment that cannot be read.
    fn pass(&mut self, problem: String) {
        if self.unusable == 0 {
            self.first_problem = problem;
        }
        self.unusable += 1;
    }

    /// Removes a segment that was read.
    async fn close(&mut self, open: OpenSegment, counts: &JobCounts) {
        // If it stays, it goes with the folder.
        let _removed = tokio::fs::remove_file(&open.file).await;
        self.passed_bytes += open.bytes;
        counts.read(self.passed_bytes, self.total_bytes);
    }
}

/// Lists the segments that may have requests that are meant, oldest first in each vault.
async fn list(archive: &Archive, range: &ReplayRange) -> Result<Vec<Manifest>, RangeError> {
    let selection = Selection {
        since_unix_ns: range.since_unix_ns,
        until_unix_ns: range.until_unix_ns,
        sources: range.source.iter().cloned().collect(),
        signals: range.signal.iter().map(|signal| signal.name().to_owned()).collect(),
        ..Selection::default()
    };
    let mut pause = PAUSE_MIN;
    loop {
        let error = match archive.manifests(&selection).await {
            Ok(manifests) => return Ok(manifests),
            Err(error) => error,
        };
        if !error.is_retryable() || needs_operator(&error) {
            return Err(RangeError::Archive { url: archive.url(), source: error });
        }
        let archive = archive.url();
        tracing::warn!(%archive, %error, "Cannot list the archive; the replay retries.");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Whether an operator has to mend something first, who is waiting for the answer.
fn needs_operator(error: &RestoreError) -> bool {
    matches!(error, RestoreError::S3(error) if error.kind.needs_operator())
}

/// Makes the folder, without what an earlier reader left.
async fn prepare(folder: PathBuf) -> Result<Folder, RangeError> {
    let path = folder.clone();
    blocking(move || make_empty(&path)).await?.map_err(|source| {
        let folder = folder.display().to_string();
        RangeError::Folder { folder, source }
    })?;
    Ok(Folder(folder))
}

fn make_empty(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    std::fs::create_dir_all(folder)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RangeError::Panicked(error.to_string()))
}
