//! Lets go of the cursor of a sink that is there no more.
//!
//! Beside the lanes, which wait for nothing of it: it reads all that the sink missed, because what
//! nobody else needs either leaves the books.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::blocking;
use super::crew::Crew;
use super::lane::READ_WAIT;
use super::lane::read_chunk;
use super::saver::REPEATED_MAX;
use super::seen::Seen;
use crate::config::running::Inherited;
use crate::config::running::RunError;
use crate::config::running::Stop;
use crate::event::Ledgers;
use crate::somatic::Governor;
use crate::vault::Log;
use crate::vault::Reader;
use crate::vault::StoredRecord;
use crate::vault::VaultError;

/// The cursor of a former sink, and what it has to pass.
pub(super) struct Former {
    pub(super) reader: Reader,
    /// What is stored later is none of its business.
    pub(super) until: u64,
}

/// What removes one.
pub(super) struct Retirement {
    pub(super) crew: Arc<Crew>,
    pub(super) log: Arc<Log>,
    pub(super) governor: Arc<Governor>,
    pub(super) inherited: Arc<Inherited>,
    pub(super) ledgers: &'static Ledgers,
}

impl Retirement {
    /// Passes what the sink missed, and removes its cursor. Stopped before, it goes on with the next
    /// start.
    pub(super) async fn run(self, former: Former, stop: Stop) -> Result<(), RunError> {
        let Former { mut reader, until } = former;
        let (name, passed) = (reader.name().to_owned(), reader.backlog().records);
        let cursor = reader.handle();
        loop {
            let began = Instant::now();
            let (back, chunk) = blocking(move || save_and_read(reader)).await?;
            reader = back;
            let is_last = chunk.back().is_none_or(|record| until <= record.seq);
            for record in chunk.iter().filter(|record| record.seq <= until) {
                let seen = Seen::new(record, self.ledgers, &self.inherited);
                self.crew.ack(&cursor, record.seq, seen.ledger, (seen.signal, seen.records));
            }
            if is_last {
                break;
            }
            if !self.rest(began.elapsed(), &stop).await {
                return blocking(move || reader.save()).await;
            }
        }
        drop(reader);
        self.crew.dismiss(&cursor);
        let (log, removed) = (self.log, name.clone());
        blocking(move || log.remove_cursor(&removed)).await?;
        tracing::info!(cursor = name, passed, "Cursor of a former sink is removed.");
        Ok(())
    }

    /// Leaves live requests their share of the time; returns whether to go on.
    async fn rest(&self, worked: Duration, stop: &Stop) -> bool {
        loop {
            let rest = self.governor.rest_after(worked);
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(rest.unwrap_or(READ_WAIT)) => {}
            }
            if rest.is_some() {
                return true;
            }
        }
    }
}

fn save_and_read(mut reader: Reader) -> Result<(Reader, VecDeque<StoredRecord>), VaultError> {
    if REPEATED_MAX <= reader.unsaved() {
        reader.save()?;
    }
    read_chunk(reader)
}
