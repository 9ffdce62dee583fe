//! Reads some requests at once, and keeps those that are meant.

use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::StoredRecord;
use gophership_vault::VaultError;

use super::job::JobCounts;
use super::range::ReplayRange;
use crate::event::Note;
use crate::event::Signal;

/// What is looked at at once, for work that is to rest now and then.
const LOOKED_AT_MAX: usize = 64;
/// What is returned at once.
const CHUNK_RECORDS_MAX: usize = 32;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Reads some of what is left, counts what is meant and returns it, or nothing at the end. There may be
/// nothing in what it returns before. Blocks.
///
/// # Errors
///
/// [`VaultError`] when a segment cannot be read; the next call goes on behind it.
pub(super) fn read_chunk(
    reader: &mut OfflineReader,
    range: &ReplayRange,
    counts: &JobCounts,
) -> Result<Option<Vec<StoredRecord>>, VaultError> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for _ in 0..LOOKED_AT_MAX {
        if CHUNK_RECORDS_MAX <= chunk.len() || CHUNK_BYTES_MAX <= bytes {
            break;
        }
        let record = match reader.next()? {
            // What is damaged is told when the vault itself reads it, and stands in the manifest.
            Some(OfflineItem::Fault(_)) => continue,
            Some(OfflineItem::Record(record)) => record,
            None if chunk.is_empty() => return Ok(None),
            None => break,
        };
        if range.has(&record) {
            counts.find(records_in(&record), record.payload.len(), record.received_unix_ns);
            bytes += record.payload.len();
            chunk.push(record);
        }
    }
    Ok(Some(chunk))
}

/// How many records a stored request has.
fn records_in(record: &StoredRecord) -> u64 {
    let counted = || {
        let signal = Signal::from_u8(record.signal)?;
        Some(gophership_otlp::prescan(signal, &record.payload).ok()?.records)
    };
    counted().unwrap_or_else(|| Note::read(&record.attrs).records)
}
