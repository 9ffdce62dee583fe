//! A batch for several outputs: each of its copies has some of its records, for some of its sinks.

use bytes::Bytes;

use super::batch::Batch;
use super::sink_set::SinkSet;

impl Batch {
    /// Fails a copy for those of its sinks that are not in `behind`, the sinks that this way leads to: a reload
    /// took them away while it was on its way, and its source finds another one. A batch for whoever there is
    /// misses nobody.
    pub fn leave_out(&mut self, behind: SinkSet) {
        let gone = self.sink_set.without(behind);
        if self.sink_set == SinkSet::ALL || gone.is_empty() || gone == self.sink_set {
            // Of one that is for nobody here, all fails.
            return;
        }
        self.fork(gone).failed();
        self.narrow(behind);
    }

    /// Leaves it `records`, which are `wire`, for those of its sinks that are in `sink_set`. Of the
    /// others `filtered` go to nobody, and the rest is what further copies have that were made of it.
    ///
    /// Unlike the parts that [`Batch::split_off`] makes, copies with different lanes are served each
    /// for itself: one that has arrived need not be sent again because another has not.
    pub fn trim(&mut self, wire: Bytes, records: u64, filtered: u64, sink_set: SinkSet) {
        self.replace(wire, self.records - filtered.min(self.records));
        let elsewhere = self.records.saturating_sub(records);
        self.unbook(elsewhere, 0);
        self.records -= elsewhere;
        self.ack_group.leave(elsewhere);
        self.narrow(sink_set);
    }

    /// Whether the worst that became of a part or copy of its request so far is that it was refused for good.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.ack_group.is_refused()
    }

    /// Says that none of it is for the sinks of some lanes, so that they need no other copy either.
    pub fn spare(&self, sink_set: SinkSet) {
        self.ack_group.serve(sink_set);
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
    use crate::event::SinkTable;
    use crate::event::ack;
    use crate::event::ack::AckWaiter;

    fn batch(ledger: &'static Ledger, records: u64) -> (Batch, AckWaiter) {
        let (signal, wire) = (Signal::Logs, Bytes::from_static(b"all"));
        let provenance = Provenance::default();
        let request = Request { signal, wire, records, received_unix_ns: 0, provenance };
        let (ticket, waiter) = ack::channel();
        (Batch::received(&request, Some(ticket), ledger), waiter)
    }

    /// Received, copies, in flight, delivered and filtered.
    fn books(ledger: &Ledger) -> [i64; 5] {
        use Bucket::{Copies, Delivered, Filtered, InFlight, Received};
        assert_eq!(ledger.imbalance(Signal::Logs), 0);
        [Received, Copies, InFlight, Delivered, Filtered].map(|bucket| ledger.total(bucket))
    }

    #[test]
    fn copies_of_different_records_are_served_each_for_itself() {
        let (ledger, sink_set) = (Ledger::leak(), SinkTable::default());
        let (a, b, c) = (sink_set.lane("a"), sink_set.lane("b"), sink_set.lane("c"));
        let (mut batch, waiter) = batch(ledger, 10);
        let mut other = batch.fork(a);
        other.trim(Bytes::from_static(b"a"), 5, 0, a);
        batch.spare(c);
        batch.trim(Bytes::from_static(b"b"), 4, 3, b);
        assert_eq!((other.records(), batch.records()), (5, 4), "two of them for both");
        assert_eq!(books(ledger), [10, 2, 9, 0, 3]);
        other.delivered();
        assert_eq!((waiter.served(), waiter.outcome()), (a.or(c), None));
        batch.failed();
        assert_eq!((waiter.served(), waiter.outcome()), (a.or(c), Some(Outcome::Failed)));
        assert_eq!(books(ledger), [10, -5, 0, 5, 0], "what was filtered is filtered again");
    }

    #[test]
    fn of_a_merged_batch_every_share_waits_for_every_copy() {
        let (ledger, sink_set) = (Ledger::leak(), SinkTable::default());
        let (a, b) = (sink_set.lane("a"), sink_set.lane("b"));
        let ((one, first), (two, second)) = (batch(ledger, 3), batch(ledger, 5));
        let mut merged = Batch::merge(vec![one, two]).unwrap();
        let mut copy = merged.fork(a);
        copy.trim(Bytes::new(), 4, 0, a);
        merged.trim(Bytes::new(), 3, 1, b);
        assert_eq!(books(ledger), [8, 0, 7, 0, 1]);
        copy.delivered();
        assert_eq!((first.outcome(), second.outcome()), (None, None));
        assert_eq!((first.served(), second.served()), (a, a));
        drop(merged);
        let failed = Some(Outcome::Failed);
        assert_eq!((first.outcome(), second.outcome()), (failed, failed));
        assert_eq!(books(ledger)[2..4], [0, 4]);
    }

    #[test]
    fn more_records_than_there_are_do_not_come_into_the_books() {
        let ledger = Ledger::leak();
        let (mut batch, _waiter) = batch(ledger, 2);
        batch.trim(Bytes::new(), 9, 0, SinkSet::ALL);
        assert_eq!(books(ledger), [2, 0, 2, 0, 0]);
        batch.trim(Bytes::new(), 9, 9, SinkSet::ALL);
        assert_eq!(books(ledger), [2, 0, 0, 0, 2]);
        batch.filtered();
        assert_eq!(books(ledger), [2, 0, 0, 0, 2]);
    }
}
