//! The way into the vault: a batch becomes a record in the sender's own task.

use std::sync::Arc;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use crate::event::Batch;
use crate::event::LaneTable;
use crate::event::Lanes;
use crate::event::NoteSpace;
use crate::flow::Full;
use crate::flow::Intake;
use crate::metrics::VaultMetrics;

/// A refused sender is never told to come back sooner.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// A batch that the vault is about to have.
pub(super) struct Kept(Batch);

impl Completion for Kept {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.vaulted(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for Kept {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<Kept> for Batch {
    fn from(kept: Kept) -> Self {
        kept.0
    }
}

/// Puts a batch into a vault. The note beside it says how many records it has, which nobody has to
/// count again when its bytes can no longer be read, where it came from, and which sinks need it.
pub(super) fn append<C>(writer: &Writer<C>, lanes: &LaneTable, batch: Batch) -> Result<(), Full>
where
    C: Completion + From<Batch> + Into<Batch>,
{
    let wire = batch.wire().clone();
    let mut space = NoteSpace::default();
    // Who has no lane of its own cannot be named: then all get it.
    let named = if batch.lanes().meets(Lanes::SHARED) { Lanes::NONE } else { batch.lanes() };
    let owed = lanes.names(named);
    let record = NewRecord {
        signal: batch.signal() as u8,
        received_unix_ns: batch.received_unix_ns(),
        attrs: batch.provenance().note(batch.records(), owed, &mut space),
        payload: &wire,
    };
    let appended = writer.try_append_shared(record, &wire, C::from(batch));
    appended.map_err(|refused| Full(refused.done.into()))
}

/// The way into the vault.
pub(super) struct VaultIntake {
    pub(super) writer: Arc<Writer<Kept>>,
    pub(super) lanes: Arc<LaneTable>,
    pub(super) metrics: VaultMetrics,
}

impl Intake for VaultIntake {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let taken = append(&self.writer, &self.lanes, batch);
        if taken.is_err() && self.writer.is_full() {
            // At once, not with the next report: who is refused now can be told why.
            self.metrics.full.set(1);
        }
        taken
    }

    fn fill_permille(&self) -> u32 {
        self.writer.fill_permille()
    }

    fn retry_after(&self) -> Duration {
        self.writer.retry_after().max(RETRY_AFTER_MIN)
    }

    fn has_room(&self) -> bool {
        self.writer.has_room()
    }
}
