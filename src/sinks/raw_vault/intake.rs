//! The way into the vault: a batch becomes a record in the sender's own task.

use std::sync::Arc;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use crate::event::Batch;
use crate::event::NoteSpace;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::flow::Full;
use crate::flow::Intake;
use crate::metrics::VaultMetrics;

/// A refused sender is never told to come back sooner.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// A batch that the vault is about to have.
pub(super) struct PendingBatch(Batch);

impl Completion for PendingBatch {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.vaulted(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for PendingBatch {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<PendingBatch> for Batch {
    fn from(kept: PendingBatch) -> Self {
        kept.0
    }
}

/// Puts a batch into a vault. The note beside it says how many records it has, which nobody has to
/// count again when its bytes can no longer be read, where it came from, and which sinks need it.
pub(super) fn append<C>(writer: &Writer<C>, sink_set: &SinkTable, batch: Batch) -> Result<(), Full>
where
    C: Completion + From<Batch> + Into<Batch>,
{
    let wire = batch.wire().clone();
    let mut space = NoteSpace::default();
    // Who has no lane of its own cannot be named: then all get it.
    let named =
        if batch.sink_set().meets(SinkSet::SHARED) { SinkSet::NONE } else { batch.sink_set() };
    let owed = sink_set.names(named);
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
    pub(super) writer: Arc<Writer<PendingBatch>>,
    pub(super) sink_set: Arc<SinkTable>,
    pub(super) metrics: VaultMetrics,
}

impl Intake for VaultIntake {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let taken = append(&self.writer, &self.sink_set, batch);
        if taken.is_err() && self.writer.is_full() {
            // At once, not with the next report: who is refused now can be told why.
            self.metrics.full.set(1);
        }
        taken
    }

    fn fill_permille(&self) -> u32 {
        self.writer.fill_permille()
    }

    fn has_failed(&self) -> bool {
        self.writer.has_failed()
    }

    fn retry_after(&self) -> Duration {
        self.writer.retry_after().max(RETRY_AFTER_MIN)
    }

    fn has_room(&self) -> bool {
        self.writer.has_room()
    }
}
