//! Looks after a stale cursor: the place in the vault of a sink that is no longer in the configuration.
//!
//! ```text
//!   read what the sink missed --> it needs none of it: the cursor is removed
//!                            \--> it needs some: kept, and told of, until the sink is back, or
//!                                   the time is over, or the vault is nearly full: dropped, and told of
//! ```
//!
//! Beside the lanes, which wait for nothing of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gophership_units::seconds_of;
use gophership_vault::CursorHandle;
use gophership_vault::Reader;
use gophership_vault::StoredRecord;
use gophership_vault::VaultError;
use tokio::time::Instant;

use super::blocking;
use super::lane::read_chunk;
use super::pace::LOOK_AROUND_EVERY;
use super::saver::REPEATED_MAX;
use super::seen::SeenRequest;
use crate::component::Heir;
use crate::component::RunError;
use crate::component::StaleCursor;
use crate::component::Stop;
use crate::component::VaultHandle;
use crate::event::Ledgers;
use crate::metrics::VaultMetrics;
use crate::somatic::Governor;

/// How often it looks whether the time is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is kept for sinks that are gone makes room for others from here on.
const DROP_PERMILLE: u32 = 900;

/// What looks after one stale cursor.
pub(super) struct StaleKeeper {
    pub(super) vault: VaultHandle,
    /// The id of the vault.
    pub(super) vault_id: String,
    pub(super) governor: Arc<Governor>,
    pub(super) ledgers: &'static Ledgers,
    pub(super) metrics: VaultMetrics,
}

/// What was found for a sink that is gone.
#[derive(Clone, Copy, Debug, Default)]
struct Needed {
    requests: u64,
    records: u64,
}

impl Needed {
    fn add(&mut self, seen: &SeenRequest) {
        self.requests += 1;
        self.records += seen.records;
    }
}

impl StaleKeeper {
    /// Keeps the cursor until it may be removed. Stopped before, it goes on with the next start.
    pub(super) async fn run(self, stale: StaleCursor, stop: Stop) -> Result<(), RunError> {
        let reader = self.open(&stale).await?;
        let Some((reader, needed)) = self.sift(reader, &stale, &stop).await? else {
            return Ok(());
        };
        if needed.requests == 0 || stale.heir != Heir::Nobody {
            drop(reader);
            self.remove(&stale).await?;
            tracing::info!(cursor = %stale.name, "Removed the cursor of a former sink.");
            return Ok(());
        }
        if !self.keep(reader, &stale, needed, &stop).await? {
            return Ok(());
        }
        let reader = self.open(&stale).await?;
        let Some(dropped) = self.drop_all(reader, &stale, &stop).await? else { return Ok(()) };
        self.remove(&stale).await?;
        self.gauge(&stale, 0);
        tracing::warn!(
            sink = %stale.sink(),
            vault = %self.vault_id,
            requests = dropped.requests,
            records = dropped.records,
            "Dropped the undelivered requests of a sink that is no longer in the configuration."
        );
        Ok(())
    }

    async fn open(&self, stale: &StaleCursor) -> Result<Reader, RunError> {
        let (log, name) = (Arc::clone(&self.vault.log), stale.name.clone());
        blocking(move || Reader::open(&log, &name)).await
    }

    async fn remove(&self, stale: &StaleCursor) -> Result<(), RunError> {
        let (cursors, name) = (Arc::clone(&self.vault.cursors), stale.name.clone());
        blocking(move || cursors.remove(&name)).await
    }

    /// Passes what the sink does not need, and counts what it does; `None` when stopped.
    async fn sift(
        &self,
        reader: Reader,
        stale: &StaleCursor,
        stop: &Stop,
    ) -> Result<Option<(Reader, Needed)>, RunError> {
        let mut needed = Needed::default();
        let each = |cursor: &CursorHandle, seq, seen: &SeenRequest| {
            if stale.is_owed(&seen.owed) && stale.heir == Heir::Nobody {
                needed.add(seen);
            } else {
                let booked = (seen.signal, seen.records);
                self.vault.cursors.ack(cursor, seq, seen.ledger, booked);
            }
            true
        };
        let reader = self.go_through(reader, stale, stop, each).await?;
        Ok(reader.map(|reader| (reader, needed)))
    }

    /// Keeps what the sink needs as long as that may last; returns whether it is over, or it was stopped.
    async fn keep(
        &self,
        mut reader: Reader,
        stale: &StaleCursor,
        needed: Needed,
        stop: &Stop,
    ) -> Result<bool, RunError> {
        let cursor = reader.handle();
        self.vault.cursors.pass_later(stale, &cursor);
        let requests = reader.backlog().records;
        self.gauge(stale, requests);
        let keep_for = self.vault.cursors.keep_removed();
        tracing::warn!(
            sink = %stale.sink(),
            vault = %self.vault_id,
            requests,
            records_at_least = needed.records,
            keep_for_seconds = seconds_of(keep_for),
            "Vault keeps undelivered requests of a sink that is no longer in the configuration. To \
             deliver them, restore the sink, or name it in `formerly` of another sink. To drop \
             them now, set `keep_for_removed_sinks: 0s` of the vault."
        );
        loop {
            let is_over = keep_for <= stale.since.elapsed();
            if is_over || DROP_PERMILLE <= self.vault.log.fill_permille() {
                return Ok(true);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {
                    self.gauge(stale, 0);
                    blocking(move || reader.save()).await?;
                    return Ok(false);
                }
            }
            self.vault.cursors.pass_later(stale, &cursor);
            if 0 < reader.unsaved() {
                reader = blocking(move || reader.save().map(|()| reader)).await?;
            }
        }
    }

    /// Drops what the sink missed; `None` when stopped, or the sink is back.
    async fn drop_all(
        &self,
        reader: Reader,
        stale: &StaleCursor,
        stop: &Stop,
    ) -> Result<Option<Needed>, RunError> {
        let mut dropped = Needed::default();
        let each = |cursor: &CursorHandle, seq, seen: &SeenRequest| {
            let (is_loss, booked) = (stale.is_owed(&seen.owed), (seen.signal, seen.records));
            let cursors = &self.vault.cursors;
            let is_given_up = cursors.give_up(cursor, seq, seen.ledger, booked, is_loss);
            if is_given_up && is_loss {
                dropped.add(seen);
            }
            is_given_up
        };
        let reader = self.go_through(reader, stale, stop, each).await?;
        Ok(reader.map(|_| dropped))
    }

    /// Does something with each request that was there when the sink left, until it says no; `None` then,
    /// or when stopped.
    async fn go_through(
        &self,
        mut reader: Reader,
        stale: &StaleCursor,
        stop: &Stop,
        mut each: impl FnMut(&CursorHandle, u64, &SeenRequest) -> bool,
    ) -> Result<Option<Reader>, RunError> {
        let cursor = reader.handle();
        loop {
            let began = Instant::now();
            let (back, chunk) = blocking(move || save_and_read(reader)).await?;
            reader = back;
            for record in chunk.iter().filter(|record| record.seq <= stale.until) {
                let seen = SeenRequest::new(record, self.ledgers, &self.vault.inherited);
                if !each(&cursor, record.seq, &seen) {
                    return Ok(None);
                }
            }
            if chunk.back().is_none_or(|record| stale.until <= record.seq) {
                return Ok(Some(reader));
            }
            if !self.rest(began.elapsed(), stop).await {
                blocking(move || reader.save()).await?;
                return Ok(None);
            }
        }
    }

    /// Leaves live requests their share of the time; returns whether to go on.
    async fn rest(&self, worked: Duration, stop: &Stop) -> bool {
        loop {
            let rest = self.governor.rest_after(worked);
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(rest.unwrap_or(LOOK_AROUND_EVERY)) => {}
            }
            if rest.is_some() {
                return true;
            }
        }
    }

    fn gauge(&self, stale: &StaleCursor, requests: u64) {
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        self.metrics
            .kept_for_removed
            .with_label_values(&[&self.vault_id, stale.sink()])
            .set(requests);
    }
}

fn save_and_read(mut reader: Reader) -> Result<(Reader, VecDeque<StoredRecord>), VaultError> {
    if REPEATED_MAX <= reader.unsaved() {
        reader.save()?;
    }
    read_chunk(reader)
}
