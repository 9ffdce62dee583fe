//! The dead-letter store: what can never be delivered, never dropped and never in the way.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::intake::append;
use crate::event::Batch;
use crate::event::LaneTable;
use crate::flow::Full;
use crate::flow::Intake;
use crate::vault::AppendError;
use crate::vault::Completion;
use crate::vault::Options;
use crate::vault::Receipt;
use crate::vault::Writer;

/// A batch that the dead-letter store is about to have.
struct Buried(Batch);

impl Completion for Buried {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.dead_lettered(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for Buried {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<Buried> for Batch {
    fn from(buried: Buried) -> Self {
        buried.0
    }
}

/// The dead-letter store: a vault beside the vault, opened when it is first needed.
pub(super) struct DeadLetters {
    options: Options,
    lanes: Arc<LaneTable>,
    writer: Mutex<Option<Arc<Writer<Buried>>>>,
}

impl DeadLetters {
    /// Makes the store; nothing is opened yet.
    pub(super) fn new(options: Options, lanes: Arc<LaneTable>) -> Self {
        Self { options, lanes, writer: Mutex::new(None) }
    }

    fn writer(&self) -> Option<Arc<Writer<Buried>>> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            match Writer::open(self.options.clone()) {
                Ok((opened, _report)) => *writer = Some(Arc::new(opened)),
                Err(error) => tracing::error!(%error, "Dead-letter store cannot be opened."),
            }
        }
        writer.clone()
    }

    /// Closes the store, if it was ever opened.
    pub(super) fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = writer.map(|writer| writer.close()) {
            tracing::error!(%error, "Dead-letter store cannot be closed.");
        }
    }
}

impl Intake for DeadLetters {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let Some(writer) = self.writer() else { return Err(Full(batch)) };
        append(&writer, &self.lanes, batch)
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn has_room(&self) -> bool {
        true
    }
}
