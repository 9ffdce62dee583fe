//! Who waits for a batch: one request, or each of those that were merged into it.

use std::sync::Arc;

use super::ack::AckTicket;
use super::ack::Outcome;
use super::sink_set::SinkSet;

/// What one request has in a batch.
#[derive(Debug)]
pub(super) struct AckShare {
    /// Its records that are still in the batch.
    pub(super) records: u64,
    /// Its records that were filtered out of the batch.
    pub(super) filtered: u64,
    /// `None` if nobody waits.
    pub(super) ticket: Option<AckTicket>,
}

impl AckShare {
    /// Whether somebody waits who takes the share back.
    pub(super) fn is_awaited(&self) -> bool {
        is_awaited(self.ticket.as_ref())
    }

    /// Takes a part of the records away, with a ticket of its own.
    fn split_off(&mut self, records: u64) -> Self {
        self.records -= records;
        Self { records, filtered: 0, ticket: self.ticket.as_ref().map(AckTicket::divide) }
    }
}

/// The shares of all; in a box, for a batch is moved often and most have none.
#[derive(Debug)]
pub(super) struct AckShares(pub(super) Vec<AckShare>);

/// Who waits for a batch.
#[derive(Debug)]
pub(super) enum AckGroup {
    /// One request; `None` once it was told, or if nobody waits.
    One(Option<AckTicket>),
    /// Several; which records are whose is not known any more, only how many.
    Many(Box<AckShares>),
}

impl Default for AckGroup {
    fn default() -> Self {
        Self::One(None)
    }
}

impl AckGroup {
    pub(super) fn many(shares: Vec<AckShare>) -> Self {
        Self::Many(Box::new(AckShares(shares)))
    }

    /// The holders of a further copy.
    pub(super) fn fork(&self) -> Self {
        match self {
            Self::One(ticket) => Self::One(ticket.as_ref().map(AckTicket::fork)),
            Self::Many(shares) => {
                let fork = |share: &AckShare| AckShare {
                    records: share.records,
                    filtered: 0,
                    ticket: share.ticket.as_ref().map(AckTicket::fork),
                };
                Self::many(shares.0.iter().map(fork).collect())
            }
        }
    }

    /// The holders of some of the records. All of them wait for both parts from now on: any record
    /// may be of any of them.
    pub(super) fn split_off(&mut self, mut records: u64) -> Self {
        match self {
            Self::One(ticket) => Self::One(ticket.as_ref().map(AckTicket::divide)),
            Self::Many(shares) => {
                let split = |share: &mut AckShare| {
                    let part = share.split_off(records.min(share.records));
                    records -= part.records;
                    part
                };
                Self::many(shares.0.iter_mut().map(split).collect())
            }
        }
    }

    /// Counts records as filtered out, from the first share on that has any.
    pub(super) fn filter(&mut self, mut records: u64) {
        let shares = match self {
            Self::One(ticket) => return ticket.iter().for_each(|ticket| ticket.filter(records)),
            Self::Many(shares) => shares,
        };
        for share in &mut shares.0 {
            let part = records.min(share.records);
            share.records -= part;
            share.filtered += part;
            records -= part;
        }
    }

    /// Takes records out that other copies have, from the first share on that has any.
    pub(super) fn leave(&mut self, mut records: u64) {
        let Self::Many(shares) = self else { return };
        for share in &mut shares.0 {
            let part = records.min(share.records);
            share.records -= part;
            records -= part;
        }
    }

    /// Whether the vault has taken all of it over.
    pub(super) fn is_claimed(&self) -> bool {
        let is_claimed = |ticket: &Option<AckTicket>| {
            let ticket = ticket.as_ref();
            ticket.is_some_and(AckTicket::is_claimed)
        };
        match self {
            Self::One(ticket) => is_claimed(ticket),
            Self::Many(shares) => shares.0.iter().all(|share| is_claimed(&share.ticket)),
        }
    }

    /// Whether it is the batch of one request, and a part of that for one of these lanes has failed.
    pub(super) fn is_lost(&self, sink_set: SinkSet) -> bool {
        matches!(self, Self::One(Some(ticket)) if ticket.is_lost(sink_set))
    }

    /// Whether it is the batch of one request, and the worst so far is that a part was refused for good.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::One(Some(ticket)) if ticket.is_refused())
    }

    /// Whether it is the batch of one request, and somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Self::One(ticket) => is_awaited(ticket.as_ref()),
            Self::Many(_) => false,
        }
    }

    /// Says to all of them that the sinks of some lanes need it no more.
    pub(super) fn serve(&self, sink_set: SinkSet) {
        self.for_each(|ticket| ticket.serve(sink_set));
    }

    /// Says to all of them why a backend refused the batch for good.
    pub(super) fn explain(&self, reason: &Arc<str>) {
        self.for_each(|ticket| ticket.explain(reason));
    }

    /// Says that these records of the batch were refused for good.
    pub(super) fn reject(&self, records: u64) {
        self.for_each(|ticket| ticket.reject(records));
    }

    fn for_each(&self, tell: impl Fn(&AckTicket)) {
        match self {
            Self::One(ticket) => ticket.iter().for_each(tell),
            Self::Many(shares) => {
                shares.0.iter().filter_map(|share| share.ticket.as_ref()).for_each(tell);
            }
        }
    }

    /// Tells all of them what became of the batch, which was for these lanes.
    pub(super) fn resolve(self, outcome: Outcome, sink_set: SinkSet) {
        if !outcome.is_safe() {
            self.for_each(|ticket| ticket.fail(sink_set));
        }
        match self {
            Self::One(Some(ticket)) => ticket.resolve(outcome),
            Self::One(None) => {}
            Self::Many(shares) => {
                for ticket in shares.0.into_iter().filter_map(|share| share.ticket) {
                    ticket.resolve(outcome);
                }
            }
        }
    }
}

fn is_awaited(ticket: Option<&AckTicket>) -> bool {
    ticket.is_some_and(|ticket| !ticket.is_orphaned())
}
