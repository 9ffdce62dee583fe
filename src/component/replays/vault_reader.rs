//! Reads the requests of a range from a vault, beside the writer and without a cursor.

use gophership_vault::Log;
use gophership_vault::OfflineReader;
use gophership_vault::Pin;
use gophership_vault::SegmentId;
use gophership_vault::StoredRecord;
use gophership_vault::Survey;
use gophership_vault::VaultError;

use super::chunk::read_chunk;
use super::job::JobCounts;
use super::range::ReplayRange;

/// Reads what is durable in a vault when it is opened. The segments stay until it has read them.
pub(super) struct VaultReader {
    reader: OfflineReader,
    range: ReplayRange,
    pin: Pin,
}

impl VaultReader {
    /// Opens a vault. Blocks.
    pub(super) fn open(
        log: &Log,
        range: ReplayRange,
        counts: &JobCounts,
    ) -> Result<Self, VaultError> {
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

    /// Reads some of what is left, as [`read_chunk`] does. Blocks.
    pub(super) fn next(
        &mut self,
        counts: &JobCounts,
    ) -> Result<Option<Vec<StoredRecord>>, VaultError> {
        let chunk = read_chunk(&mut self.reader, &self.range, counts)?;
        self.pin.pass(self.reader.place().0);
        let (done, left) = self.reader.progress_bytes();
        counts.read(done, done + left);
        Ok(chunk)
    }
}
