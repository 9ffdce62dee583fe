//! Saves a cursor beside the reading and the sending: a disk that is slow to sync holds up neither.

use std::time::Duration;

use gophership_vault::Reader;
use gophership_vault::VaultError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::panicked;
use crate::component::RunError;

/// So long after a save the next one begins.
const SAVE_EVERY: Duration = Duration::from_millis(100);
/// It begins sooner after this many deliveries. While it lasts, no more than as many go on: a crash
/// repeats these, those before them, and what is on its way.
const SAVE_EVERY_ACKS: u64 = 500;
/// Deliveries that a crash may repeat, beside what is on its way.
pub(super) const REPEATED_MAX: u64 = 2 * SAVE_EVERY_ACKS;

/// The saves of one cursor, one at a time.
pub(super) struct Saver {
    running: Option<JoinHandle<Result<(), VaultError>>>,
    ended: Instant,
}

impl Saver {
    pub(super) fn new() -> Self {
        Self { running: None, ended: Instant::now() }
    }

    /// Begins a save that is due. Waits for the one before it only when too much was delivered since
    /// that began.
    pub(super) async fn keep_up(&mut self, reader: &Reader) -> Result<(), RunError> {
        let is_much = SAVE_EVERY_ACKS <= reader.unsaved();
        if is_much || self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish().await?;
        }
        if self.running.is_none() && (is_much || SAVE_EVERY <= self.ended.elapsed()) {
            let cursor = reader.handle();
            self.running = Some(tokio::task::spawn_blocking(move || cursor.save()));
        }
        Ok(())
    }

    /// Waits for the save that is under way, if there is one.
    pub(super) async fn finish(&mut self) -> Result<(), RunError> {
        if let Some(running) = self.running.take() {
            running.await.map_err(panicked)??;
            self.ended = Instant::now();
        }
        Ok(())
    }
}
