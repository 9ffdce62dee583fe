//! One reader for each sink, on a cursor of its own, and what all of them together are done with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use gophership_vault::CursorHandle;
use gophership_vault::ReadOrder;
use gophership_vault::Reader;
use gophership_vault::VaultError;

use crate::component::ComponentId;
use crate::component::CursorOwner;
use crate::component::SinkCursors;
use crate::component::VaultHandle;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Signal;
use crate::event::SinkId;
use crate::event::SinkSet;

/// What the readers of one replay share.
pub(super) struct CursorGroup {
    cursors: Arc<SinkCursors>,
    /// Requests stay unacknowledged in the vault that no reader gives out again.
    has_left: AtomicBool,
    /// They may be read again.
    again: AtomicBool,
}

/// What reads for one sink.
pub(super) struct CursorReader {
    pub(super) lane: SinkSet,
    /// The sink's id.
    pub(super) name: String,
    /// Its row in the books.
    pub(super) sink: SinkId,
    pub(super) reader: Reader,
}

impl CursorGroup {
    /// Opens a reader for each sink, each on a cursor of its own, which it keeps however many others come
    /// and go. Blocks.
    pub(super) fn open(
        vault: &VaultHandle,
        replay: &ComponentId,
        sinks: &[(String, SinkSet)],
        order: ReadOrder,
        ledgers: &Ledgers,
    ) -> Result<(Arc<Self>, Vec<CursorReader>), VaultError> {
        let mut members = Vec::new();
        for (sink, lane) in sinks {
            let name = CursorOwner::name_for(replay, sink);
            let reader = Reader::open_in(&vault.log, &name, order)?;
            vault.cursors.join(&name);
            let (name, row) = (sink.clone(), ledgers.sink(sink));
            members.push(CursorReader { lane: *lane, name, sink: row, reader });
        }
        let cursors = Arc::clone(&vault.cursors);
        let (has_left, again) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok((Arc::new(Self { cursors, has_left, again }), members))
    }

    /// Acknowledges a record for one cursor; once all have it, the vault's copy leaves the books.
    pub(super) fn ack(
        &self,
        cursor: &CursorHandle,
        seq: u64,
        ledger: &Ledger,
        booked: (Signal, u64),
    ) {
        self.cursors.ack(cursor, seq, ledger, booked);
    }

    /// A request that belongs into the dead-letter store stays in the vault, because that has no room.
    pub(super) fn leave(&self) {
        if !self.has_left.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "Dead-letter store is full or failed. Requests that backends reject stay in the \
                 vault."
            );
        }
    }

    /// The dead-letter store took something.
    pub(super) fn has_dead_lettered(&self) {
        if self.has_left.load(Ordering::Relaxed) {
            self.again.store(true, Ordering::Relaxed);
        }
    }

    /// Whether to open the readers again, which then give out what was left.
    pub(super) fn wants_again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }
}
