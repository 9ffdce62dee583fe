//! One batch becomes two, several become one: records are neither copied nor filtered by that.

use bytes::Bytes;

use super::ack_group::AckGroup;
use super::ack_group::AckShare;
use super::batch::Batch;
use super::batch::BatchState;

impl Batch {
    /// Whether it was merged from several requests.
    #[must_use]
    pub const fn is_merged(&self) -> bool {
        matches!(self.ack_group, AckGroup::Many(_))
    }

    /// Moves `records` of it, which are `wire`, into a batch of their own. Its own bytes stay until
    /// they are replaced.
    ///
    /// No record is copied or filtered by that; who waits for this batch waits for both from now on.
    #[must_use]
    pub fn split_off(&mut self, wire: Bytes, records: u64) -> Self {
        let records = records.min(self.records);
        self.records -= records;
        Self {
            signal: self.signal,
            origin: self.origin,
            wire,
            records,
            filtered: 0,
            received_unix_ns: self.received_unix_ns,
            provenance: self.provenance.clone(),
            sink_set: self.sink_set,
            ack_group: self.ack_group.split_off(records),
            ledger: self.ledger,
            sink: self.sink,
            state: self.state,
        }
    }

    /// Makes one batch of several; it has the time of the first one received and the provenance of
    /// the first in the list. `None` if there is none.
    ///
    /// Settled once, it is settled for each of them: whoever waits for one has the outcome of all.
    /// Two things differ from the batch of one request, since nobody knows whose record is at fault:
    ///
    /// * Rejected, each of them has failed: it finds its other way by itself, where it is known
    ///   whether it was the one.
    /// * It is claimed only when all of them are. One that the vault took over alone is delivered with
    ///   the others, and by the vault again: delivered at least once, as always.
    ///
    /// # Panics
    ///
    /// If they are not all of one signal, origin and source, or not for the same sinks: they could not be
    /// booked as one.
    #[must_use]
    pub fn merge(batches: Vec<Self>) -> Option<Self> {
        if batches.len() <= 1 {
            return batches.into_iter().next();
        }
        let wires: Vec<Bytes> = batches.iter().map(|batch| batch.wire.clone()).collect();
        let mut rest = batches.into_iter();
        let mut merged = rest.next()?;
        merged.wire = gophership_otlp::merge(&wires);
        let mut shares = merged.take_shares();
        for mut batch in rest {
            let kind = |batch: &Self| (batch.signal, batch.origin, batch.sink_set, batch.sink);
            let is_alike =
                kind(&batch) == kind(&merged) && std::ptr::eq(batch.ledger, merged.ledger);
            assert!(is_alike, "batches that are merged are of one kind");
            merged.records += batch.records;
            merged.filtered += batch.filtered;
            merged.received_unix_ns = merged.received_unix_ns.min(batch.received_unix_ns);
            if batch.state == BatchState::Open {
                merged.state = BatchState::Open;
            }
            shares.append(&mut batch.take_shares());
            batch.state = BatchState::Settled;
        }
        merged.ack_group = AckGroup::many(shares);
        Some(merged)
    }

    fn take_shares(&mut self) -> Vec<AckShare> {
        match std::mem::take(&mut self.ack_group) {
            AckGroup::One(ticket) => {
                let (records, filtered) = (self.records, u64::from(self.filtered));
                vec![AckShare { records, filtered, ticket }]
            }
            AckGroup::Many(shares) => shares.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Outcome;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::SinkSet;
    use crate::event::ack;
    use crate::event::ack::AckWaiter;
    use gophership_otlp::demo::demo_logs;

    const LOGS: Signal = Signal::Logs;

    /// A batch of so many records that somebody waits for.
    fn batch(ledger: &'static Ledger, records: u64) -> (Batch, AckWaiter) {
        let wire = demo_logs(usize::try_from(records).unwrap(), 1, records);
        let provenance = Provenance::default();
        let request =
            Request { signal: LOGS, wire, records, received_unix_ns: 100 - records, provenance };
        let (ticket, waiter) = ack::channel();
        (Batch::received(&request, Some(ticket), ledger), waiter)
    }

    /// Copies, in flight, delivered, filtered, abandoned and failed; and that they balance.
    fn books(ledger: &Ledger) -> [i64; 6] {
        use Bucket::{Copies, Delivered, Filtered, InFlight, RejectedAbandoned, RejectedFailed};
        assert_eq!(ledger.imbalance(LOGS), 0);
        [Copies, InFlight, Delivered, Filtered, RejectedAbandoned, RejectedFailed]
            .map(|bucket| ledger.count(LOGS, bucket))
    }

    #[test]
    fn a_split_moves_records_and_both_parts_are_waited_for() {
        let ledger = Ledger::leak();
        let (mut first, waiter) = batch(ledger, 10);
        let second = first.split_off(Bytes::from_static(b"part"), 4);
        assert_eq!((first.records(), second.records()), (6, 4));
        assert_eq!(books(ledger), [0, 10, 0, 0, 0, 0]);
        second.delivered();
        assert_eq!(waiter.outcome(), None);
        first.failed();
        assert_eq!(waiter.outcome(), Some(Outcome::Failed));
        assert_eq!(books(ledger), [-6, 0, 4, 0, 0, 0]);
        ledger.conclude(LOGS, Bucket::RejectedFailed, 10);
        assert_eq!(books(ledger), [4, 0, 4, 0, 0, 10], "four records were delivered all the same");
    }

    #[test]
    fn a_merged_batch_is_settled_for_all_at_once() {
        let ledger = Ledger::leak();
        let (batches, waiters): (Vec<_>, Vec<_>) =
            [3, 5, 7].map(|n| batch(ledger, n)).into_iter().unzip();
        let wires: Vec<u8> = batches.iter().flat_map(|batch| batch.wire().to_vec()).collect();
        let merged = Batch::merge(batches).unwrap();
        assert_eq!((merged.records(), merged.received_unix_ns()), (15, 93));
        assert!(merged.wire() == &wires);
        let copy = merged.fork(SinkSet::ALL);
        merged.delivered();
        assert!(waiters.iter().all(|waiter| waiter.outcome().is_none()));
        copy.delivered();
        assert!(waiters.iter().all(|waiter| waiter.outcome() == Some(Outcome::Delivered)));
        assert_eq!(books(ledger), [15, 0, 30, 0, 0, 0]);
    }

    #[test]
    fn of_a_merged_batch_that_fails_each_has_back_what_was_its_own() {
        let ledger = Ledger::leak();
        let (one, waiter) = batch(ledger, 3);
        let (two, gone) = batch(ledger, 5);
        let mut merged = Batch::merge(vec![one, two]).unwrap();
        merged.replace(Bytes::new(), 4);
        assert_eq!(books(ledger), [0, 4, 0, 4, 0, 0]);
        drop(gone);
        drop(merged);
        assert_eq!(waiter.outcome(), Some(Outcome::Failed));
        assert_eq!(books(ledger), [-3, 0, 0, 1, 4, 0]);
        ledger.conclude(LOGS, Bucket::RejectedFailed, 3);
        assert_eq!(books(ledger), [0, 0, 0, 1, 4, 3]);
    }

    #[test]
    fn a_merged_batch_that_is_split_is_waited_for_by_all_until_its_last_part() {
        let ledger = Ledger::leak();
        let (one, first) = batch(ledger, 3);
        let (two, second) = batch(ledger, 5);
        let mut merged = Batch::merge(vec![one, two]).unwrap();
        let part = merged.split_off(Bytes::new(), 4);
        assert_eq!((merged.records(), part.records()), (4, 4));
        part.delivered();
        assert_eq!((first.outcome(), second.outcome()), (None, None));
        drop(merged);
        assert_eq!(
            (first.outcome(), second.outcome()),
            (Some(Outcome::Failed), Some(Outcome::Failed))
        );
        ledger.conclude(LOGS, Bucket::RejectedFailed, 3);
        ledger.conclude(LOGS, Bucket::RejectedFailed, 5);
        assert_eq!(books(ledger), [4, 0, 4, 0, 0, 8]);
    }

    #[test]
    fn a_merged_batch_is_claimed_when_all_of_it_is() {
        let ledger = Ledger::leak();
        let (one, first) = batch(ledger, 3);
        let (two, second) = batch(ledger, 5);
        let merged = Batch::merge(vec![one, two]).unwrap();
        first.claim();
        assert!(!merged.is_claimed());
        second.claim();
        assert!(merged.is_claimed());
        merged.superseded();
        assert_eq!(books(ledger), [-8, 0, 0, 0, 0, 0]);
        assert_eq!(first.outcome(), Some(Outcome::Vaulted));
    }

    #[test]
    fn nobody_is_told_that_a_merged_batch_was_rejected_for_good() {
        let ledger = Ledger::leak();
        let (one, first) = batch(ledger, 3);
        let (two, second) = batch(ledger, 5);
        Batch::merge(vec![one, two]).unwrap().rejected();
        assert_eq!(
            (first.outcome(), second.outcome()),
            (Some(Outcome::Failed), Some(Outcome::Failed))
        );
        let (alone, waiter) = batch(ledger, 2);
        Batch::merge(vec![alone]).unwrap().rejected();
        assert_eq!(waiter.outcome(), Some(Outcome::Rejected));
    }
}
