//! The places of sinks in a vault: one cursor for each sink that a replay leads to.
//!
//! ```text
//!   vault --- cursor of sink a ---> what a still needs
//!        \--- cursor of sink b ---> what b still needs, however far a is
//!        \--- stale cursor -------> what a sink missed that is no longer in the configuration
//! ```
//!
//! A cursor exists, saved, before a route table is in force that can give the vault something for its
//! sink: [`SinkCursors::prepare`] is called before, [`SinkCursors::settle`] after the change.
//! The vault keeps a segment until every cursor has passed it.

mod dropping;
mod holders;
mod name;
mod stale;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use gophership_vault::CursorHandle;
use gophership_vault::Log;
use gophership_vault::VaultError;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;

use crate::component::id::ComponentId;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Signal;

use holders::Holder;
use holders::Holders;
use holders::Owner;
use name::BETWEEN;
use name::is_made_by;

pub use name::CursorOwner;
pub use name::copy_cursor_name;
pub use stale::Heir;
pub use stale::StaleCursor;

/// The cursors of one open vault.
pub struct SinkCursors {
    log: Arc<Log>,
    keep_removed: Duration,
    /// The lock makes one of those that acknowledge a record the last.
    holders: Mutex<Holders>,
    /// Wakes the replays when sinks came or left.
    changed: Notify,
}

impl SinkCursors {
    /// Makes the list, still empty. What a sink missed that is removed is kept for `keep_removed`.
    #[must_use]
    pub fn new(log: Arc<Log>, keep_removed: Duration) -> Self {
        Self { log, keep_removed, holders: Mutex::default(), changed: Notify::new() }
    }

    /// For how long the vault keeps what a sink missed that is no longer there.
    #[must_use]
    pub const fn keep_removed(&self) -> Duration {
        self.keep_removed
    }

    /// Makes sure that every sink has a cursor, on disk, before anything can be stored for it. Blocks.
    ///
    /// A sink without one begins where it was under a replay or a name that is no longer there; else where
    /// the slowest cursor is. What the vault keeps for a former name is read on the cursor of that name; what
    /// it keeps for all, on the sink's own, which goes back for it if the sink itself was away.
    /// Without replays nothing changes.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when a cursor cannot be written; then no sink may be added.
    pub fn prepare(&self, owners: &[CursorOwner]) -> Result<(), VaultError> {
        if owners.is_empty() {
            return Ok(());
        }
        self.pass_all_later();
        let names: Vec<String> = owners.iter().map(CursorOwner::cursor_name).collect();
        let mut orphans: Vec<String> = self.log.cursors();
        let is_of_replay = |name: &String| owners.iter().any(|it| it.replay.as_str() == name);
        orphans.retain(|name| is_of_replay(name) || name.contains(BETWEEN));
        let slowest: Vec<String> = self.slowest(&orphans).into_iter().collect();
        orphans.retain(|name| !names.contains(name));
        let mut new = Vec::new();
        for (owner, name) in owners.iter().zip(&names) {
            let likes = begins_at(owner, &orphans, &slowest);
            if self.log.copy_cursor(&likes, name)? {
                new.push((name, likes));
            }
            self.log.ensure_cursor(name)?;
        }
        let mut holders = self.lock();
        // What all were done with since is out of the books: nobody who comes may need it again.
        holders.pass_later(self.log.durable_seq());
        for (name, likes) in &new {
            self.log.catch_up(likes, name);
        }
        for (owner, name) in owners.iter().zip(&names) {
            if let Some(after) = holders.absent_after(name) {
                let former: Vec<String> =
                    orphans.iter().filter(|it| owner.was(it)).cloned().collect();
                self.log.need_again(name, &former, after)?;
            }
            holders.hold(&self.log, name);
        }
        for name in &orphans {
            let heir = match owners.iter().find(|owner| owner.was(name)) {
                Some(owner) => Heir::sink(owner),
                None if is_of_replay(name) || owners.iter().any(|owner| owner.is_of(name)) => {
                    Heir::Itself
                }
                None => holders.heir_so_far(name, owners),
            };
            holders.let_go(&self.log, name, heir);
        }
        holders.replays = owners.iter().map(|owner| owner.replay.clone()).collect();
        Ok(())
    }

    /// The cursor where a sink begins that has none: of those whose sinks are there, or have only now left,
    /// the slowest. What a sink missed that left earlier is for nobody else, unless there is nobody else.
    fn slowest(&self, all: &[String]) -> Option<String> {
        let holders = self.lock();
        let is_gone = |name: &String| holders.find(name).is_some_and(|it| it.gone().is_some());
        let there: Vec<String> = all.iter().filter(|name| !is_gone(name)).cloned().collect();
        self.log.slowest_of(&there).or_else(|| self.log.slowest_of(all))
    }

    /// Counts a cursor among those that keep records, if it is not.
    pub fn join(&self, name: &str) {
        let mut holders = self.lock();
        if holders.find(name).is_none() {
            holders.hold(&self.log, name);
        }
    }

    /// The change is done: sinks that left need nothing that is stored from now on.
    pub fn settle(&self) {
        let durable = self.log.durable_seq();
        for holder in &mut self.lock().all {
            if let Owner::Gone(gone) = &mut holder.owner {
                gone.until.get_or_insert(durable);
                gone.is_changing = false;
            }
        }
        self.changed.notify_waiters();
    }

    /// Waits for a change of sinks. One that happens before this is called is missed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The stale cursors that a replay looks after: those that it delivers to an heir, those that it made,
    /// and of one replay also those whose own replay is gone.
    #[must_use]
    pub fn stale(&self, replay: &ComponentId) -> Vec<StaleCursor> {
        let holders = self.lock();
        let is_leader = holders.replays.first() == Some(replay);
        let is_mine = |stale: &StaleCursor| match &stale.heir {
            Heir::Sink { replay: leads, .. } => leads == replay,
            Heir::Nobody | Heir::Itself => {
                let is_made_by = |replay| is_made_by(replay, &stale.name);
                is_made_by(replay) || is_leader && !holders.replays.iter().any(is_made_by)
            }
        };
        holders.all.iter().filter_map(Holder::as_stale).filter(is_mine).collect()
    }

    /// Acknowledges a record for one cursor; once all have it, the vault's copy leaves the ledger.
    pub fn ack(&self, cursor: &CursorHandle, seq: u64, ledger: &Ledger, booked: (Signal, u64)) {
        let (signal, records) = booked;
        if self.lock().ack(cursor, seq) {
            ledger.withdraw(signal, Bucket::Vaulted, records);
        }
    }

    /// Passes what was stored since the sink of a stale cursor left, unless the sink is back.
    pub fn pass_later(&self, stale: &StaleCursor, cursor: &CursorHandle) {
        let holders = self.lock();
        let durable = self.log.durable_seq();
        if holders.find_gone(cursor).is_some() && stale.until < durable {
            cursor.pass(stale.until + 1, durable);
        }
    }

    /// Gives a record up that a sink missed which is no longer there; one that the sink needed counts as
    /// dropped. Returns whether that was done: it is not if the sink is back, or another takes over.
    pub fn give_up(
        &self,
        cursor: &CursorHandle,
        seq: u64,
        ledger: &Ledger,
        booked: (Signal, u64),
        is_loss: bool,
    ) -> bool {
        let (signal, records) = booked;
        let holders = self.lock();
        if holders.find_gone(cursor).is_none_or(|gone| gone.heir != Heir::Nobody) {
            return false;
        }
        let is_last = holders.ack(cursor, seq);
        if is_loss {
            ledger.conclude(signal, Bucket::Dropped, records);
        }
        if is_last {
            ledger.withdraw(signal, Bucket::Vaulted, records);
        }
        true
    }

    /// Passes for every stale cursor what was stored since its sink left: who begins where it is does not
    /// need that either.
    fn pass_all_later(&self) {
        self.lock().pass_later(self.log.durable_seq());
    }

    /// Saves that stale cursors have passed what was stored since their sinks left, before the vault is closed
    /// or its replay ends: whoever opens it next does not know when that was. Blocks.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when a cursor cannot be saved.
    pub fn rest(&self) -> Result<(), VaultError> {
        self.pass_all_later();
        let is_gone = |holder: &&Holder| holder.gone().is_some();
        let cursor = |holder: &Holder| holder.cursor.clone();
        let stale: Vec<CursorHandle> = self.lock().all.iter().filter(is_gone).map(cursor).collect();
        stale.iter().try_for_each(CursorHandle::save)
    }

    /// Removes a stale cursor that nothing is kept for. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Log::remove_cursor`].
    pub fn remove(&self, name: &str) -> Result<(), VaultError> {
        let mut holders = self.lock();
        if holders.find(name).is_none_or(|holder| holder.gone().is_none()) {
            return Ok(());
        }
        // Under the lock, so that no reload takes it over meanwhile.
        self.log.remove_cursor(name)?;
        holders.all.retain(|holder| holder.name != name);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock()
    }
}

/// The cursors that one begins like which a sink has not: its own of another replay; else those of the names
/// that it had; else the slowest. What a sink has passed under another name says nothing of what is for this
/// one: only its own place does, if there is one.
fn begins_at(owner: &CursorOwner, orphans: &[String], slowest: &[String]) -> Vec<String> {
    let (own, former): (Vec<String>, Vec<String>) =
        orphans.iter().filter(|orphan| owner.had(orphan)).cloned().partition(|it| owner.is_of(it));
    let ways = [own, former].into_iter().find(|likes| !likes.is_empty());
    ways.unwrap_or_else(|| slowest.to_vec())
}
