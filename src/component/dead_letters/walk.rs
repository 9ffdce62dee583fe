//! Goes through the dead letters of a store, oldest first, beside whoever writes it.

use std::path::Path;

use gophership_vault::OfflineItem;
use gophership_vault::OfflineReader;
use gophership_vault::RecordSelection;
use gophership_vault::VaultError;

use super::letter::Letter;

/// Reads letters. Each call waits for the disk.
pub struct LetterWalk {
    reader: OfflineReader,
    faults: u64,
}

impl LetterWalk {
    /// Begins behind the letter `after`, of which segment and number are given.
    ///
    /// # Errors
    ///
    /// As [`OfflineReader::open`].
    pub(super) fn begin(
        dir: &Path,
        after: Option<(u64, u64)>,
        seqs: (u64, u64),
    ) -> Result<Self, VaultError> {
        let (segment, seq) = after.unwrap_or_default();
        let first = seqs.0.max(if after.is_some() { seq + 1 } else { 0 });
        let selection = RecordSelection {
            segments: Some((segment, u64::MAX)),
            seqs: Some((first, seqs.1)),
            ..RecordSelection::default()
        };
        Ok(Self { reader: OfflineReader::open_selected(dir, &selection)?, faults: 0 })
    }

    /// The next letter, also one that was taken out.
    ///
    /// # Errors
    ///
    /// As [`OfflineReader::next`].
    pub(super) fn next(&mut self) -> Result<Option<Letter>, VaultError> {
        loop {
            match self.reader.next()? {
                Some(OfflineItem::Record(record)) => {
                    return Ok(Some(Letter::of(self.reader.place().0, record)));
                }
                Some(OfflineItem::Fault(_)) => self.faults += 1,
                None => return Ok(None),
            }
        }
    }

    /// Damaged places that were passed.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.faults
    }
}
