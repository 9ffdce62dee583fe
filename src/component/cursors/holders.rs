//! Who keeps what in a vault: the cursors that there are, and whose they are.

use std::time::Instant;

use gophership_vault::CursorHandle;
use gophership_vault::Log;

use super::name::CursorOwner;
use super::stale::Heir;
use super::stale::StaleCursor;
use crate::component::id::ComponentId;

/// The cursors of a vault, and its replays.
#[derive(Default)]
pub(super) struct Holders {
    pub(super) all: Vec<Holder>,
    /// Those that there are. The first one looks after the cursors of replays that are gone.
    pub(super) replays: Vec<ComponentId>,
}

/// A cursor that keeps records in the vault, and in the ledger.
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) cursor: CursorHandle,
    pub(super) owner: Owner,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Its sink is on the path of its replay.
    Present,
    /// It is not.
    Gone(Gone),
}

/// What is known of a cursor whose sink has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) since: Instant,
    /// Known once the sink has handed back all it had.
    pub(super) until: Option<u64>,
    pub(super) heir: Heir,
    /// The heir is that of a configuration which is not in force yet.
    pub(super) is_changing: bool,
}

impl Holder {
    pub(super) fn gone(&self) -> Option<&Gone> {
        match &self.owner {
            Owner::Present => None,
            Owner::Gone(gone) => Some(gone),
        }
    }

    /// Whether it needs nothing more of a record.
    fn is_done_with(&self, seq: u64) -> bool {
        let until = self.gone().and_then(|gone| gone.until);
        until.is_some_and(|until| until < seq) || self.cursor.has(seq)
    }

    /// What its replay has to know, if its sink is gone for good.
    pub(super) fn as_stale(&self) -> Option<StaleCursor> {
        let Gone { since, until: Some(until), heir, is_changing: false } = self.gone()? else {
            return None;
        };
        let (name, heir) = (self.name.clone(), heir.clone());
        Some(StaleCursor { name, since: *since, until: *until, heir })
    }
}

impl Holders {
    pub(super) fn find(&self, name: &str) -> Option<&Holder> {
        self.all.iter().find(|holder| holder.name == name)
    }

    /// Finds one whose sink has left.
    pub(super) fn find_gone(&self, cursor: &CursorHandle) -> Option<&Gone> {
        self.all.iter().find(|holder| holder.cursor.is_of(cursor))?.gone()
    }

    /// After which record the sink of a cursor was not there; `None` if it is, or has only now left. Of one
    /// that an earlier process left nobody knows.
    pub(super) fn absent_after(&self, name: &str) -> Option<u64> {
        self.find(name).map_or(Some(0), |holder| holder.gone()?.until)
    }

    /// Acknowledges a record for one cursor; returns whether all are done with it now, and were not before.
    pub(super) fn ack(&self, cursor: &CursorHandle, seq: u64) -> bool {
        let are_done = || self.all.iter().all(|holder| holder.is_done_with(seq));
        let were_done = are_done();
        cursor.ack(seq);
        !were_done && are_done()
    }

    /// Whether a sink has not acknowledged a record: always, where no sink reads the vault.
    pub(super) fn is_needed(&self, seq: u64) -> bool {
        self.all.is_empty() || !self.all.iter().all(|holder| holder.is_done_with(seq))
    }

    /// Passes for every stale cursor what was stored since its sink left.
    pub(super) fn pass_later(&self, durable: u64) {
        for holder in &self.all {
            if let Some(until) = holder.gone().and_then(|gone| gone.until)
                && until < durable
            {
                holder.cursor.pass(until + 1, durable);
            }
        }
    }

    /// A handover that has begun goes on, even if the configuration no longer says why.
    pub(super) fn heir_so_far(&self, name: &str, owners: &[CursorOwner]) -> Heir {
        let heir = self.find(name).and_then(Holder::gone).map(|gone| &gone.heir);
        let Some(Heir::Sink { sink, .. }) = heir else { return Heir::Nobody };
        let owner = owners.iter().find(|owner| owner.sink == *sink);
        owner.map_or(Heir::Nobody, Heir::sink)
    }

    /// Makes a cursor known whose sink is there.
    pub(super) fn hold(&mut self, log: &Log, name: &str) {
        self.put(log, name, Owner::Present);
    }

    /// Makes a cursor known whose sink is not there; one that was gone before is as gone as then.
    pub(super) fn let_go(&mut self, log: &Log, name: &str, heir: Heir) {
        let holder = self.all.iter_mut().find(|holder| holder.name == name);
        if let Some(Holder { owner: Owner::Gone(gone), .. }) = holder {
            gone.is_changing |= gone.heir != heir;
            gone.heir = heir;
            return;
        }
        let gone = Gone { since: Instant::now(), until: None, heir, is_changing: true };
        self.put(log, name, Owner::Gone(gone));
    }

    fn put(&mut self, log: &Log, name: &str, owner: Owner) {
        let Some(cursor) = log.cursor(name) else { return };
        self.all.retain(|holder| holder.name != name);
        self.all.push(Holder { name: name.to_owned(), cursor, owner });
    }
}
