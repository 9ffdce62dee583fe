//! Reads the requests of a range, beside the writer and without a cursor.

use std::sync::Arc;

use gophership_vault::Log;
use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::Pin;
use gophership_vault::SegmentId;
use gophership_vault::StoredRecord;
use gophership_vault::Survey;
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

/// Reads what is durable in a vault when it is opened. The segments stay until it has read them.
pub struct RangeReader {
    reader: OfflineReader,
    range: ReplayRange,
    pin: Pin,
}

impl RangeReader {
    /// Opens a vault. Blocks.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when its files cannot be read.
    pub fn open(log: &Log, range: ReplayRange, counts: &JobCounts) -> Result<Self, VaultError> {
        let last = log.segments().last().map_or(SegmentId::new(0), |info| info.id);
        let pin = log.pin(SegmentId::new(0), last);
        let last_seq = log.durable_seq();
        let survey = Survey::take(log.dir())?;
        let selection = range.selection(&survey, last_seq);
        pin.pass(selection.segments.map_or(0, |(first, _)| first));
        let reader = OfflineReader::open_selected(log.dir(), &selection)?;
        let (done, left) = reader.progress_bytes();
        counts.read(done, done + left);
        Ok(Self { reader, range, pin })
    }

    /// Reads some of what is left, counts it, and returns it, or nothing at the end. There may be nothing in
    /// what it returns before. Blocks.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when a segment cannot be read; the next call goes on behind it.
    pub fn next(&mut self, counts: &JobCounts) -> Result<Option<Vec<StoredRecord>>, VaultError> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOKED_AT_MAX {
            if CHUNK_RECORDS_MAX <= chunk.len() || CHUNK_BYTES_MAX <= bytes {
                break;
            }
            let record = match self.reader.next()? {
                // What is damaged is told when the vault itself reads it.
                Some(OfflineItem::Fault(_)) => continue,
                Some(OfflineItem::Record(record)) => record,
                None if chunk.is_empty() => return Ok(None),
                None => break,
            };
            if self.range.has(&record) {
                counts.find(records_in(&record), record.payload.len(), record.received_unix_ns);
                bytes += record.payload.len();
                chunk.push(record);
            }
        }
        self.pin.pass(self.reader.place().0);
        let (done, left) = self.reader.progress_bytes();
        counts.read(done, done + left);
        Ok(Some(chunk))
    }
}

/// How many records a stored request has.
fn records_in(record: &StoredRecord) -> u64 {
    let counted = || {
        let signal = Signal::from_u8(record.signal)?;
        Some(gophership_otlp::prescan(signal, &record.payload).ok()?.records)
    };
    counted().unwrap_or_else(|| Note::read(&record.attrs).records)
}

/// Reads all of a range, counts it and keeps nothing; `rest` is called before each piece, and says whether to
/// go on. Blocks.
///
/// # Errors
///
/// As [`RangeReader::open`] and [`RangeReader::next`].
pub fn count_range(
    log: &Arc<Log>,
    range: ReplayRange,
    counts: &JobCounts,
    rest: impl Fn() -> bool,
) -> Result<(), VaultError> {
    let mut reader = RangeReader::open(log, range, counts)?;
    while rest() && reader.next(counts)?.is_some() {}
    Ok(())
}
