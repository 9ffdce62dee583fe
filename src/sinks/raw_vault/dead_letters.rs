//! The dead-letter store: what can never be delivered, never dropped and never in the way.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::Log;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::VaultError;
use gophership_vault::Writer;
use parking_lot::Mutex;

use super::intake::append;
use crate::component::LetterStore;
use crate::event::Batch;
use crate::event::SinkTable;
use crate::flow::Full;
use crate::flow::Intake;

/// One that could not be opened is not tried again sooner.
const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// A batch that the dead-letter store is about to have.
struct DeadLettered(Batch);

impl Completion for DeadLettered {
    fn complete(self, result: Result<Receipt, AppendError>) {
        match result {
            Ok(_receipt) => self.0.dead_lettered(),
            Err(_error) => self.0.failed(),
        }
    }
}

impl From<Batch> for DeadLettered {
    fn from(batch: Batch) -> Self {
        Self(batch)
    }
}

impl From<DeadLettered> for Batch {
    fn from(dead_lettered: DeadLettered) -> Self {
        dead_lettered.0
    }
}

/// The dead-letter store: a vault beside the vault, opened when it is first needed.
pub(super) struct DeadLetterVault(Arc<Store>);

struct Store {
    options: Options,
    sink_set: Arc<SinkTable>,
    writer: ArcSwapOption<Writer<DeadLettered>>,
    /// Whoever opens it has this meanwhile, and so has whoever closes it.
    open_state: Mutex<OpenState>,
    /// Somebody is about to open it.
    is_opening: AtomicBool,
}

#[derive(Default)]
struct OpenState {
    is_closed: bool,
    failed_at: Option<Instant>,
}

impl DeadLetterVault {
    /// Makes the store; nothing is opened yet.
    pub(super) fn new(options: Options, sink_set: Arc<SinkTable>) -> Self {
        Self(Arc::new(Store {
            options,
            sink_set,
            writer: ArcSwapOption::empty(),
            open_state: Mutex::default(),
            is_opening: AtomicBool::new(false),
        }))
    }

    /// Closes the store, if it was ever opened, for ever. Blocks, also for somebody who opens it.
    pub(super) fn close(&self) {
        let mut open_state = self.0.open_state.lock();
        open_state.is_closed = true;
        if let Some(Err(error)) = self.0.writer.swap(None).map(|writer| writer.close()) {
            tracing::error!(%error, "Cannot close the dead-letter store.");
        }
    }
}

impl Store {
    /// Opens it on a blocking thread: what a crash left is examined first. Whoever wanted it comes again.
    fn open_aside(self: &Arc<Self>) {
        if self.is_opening.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = Arc::clone(self);
        // Nobody waits for it but `close`.
        tokio::task::spawn_blocking(move || {
            store.open();
            store.is_opening.store(false, Ordering::Release);
        });
    }

    fn open(&self) {
        let mut open_state = self.open_state.lock();
        let is_too_soon = open_state.failed_at.is_some_and(|at| at.elapsed() < REOPEN_AFTER);
        if open_state.is_closed || is_too_soon {
            return;
        }
        if let Err(error) = self.open_locked() {
            tracing::error!(%error, "Cannot open the dead-letter store.");
            open_state.failed_at = Some(Instant::now());
        }
    }

    /// Opens it, if it is not open, for who has the lock.
    fn open_locked(&self) -> Result<Arc<Writer<DeadLettered>>, VaultError> {
        if let Some(writer) = self.writer.load_full() {
            return Ok(writer);
        }
        let (writer, _report) = Writer::open(self.options.clone())?;
        let writer = Arc::new(writer);
        self.writer.store(Some(Arc::clone(&writer)));
        Ok(writer)
    }
}

impl Intake for DeadLetterVault {
    /// Refuses while it is not open, and has it opened.
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        let Some(writer) = self.0.writer.load_full() else {
            self.0.open_aside();
            return Err(Full(batch));
        };
        append(&writer, &self.0.sink_set, batch)
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

impl LetterStore for DeadLetterVault {
    fn open_log(&self) -> Result<Arc<Log>, VaultError> {
        let open_state = self.0.open_state.lock();
        if open_state.is_closed {
            let (operation, path) = ("open", self.0.options.dir.clone());
            let source = io::Error::other("the vault is closed");
            return Err(VaultError::Io { operation, path, source });
        }
        self.0.open_locked().map(|writer| writer.log())
    }

    fn dir(&self) -> &Path {
        &self.0.options.dir
    }
}
