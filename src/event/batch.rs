//! [`Batch`]: one request of one signal on its way through the pipeline.

use std::sync::Arc;

use bytes::Bytes;
use gophership_otlp::Signal;

use super::ack::AckTicket;
use super::ack::Outcome;
use super::ack_group::AckGroup;
use super::ack_group::AckShare;
use super::ledger::Bucket;
use super::ledger::Ledger;
use super::ledger::signed;
use super::note::Provenance;
use super::request::Origin;
use super::request::Request;
use super::sink_ledger::SinkBucket;
use super::sink_ledger::SinkId;
use super::sink_set::SinkSet;

/// One request of one signal, which must be settled.
///
/// Dropped without being settled it counts as failed: its source takes it back.
#[derive(Debug)]
pub struct Batch {
    pub(super) signal: Signal,
    pub(super) origin: Origin,
    /// The protobuf bytes of the request, as received or edited on the wire form.
    pub(super) wire: Bytes,
    /// Log records, spans or metric data points.
    pub(super) records: u64,
    /// Records filtered out so far; given back to the source when the batch fails. A request is smaller
    /// than 4 GiB, so it has fewer records.
    pub(super) filtered: u32,
    /// When the request was received, in nanoseconds since 1970 by the wall clock.
    pub(super) received_unix_ns: u64,
    pub(super) provenance: Provenance,
    /// The sinks that it is for.
    pub(super) sink_set: SinkSet,
    /// Nobody once settled.
    pub(super) ack_group: AckGroup,
    /// That of its source.
    pub(super) ledger: &'static Ledger,
    /// The sink that has it, once it has come to one.
    pub(super) sink: SinkId,
    pub(super) state: BatchState,
}

/// How far it is, and what stands behind it; in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchState {
    /// To be settled.
    Open,
    /// The same, and a vault stands by that takes it over if it fails.
    Backed,
    Settled,
}

impl Batch {
    /// Makes a batch of a request just received, and books its records as received.
    #[must_use]
    pub fn received(request: &Request, ticket: Option<AckTicket>, ledger: &'static Ledger) -> Self {
        ledger.book(request.signal, Bucket::Received, signed(request.records));
        Self::in_flight(request, Origin::Source, SinkSet::ALL, ticket, ledger)
    }

    /// Makes a copy of a request that the vault holds, for some sinks. The vault's own stays in the books
    /// until nobody needs it any more ([`Ledger::withdraw`]).
    #[must_use]
    pub fn replayed(
        request: &Request,
        sink_set: SinkSet,
        ticket: AckTicket,
        ledger: &'static Ledger,
    ) -> Self {
        Self::copied(request, Origin::Vault, sink_set, ticket, ledger)
    }

    /// Makes the copy that the vault gets, for the sinks that still need it, of a request whose first
    /// copy is late or was given back.
    #[must_use]
    pub fn second_copy(
        request: &Request,
        sink_set: SinkSet,
        ticket: AckTicket,
        ledger: &'static Ledger,
    ) -> Self {
        Self::copied(request, Origin::Source, sink_set, ticket, ledger)
    }

    /// A further copy of a request that is in the books already.
    fn copied(
        request: &Request,
        origin: Origin,
        sink_set: SinkSet,
        ticket: AckTicket,
        ledger: &'static Ledger,
    ) -> Self {
        ledger.book(request.signal, Bucket::Copies, signed(request.records));
        Self::in_flight(request, origin, sink_set, Some(ticket), ledger)
    }

    fn in_flight(
        request: &Request,
        origin: Origin,
        sink_set: SinkSet,
        ticket: Option<AckTicket>,
        ledger: &'static Ledger,
    ) -> Self {
        ledger.book(request.signal, Bucket::InFlight, signed(request.records));
        Self {
            signal: request.signal,
            origin,
            wire: request.wire.clone(),
            records: request.records,
            filtered: 0,
            received_unix_ns: request.received_unix_ns,
            provenance: request.provenance.clone(),
            sink_set,
            ack_group: AckGroup::One(ticket),
            ledger,
            sink: SinkId::NONE,
            state: BatchState::Open,
        }
    }

    /// Makes a further copy for another branch of a fan-out, for those of its sinks that are in `sink_set`.
    #[must_use]
    pub fn fork(&self, sink_set: SinkSet) -> Self {
        self.ledger.book(self.signal, Bucket::Copies, signed(self.records));
        self.ledger.book(self.signal, Bucket::InFlight, signed(self.records));
        Self {
            signal: self.signal,
            origin: self.origin,
            wire: self.wire.clone(),
            records: self.records,
            filtered: 0,
            received_unix_ns: self.received_unix_ns,
            provenance: self.provenance.clone(),
            sink_set: self.sink_set.and(sink_set),
            ack_group: self.ack_group.fork(),
            ledger: self.ledger,
            sink: SinkId::NONE,
            state: self.state,
        }
    }

    /// Has it come to a sink, which answers for it from now on.
    pub(crate) fn enter(&mut self, sink: SinkId) {
        self.sink = sink;
        self.book_at_sink(SinkBucket::Taken, self.records);
    }

    fn book_at_sink(&self, bucket: SinkBucket, records: u64) {
        self.ledger.book_at(self.sink, self.signal, bucket, records);
    }

    /// The signal of the request.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Where the batch came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The sinks that it is for.
    #[must_use]
    pub const fn sink_set(&self) -> SinkSet {
        self.sink_set
    }

    /// Leaves it to those of its sinks that are in `sink_set`; the others have copies of their own.
    pub fn narrow(&mut self, sink_set: SinkSet) {
        self.sink_set = self.sink_set.and(sink_set);
    }

    /// Says whether a vault stands by that takes it over if it fails.
    pub const fn back(&mut self, is_backed: bool) {
        self.state = if is_backed { BatchState::Backed } else { BatchState::Open };
    }

    /// Whether whoever cannot deliver it at once does best to let it fail: it came from a client that
    /// waits, and a vault stood by when it was placed. What came from a vault waits for nobody.
    #[must_use]
    pub fn is_backed(&self) -> bool {
        self.state == BatchState::Backed && self.origin == Origin::Source
    }

    /// The number of log records, spans or metric data points.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// When the request was received, in nanoseconds since 1970.
    #[must_use]
    pub const fn received_unix_ns(&self) -> u64 {
        self.received_unix_ns
    }

    /// Where the request came from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The protobuf bytes of the request.
    #[must_use]
    pub const fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// What the batch counts for against a limit in bytes.
    #[must_use]
    pub const fn cost_bytes(&self) -> u64 {
        self.wire.len() as u64
    }

    /// Replaces the content; `records` are left of it, the others were filtered out.
    pub fn replace(&mut self, wire: Bytes, records: u64) {
        let dropped = self.records.saturating_sub(records);
        if dropped > 0 {
            self.ledger.shift(self.signal, Bucket::InFlight, Bucket::Filtered, dropped);
            self.book_at_sink(SinkBucket::Returned, dropped);
        }
        self.records -= dropped;
        self.filtered += u32::try_from(dropped).unwrap_or(u32::MAX);
        self.ack_group.filter(dropped);
        self.wire = wire;
    }

    /// Whether the vault has taken the batch over, all of it, so that it must not be delivered.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.ack_group.is_claimed()
    }

    /// Whether it is of one request of which a part for the same sinks has failed already: all of that
    /// goes to them another way, so delivering this too is of no use.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.ack_group.is_lost(self.sink_set)
    }

    /// Settles: a sink has it.
    pub fn delivered(mut self) {
        self.settle(Bucket::Delivered, Outcome::Delivered);
    }

    /// Settles: the vault has it at its durability level.
    pub fn vaulted(mut self) {
        self.settle(Bucket::Vaulted, Outcome::Vaulted);
    }

    /// Settles: all that was left of it has been filtered out.
    pub fn filtered(mut self) {
        self.ack_group.filter(self.records);
        self.settle(Bucket::Filtered, Outcome::Delivered);
    }

    /// Settles: nobody had room for it, and its client is told so.
    pub fn refused(mut self) {
        self.settle(Bucket::RejectedNoRoom, Outcome::Failed);
    }

    /// Settles: a backend refused it for good. A batch from the vault goes back to its replay,
    /// which moves it to the dead-letter store. One that was merged has failed.
    pub fn rejected(mut self) {
        match self.origin {
            _ if matches!(self.ack_group, AckGroup::Many(_)) => self.failed(),
            Origin::Source => self.settle(Bucket::RejectedByBackend, Outcome::Rejected),
            Origin::Vault => self.give_back(Outcome::Rejected),
        }
    }

    /// As [`Batch::rejected`], with what the backend said.
    pub fn rejected_for(self, reason: &Arc<str>) {
        self.ack_group.explain(reason);
        self.rejected();
    }

    /// Settles: the dead-letter store has it.
    pub fn dead_lettered(mut self) {
        self.settle(Bucket::DeadLettered, Outcome::Vaulted);
    }

    /// Settles: a sink has it, but the backend said that it rejected some of its records.
    pub fn delivered_except(mut self, rejected: u64) {
        let rejected = rejected.min(self.records);
        self.ledger.shift(self.signal, Bucket::InFlight, Bucket::RejectedByBackend, rejected);
        self.book_at_sink(SinkBucket::Rejected, rejected);
        self.records -= rejected;
        self.settle(Bucket::Delivered, Outcome::Delivered);
    }

    /// Settles: the vault has taken the record over, or never let go of it, so this copy is not delivered.
    pub fn superseded(mut self) {
        self.give_back(match self.origin {
            Origin::Source => Outcome::Vaulted,
            Origin::Vault => Outcome::Failed,
        });
    }

    /// Settles: this copy was one too many.
    pub fn withdrawn(mut self) {
        self.give_back(Outcome::Delivered);
    }

    /// Settles: not delivered. Its source finds another way, or answers for it.
    pub fn failed(self) {
        drop(self);
    }

    fn settle(&mut self, bucket: Bucket, outcome: Outcome) {
        if std::mem::replace(&mut self.state, BatchState::Settled) == BatchState::Settled {
            return;
        }
        self.ledger.shift(self.signal, Bucket::InFlight, bucket, self.records);
        let bucket = match bucket {
            Bucket::Delivered => SinkBucket::Delivered,
            Bucket::RejectedByBackend => SinkBucket::Rejected,
            _ => SinkBucket::Returned,
        };
        self.book_at_sink(bucket, self.records);
        let ack_group = std::mem::take(&mut self.ack_group);
        if outcome.is_safe() {
            ack_group.serve(self.sink_set);
        }
        if outcome == Outcome::Rejected {
            ack_group.reject(self.records);
        }
        ack_group.resolve(outcome, self.sink_set);
    }

    /// Takes this copy out of the books, as if it had never been made.
    fn give_back(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.state, BatchState::Settled) == BatchState::Settled {
            return;
        }
        self.unbook(self.records, u64::from(self.filtered));
        let is_rejected = outcome == Outcome::Rejected;
        self.book_at_sink(
            if is_rejected { SinkBucket::Rejected } else { SinkBucket::Returned },
            self.records,
        );
        std::mem::take(&mut self.ack_group).resolve(outcome, self.sink_set);
    }

    pub(super) fn unbook(&self, records: u64, filtered: u64) {
        let (records, filtered) = (signed(records), signed(filtered));
        self.ledger.book(self.signal, Bucket::InFlight, -records);
        self.ledger.book(self.signal, Bucket::Filtered, -filtered);
        self.ledger.book(self.signal, Bucket::Copies, -(records + filtered));
    }

    /// Gives each share back to who waits for it, and answers for those that nobody waits for.
    fn fail_each(&mut self, shares: Vec<AckShare>) {
        self.book_at_sink(SinkBucket::Returned, self.records);
        for share in shares {
            if self.origin == Origin::Vault || share.is_awaited() {
                self.unbook(share.records, share.filtered);
            } else {
                let bucket = Bucket::RejectedAbandoned;
                self.ledger.shift(self.signal, Bucket::InFlight, bucket, share.records);
            }
            AckGroup::One(share.ticket).resolve(Outcome::Failed, self.sink_set);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.state == BatchState::Settled {
            return;
        }
        match std::mem::take(&mut self.ack_group) {
            AckGroup::Many(shares) => {
                self.state = BatchState::Settled;
                self.fail_each(shares.0);
            }
            one @ AckGroup::One(_) => {
                // Its source finds another way; that of the vault still has it there.
                let is_taken_back = self.origin == Origin::Vault || one.is_awaited();
                self.ack_group = one;
                if is_taken_back {
                    self.give_back(Outcome::Failed);
                } else {
                    self.settle(Bucket::RejectedAbandoned, Outcome::Failed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ledgers;
    use crate::event::ack;

    const LOGS: Signal = Signal::Logs;

    fn request(records: u64) -> Request {
        let (wire, provenance) = (Bytes::new(), Provenance::default());
        Request { signal: LOGS, wire, records, received_unix_ns: 0, provenance }
    }

    /// A batch of ten records of `in` that sink `out` has.
    fn at_sink(ledgers: &'static Ledgers, origin: Origin) -> Batch {
        let (ticket, waiter) = ack::channel();
        let ledger = ledgers.source("in");
        let mut batch = match origin {
            Origin::Source => Batch::received(&request(10), Some(ticket), ledger),
            Origin::Vault => Batch::replayed(&request(10), SinkSet::ALL, ticket, ledger),
        };
        // Somebody waits as long as the process lives.
        std::mem::forget(waiter);
        batch.enter(ledgers.sink("out"));
        batch
    }

    /// Taken, delivered, rejected, returned, and what the sink has now.
    fn sink_ledger(ledgers: &Ledgers) -> [i64; 5] {
        let (_, sink_ledger) = ledgers.sinks().find(|(name, _)| *name == "out").unwrap();
        let [taken, delivered, rejected, returned, _] =
            SinkBucket::ALL.map(|bucket| sink_ledger.count(LOGS, bucket));
        [taken, delivered, rejected, returned, sink_ledger.in_flight(LOGS)]
    }

    #[test]
    fn a_batch_is_no_larger_for_its_sink() {
        assert_eq!(size_of::<Batch>(), 120);
    }

    #[test]
    fn each_end_of_a_batch_at_a_sink_is_in_the_row_of_the_sink_once() {
        use Origin::{Source, Vault};
        type End = fn(Batch);

        let ends: [(Origin, End, [i64; 5]); 9] = [
            (Source, Batch::delivered, [10, 10, 0, 0, 0]),
            (Vault, Batch::delivered, [10, 10, 0, 0, 0]),
            (Source, |batch| batch.delivered_except(4), [10, 6, 4, 0, 0]),
            (Source, Batch::rejected, [10, 0, 10, 0, 0]),
            (Vault, Batch::rejected, [10, 0, 10, 0, 0]),
            (Source, Batch::superseded, [10, 0, 0, 10, 0]),
            (Source, Batch::failed, [10, 0, 0, 10, 0]),
            (Vault, Batch::failed, [10, 0, 0, 10, 0]),
            (Source, std::mem::forget, [10, 0, 0, 0, 10]),
        ];
        for (number, (origin, end, expected)) in ends.into_iter().enumerate() {
            let ledgers = Ledgers::leak();
            end(at_sink(ledgers, origin));
            assert_eq!(sink_ledger(ledgers), expected, "{number}");
            assert_eq!(ledgers.source("in").imbalance(LOGS), 0, "{number}");
        }
    }

    #[test]
    fn parts_and_copies_of_what_a_sink_has_are_counted_where_they_are() {
        let ledgers = Ledgers::leak();
        let mut batch = at_sink(ledgers, Origin::Source);
        let copy = batch.fork(SinkSet::ALL);
        let part = batch.split_off(Bytes::new(), 4);
        copy.withdrawn();
        part.delivered();
        assert_eq!(sink_ledger(ledgers), [10, 4, 0, 0, 6]);
        batch.replace(Bytes::new(), 5);
        batch.delivered();
        assert_eq!(sink_ledger(ledgers), [10, 9, 0, 1, 0]);
    }

    #[test]
    fn each_source_has_books_of_its_own_and_sources_add_up() {
        let ledgers = Ledgers::leak();
        Batch::received(&request(3), None, ledgers.source("a")).delivered();
        Batch::received(&request(5), None, ledgers.source("b")).filtered();
        let count = |source: &str, bucket| ledgers.source(source).count(LOGS, bucket);
        assert_eq!([count("a", Bucket::Received), count("b", Bucket::Received)], [3, 5]);
        assert_eq!([count("a", Bucket::Delivered), count("b", Bucket::Delivered)], [3, 0]);
        assert_eq!((ledgers.total(Bucket::Received), ledgers.total(Bucket::Filtered)), (8, 5));
        assert_eq!(ledgers.imbalance(LOGS), 0);
    }
}
