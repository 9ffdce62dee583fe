//! The queue between callers and the writer thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_queue::ArrayQueue;

use crate::append::record::Completion;
use crate::append::staging::StagedRecord;
use crate::error::AppendError;
use crate::state::VaultGauges;

/// Records that may wait for the writer thread, whatever their size.
pub(crate) const QUEUE_RECORDS_MAX: usize = 4096;

/// A record in the queue, with who waits for it.
pub(crate) struct Staged<C> {
    pub(crate) record: StagedRecord,
    pub(crate) done: C,
}

/// What callers and the writer thread share.
pub(crate) struct Shared<C> {
    pub(crate) queue: ArrayQueue<Staged<C>>,
    pub(crate) gauges: Arc<VaultGauges>,
}

impl<C: Completion> Shared<C> {
    /// Gives back whatever is still queued.
    pub(crate) fn drain(&self, error: AppendError) {
        while let Some(staged) = self.queue.pop() {
            self.gauges.staged_bytes.fetch_sub(staged.record.span_bytes(), Ordering::AcqRel);
            staged.done.complete(Err(error));
        }
    }
}
