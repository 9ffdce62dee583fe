//! Reads the requests of a range where they are: in the vault, or in an archive.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_vault::Log;
use gophership_vault::StoredRecord;

use super::archive_reader::ArchiveRangeReader;
use super::archive_reader::RestoreRoom;
use super::error::RangeError;
use super::job::JobCounts;
use super::range::ReplayRange;
use super::vault_reader::VaultReader;

/// Reads what a vault or an archive has when it is opened.
pub struct RangeReader(Place);

enum Place {
    Vault(Box<VaultReader>),
    Archive(Box<ArchiveRangeReader>),
}

impl RangeReader {
    /// Opens the archive of a range, or without one the vault. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`RangeError`] when files or bucket cannot be read, or there is no memory for it.
    pub async fn open(
        log: &Arc<Log>,
        room: &RestoreRoom,
        range: ReplayRange,
        counts: &Arc<JobCounts>,
    ) -> Result<Self, RangeError> {
        if let Some(location) = range.archive.clone() {
            let reader = ArchiveRangeReader::open(&location, room, range, counts).await?;
            return Ok(Self(Place::Archive(Box::new(reader))));
        }
        let (log, counts) = (Arc::clone(log), Arc::clone(counts));
        let open = move || VaultReader::open(&log, range, &counts);
        let reader = tokio::task::spawn_blocking(open).await;
        let reader = reader.map_err(|error| RangeError::Panicked(error.to_string()))??;
        Ok(Self(Place::Vault(Box::new(reader))))
    }

    /// Reads some of what is left, counts it, and returns it with the reader, or nothing at the end. There
    /// may be nothing in what it returns before. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`RangeError`] when something cannot be read.
    pub async fn next(
        self,
        counts: &Arc<JobCounts>,
    ) -> Result<(Self, Option<Vec<StoredRecord>>), RangeError> {
        match self.0 {
            Place::Archive(reader) => {
                let (reader, chunk) = reader.next(counts).await?;
                Ok((Self(Place::Archive(Box::new(reader))), chunk))
            }
            Place::Vault(mut reader) => {
                let counts = Arc::clone(counts);
                let read = tokio::task::spawn_blocking(move || {
                    let chunk = reader.next(&counts)?;
                    Ok::<_, RangeError>((reader, chunk))
                });
                let read = read.await.map_err(|error| RangeError::Panicked(error.to_string()))?;
                let (reader, chunk) = read?;
                Ok((Self(Place::Vault(reader)), chunk))
            }
        }
    }
}

/// Reads all of a range, counts it and keeps nothing. What manifests tell is not read. `rest` is asked how
/// long to rest after so much work. May be dropped at any time.
///
/// # Errors
///
/// As [`RangeReader::open`] and [`RangeReader::next`].
pub async fn count_range(
    log: &Arc<Log>,
    room: &RestoreRoom,
    range: ReplayRange,
    counts: &Arc<JobCounts>,
    rest: impl Fn(Duration) -> Duration,
) -> Result<(), RangeError> {
    let mut reader = Box::pin(RangeReader::open(log, room, range, counts)).await?;
    loop {
        let began = Instant::now();
        if let Place::Archive(archive) = &mut reader.0
            && archive.count_by_manifest(counts)
        {
            continue;
        }
        let (back, chunk) = reader.next(counts).await?;
        if chunk.is_none() {
            return Ok(());
        }
        reader = back;
        let rest = rest(began.elapsed());
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}
