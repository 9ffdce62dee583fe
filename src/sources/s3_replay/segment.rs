//! Replays one segment: restores it, sends its requests, and waits until all are delivered.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use gophership_archive::Manifest;
use gophership_otlp::Signal;
use gophership_restore::Archive;
use gophership_restore::RestoreError;
use gophership_restore::Selection;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::StoredRecord;
use gophership_vault::VaultError;
use tokio::task::JoinSet;

use super::delivery::Archived;
use super::delivery::DeliveryOutcome;
use super::delivery::ReplaySender;
use crate::component::Stop;
use crate::event::Note;
use crate::event::Provenance;
use crate::event::Request;

/// What is read at once.
const CHUNK_RECORDS_MAX: usize = 32;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The header beside a dead letter whose signal nobody here knows: the number that it was stored with.
const SIGNAL_HEADER: &str = "gophership-signal";

/// What is in a segment that was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReplayedSegment {
    pub(super) requests: u64,
    pub(super) records: u64,
    /// Requests that a sink will never take, or that are no OTLP, and that only the bucket has.
    pub(super) rejected: u64,
    /// Such requests that a dead-letter store has.
    pub(super) dead_lettered: u64,
    /// Damaged places, which were damaged when the segment was archived.
    pub(super) damaged: u64,
}

/// How the replay of a segment ended.
#[derive(Debug)]
pub(super) enum SegmentEnd {
    /// Every request is delivered.
    Done(ReplayedSegment),
    /// It was stopped on the way.
    Stopped,
    /// It could not be restored or read.
    Failed(RestoreError),
}

/// The file of a restored segment; it goes with this.
struct SegmentFile(PathBuf);

impl Drop for SegmentFile {
    fn drop(&mut self) {
        // If it stays, the next start removes it.
        let _removed = std::fs::remove_file(&self.0);
    }
}

/// One segment, with what is needed to replay it.
pub(super) struct SegmentReplay {
    pub(super) archive: Archive,
    pub(super) manifest: Arc<Manifest>,
    pub(super) selection: Arc<Selection>,
    /// A folder of its own: segments of different vaults have the same names.
    pub(super) folder: PathBuf,
    pub(super) delivery: Arc<ReplaySender>,
    /// Ends the replay of this segment.
    pub(super) halt: Stop,
}

impl SegmentReplay {
    /// Runs to its end, or until halted.
    pub(super) async fn run(self) -> SegmentEnd {
        let ended = match self.restore().await {
            Ok(Some(file)) => self.send_all(&file.0).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        // It has no other file.
        let _removed = tokio::fs::remove_dir(&self.folder).await;
        match ended {
            Ok(Some(counts)) => SegmentEnd::Done(counts),
            Ok(None) => SegmentEnd::Stopped,
            Err(error) => SegmentEnd::Failed(error),
        }
    }

    async fn restore(&self) -> Result<Option<SegmentFile>, RestoreError> {
        let vault_error = |source| {
            let error = gophership_archive::ArchiveError::Io {
                operation: "make",
                path: self.folder.clone(),
                source,
            };
            RestoreError::Archive(error)
        };
        tokio::fs::create_dir_all(&self.folder).await.map_err(vault_error)?;
        tokio::select! {
            restored = self.archive.restore(&self.manifest, &self.folder, |_| {}) => {
                Ok(Some(SegmentFile(restored?.path)))
            }
            () = self.halt.cancelled() => Ok(None),
        }
    }

    /// Sends what is selected; nothing if it was stopped before all was delivered.
    async fn send_all(&self, path: &Path) -> Result<Option<ReplayedSegment>, RestoreError> {
        let mut counts = ReplayedSegment::default();
        let path = path.to_owned();
        let mut reader = blocking(move || OfflineReader::open(&path)).await?;
        let mut on_way: JoinSet<DeliveryOutcome> = JoinSet::new();
        loop {
            let began = Instant::now();
            let chunk;
            (reader, chunk) = blocking(move || read_chunk(reader)).await?;
            if chunk.is_empty() {
                break;
            }
            for item in chunk {
                let OfflineItem::Record(record) = item else {
                    counts.damaged += 1;
                    continue;
                };
                let Some(archived) = self.request(record) else { continue };
                counts.requests += 1;
                counts.records += archived.request.records;
                let Some(room) = self.delivery.room(&archived.request, &self.halt).await else {
                    return Ok(None);
                };
                let delivery = Arc::clone(&self.delivery);
                on_way.spawn(delivery.send(archived, room, self.halt.clone()));
                while let Some(ended) = on_way.try_join_next() {
                    if !settle(&ended, &mut counts) {
                        return Ok(None);
                    }
                }
            }
            self.delivery.rest_after(began.elapsed()).await;
        }
        while let Some(ended) = on_way.join_next().await {
            if !settle(&ended, &mut counts) {
                return Ok(None);
            }
        }
        Ok(Some(counts))
    }

    /// The request of a stored record, if it is meant.
    fn request(&self, record: StoredRecord) -> Option<Archived> {
        let (selection, at) = (&self.selection, record.received_unix_ns);
        let is_in_time = selection.since_unix_ns.is_none_or(|since| since <= at)
            && selection.until_unix_ns.is_none_or(|until| at < until);
        let known = Signal::from_u8(record.signal);
        let wants = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted == name)
        };
        let note = Note::read(&record.attrs);
        let is_meant = is_in_time
            && wants(&selection.signals, known.map_or("unknown", Signal::name))
            && wants(&selection.sources, note.source_name());
        if !is_meant {
            return None;
        }
        let scanned =
            known.and_then(|signal| gophership_otlp::prescan(signal, &record.payload).ok());
        let mut provenance = Provenance::of_note(&record.attrs);
        if known.is_none() {
            provenance = provenance.and_header(SIGNAL_HEADER, record.signal.to_string().as_bytes());
        }
        let request = Request {
            signal: known.unwrap_or(Signal::Logs),
            wire: record.payload,
            records: scanned.as_ref().map_or(note.records, |summary| summary.records),
            received_unix_ns: at,
            provenance,
        };
        let (segment, is_readable) = (self.manifest.segment, scanned.is_some());
        Some(Archived { request, segment, seq: record.seq, is_readable })
    }
}

/// Counts how a request ended; returns whether it reached an end.
fn settle(
    ended: &Result<DeliveryOutcome, tokio::task::JoinError>,
    counts: &mut ReplayedSegment,
) -> bool {
    match ended {
        Ok(DeliveryOutcome::Yes) => true,
        Ok(DeliveryOutcome::DeadLettered) => {
            counts.dead_lettered += 1;
            true
        }
        Ok(DeliveryOutcome::Rejected) => {
            counts.rejected += 1;
            true
        }
        Ok(DeliveryOutcome::Stopped) | Err(_) => false,
    }
}

/// Reads some; nothing at the end.
fn read_chunk(mut reader: OfflineReader) -> Result<(OfflineReader, Vec<OfflineItem>), VaultError> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_RECORDS_MAX && bytes < CHUNK_BYTES_MAX {
        let Some(item) = reader.next()? else { break };
        if let OfflineItem::Record(record) = &item {
            bytes += record.payload.len();
        }
        chunk.push(item);
    }
    Ok((reader, chunk))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, RestoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(RestoreError::Archive(error.into())),
        Err(error) => Err(RestoreError::Panicked(error.to_string())),
    }
}
