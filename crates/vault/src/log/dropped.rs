//! What was dropped on purpose: the mark on disk, and who is told.
//!
//! ```text
//!  slot payload of the file `dropped`: vault_id u128, through u64, records u64
//!  every seq <= through may be gone on purpose; `records` counts those that a cursor still wanted
//! ```
//!
//! The mark is durable before a segment is deleted, so that recovery can tell what was dropped from
//! what was lost.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::fs::FileSystem;
use crate::slots::SlotFile;

/// Name of the mark's file.
pub(super) const FILE_NAME: &str = "dropped";

/// A record that is dropped although a cursor wanted it, or no cursor was there to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedRecord<'a> {
    /// Its number.
    pub seq: u64,
    /// The caller's kind of record.
    pub signal: u8,
    /// The caller's attributes.
    pub attrs: &'a [u8],
}

/// Told about each dropped record.
pub type DropObserver = dyn Fn(&DroppedRecord<'_>) + Send + Sync;

/// What was dropped so far, and who is told.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(super) slots: Option<SlotFile>,
    pub(super) through: u64,
    pub(super) records: u64,
    pub(super) observer: Option<Arc<DropObserver>>,
}

impl fmt::Debug for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { through, records, .. } = self;
        formatter
            .debug_struct("Dropped")
            .field("through", through)
            .field("records", records)
            .finish()
    }
}

impl Dropped {
    /// Loads the mark; a damaged one hides nothing: what was dropped then counts as lost.
    pub(crate) fn load(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
    ) -> io::Result<Self> {
        let (slots, payload) = match SlotFile::open(Arc::clone(files), &dir.join(FILE_NAME)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let (through, records) =
            payload.and_then(|bytes| decode(&bytes, vault_id)).unwrap_or_else(|| {
                tracing::error!(
                    "The file that counts dropped records is damaged; the count starts again."
                );
                (0, 0)
            });
        Ok(Self { slots: Some(slots), through, records, observer: None })
    }

    /// Marks what a tool is about to delete from a vault that nobody writes: every seq up to `through`,
    /// of which `records` were wanted.
    pub(crate) fn mark(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
        through: u64,
        records: u64,
    ) -> io::Result<()> {
        let before = Self::load(files, dir, vault_id)?;
        let payload =
            encode(vault_id, before.through.max(through), before.records.saturating_add(records));
        match before.slots {
            Some(mut slots) => slots.write(&payload),
            None => SlotFile::create(Arc::clone(files), dir, FILE_NAME, &payload).map(drop),
        }
    }

    /// Every seq up to this one may be gone on purpose.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// Records dropped although they were wanted, since the vault was made.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

pub(super) fn encode(vault_id: u128, through: u64, records: u64) -> Vec<u8> {
    [&vault_id.to_le_bytes()[..], &through.to_le_bytes(), &records.to_le_bytes()].concat()
}

fn decode(bytes: &[u8], vault_id: u128) -> Option<(u64, u64)> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (through, rest) = rest.split_first_chunk::<8>()?;
    let records = rest.first_chunk::<8>()?;
    let is_ours = u128::from_le_bytes(*id) == vault_id;
    is_ours.then(|| (u64::from_le_bytes(*through), u64::from_le_bytes(*records)))
}
