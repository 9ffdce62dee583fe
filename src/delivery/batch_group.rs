//! [`BatchGroup`]: the batches that travel in one request, and are settled by its one answer.

use std::time::Duration;

use gophership_units::REASON_BYTES_MAX;
use gophership_units::excerpt;

use crate::event::Batch;
use crate::event::Origin;

/// How often a request looks whether the vault has taken over meanwhile.
pub(super) const CLAIM_CHECK: Duration = Duration::from_millis(50);

/// Batches of one signal. Never empty until it is settled.
#[derive(Debug)]
pub(super) struct BatchGroup(Vec<Batch>);

impl BatchGroup {
    pub(super) fn one(batch: Batch) -> Self {
        Self(vec![batch])
    }

    /// Batches of one signal, at least one.
    pub(super) const fn of(batches: Vec<Batch>) -> Self {
        Self(batches)
    }

    pub(super) fn batches(&self) -> &[Batch] {
        &self.0
    }

    pub(super) fn records(&self) -> u64 {
        self.0.iter().map(Batch::records).sum()
    }

    pub(super) fn cost_bytes(&self) -> u64 {
        self.0.iter().map(Batch::cost_bytes).sum()
    }

    /// When each of them was received, in nanoseconds since 1970.
    pub(super) fn received_unix_ns(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(Batch::received_unix_ns)
    }

    /// Whether all of it has this origin.
    pub(super) fn is_from(&self, origin: Origin) -> bool {
        self.0.iter().all(|batch| batch.origin() == origin)
    }

    /// Whether the vault has taken over all of it, so that nobody waits for an answer.
    pub(super) fn is_claimed(&self) -> bool {
        self.0.iter().all(Batch::is_claimed)
    }

    /// Whether vaults stand by for all of it, or have taken it over.
    pub(super) fn is_backed(&self) -> bool {
        self.0.iter().all(|batch| batch.is_backed() || batch.is_claimed())
    }

    /// Lets fail what a vault stands by for, which takes it over; returns whether there is a rest.
    pub(super) fn leave_to_vault(&mut self) -> bool {
        self.sift();
        for batch in self.0.extract_if(.., |batch| batch.is_backed()) {
            batch.failed();
        }
        !self.0.is_empty()
    }

    /// Settles what the vault has taken over and keeps the rest; returns whether there is a rest.
    pub(super) fn sift(&mut self) -> bool {
        for batch in self.0.extract_if(.., |batch| batch.is_claimed()) {
            batch.superseded();
        }
        !self.0.is_empty()
    }

    /// Each batch by itself.
    pub(super) fn split(self) -> Vec<Self> {
        self.0.into_iter().map(Self::one).collect()
    }

    /// Settles: the backend has all of it, less so many records.
    pub(super) fn delivered_except(self, mut rejected: u64) {
        for batch in self.0 {
            // It does not say which; the books are right in sum.
            let share = rejected.min(batch.records());
            rejected -= share;
            batch.delivered_except(share);
        }
    }

    /// Settles: the backend refused it for good, and said why.
    pub(super) fn rejected(self, reason: &str) {
        let reason = excerpt(reason, REASON_BYTES_MAX).into();
        self.0.into_iter().for_each(|batch| batch.rejected_for(&reason));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::AckWaiter;
    use crate::event::Bucket;
    use crate::event::Ledger;
    use crate::event::Outcome;
    use crate::event::Provenance;
    use crate::event::Request;
    use crate::event::Signal;
    use crate::event::SinkSet;
    use crate::event::ack;

    /// Requests with so many records each, and as many bytes.
    struct Requests {
        group: BatchGroup,
        waiters: Vec<AckWaiter>,
        ledger: &'static Ledger,
    }

    fn requests(records: &[u64]) -> Requests {
        let (ledger, mut waiters) = (Ledger::leak(), Vec::new());
        let batch = |records: &u64| {
            let (ticket, waiter) = ack::channel();
            waiters.push(waiter);
            let wire = Bytes::from(vec![0; usize::try_from(*records).unwrap()]);
            let (signal, provenance) = (Signal::Logs, Provenance::default());
            let received_unix_ns = records * 1000;
            let request = Request { signal, wire, records: *records, received_unix_ns, provenance };
            Batch::received(&request, Some(ticket), ledger)
        };
        let group = BatchGroup::of(records.iter().map(batch).collect());
        Requests { group, waiters, ledger }
    }

    impl Requests {
        /// The records of the batches that are left.
        fn left(&self) -> Vec<u64> {
            self.group.batches().iter().map(Batch::records).collect()
        }
    }

    #[test]
    fn a_group_is_as_large_as_its_batches_together() {
        let Requests { group, .. } = requests(&[3, 4]);
        assert_eq!((group.records(), group.cost_bytes()), (7, 7));
        assert!(group.received_unix_ns().eq([3000, 4000]));
        assert!(group.is_from(Origin::Source) && !group.is_from(Origin::Vault));
        let split: Vec<u64> = group.split().iter().map(BatchGroup::records).collect();
        assert_eq!(split, [3, 4]);
    }

    #[test]
    fn a_group_is_of_one_origin_only_if_each_batch_is() {
        let mut group = requests(&[3]).group;
        let (ticket, _waiter) = ack::channel();
        let request = Request {
            signal: Signal::Logs,
            wire: Bytes::new(),
            records: 1,
            received_unix_ns: 0,
            provenance: Provenance::default(),
        };
        group.0.push(Batch::replayed(&request, SinkSet::ALL, ticket, Ledger::leak()));
        assert!(!group.is_from(Origin::Source) && !group.is_from(Origin::Vault));
    }

    #[test]
    fn only_what_the_vault_has_taken_over_is_sifted_out() {
        let mut requests = requests(&[3, 4]);
        assert!(!requests.group.is_claimed() && requests.group.sift());
        assert_eq!(requests.left(), [3, 4]);
        requests.waiters[0].claim();
        assert!(!requests.group.is_claimed() && requests.group.sift());
        assert_eq!(requests.left(), [4]);
        requests.waiters[1].claim();
        assert!(requests.group.is_claimed() && !requests.group.sift());
        assert!(requests.group.batches().is_empty());
        assert_eq!(requests.ledger.total(Bucket::InFlight), 0);
    }

    #[test]
    fn only_what_a_vault_stands_by_for_is_left_to_it() {
        let mut requests = requests(&[3, 4, 5]);
        requests.group.0[0].back(true);
        requests.waiters[1].claim();
        assert!(!requests.group.is_backed(), "the third one has nobody else");
        assert!(requests.group.leave_to_vault());
        assert_eq!(requests.left(), [5]);
        assert_eq!(requests.waiters[0].outcome(), Some(Outcome::Failed));
        requests.group.0[0].back(true);
        assert!(requests.group.is_backed() && !requests.group.leave_to_vault());
    }

    #[test]
    fn a_group_is_backed_also_by_a_vault_that_has_taken_it_over() {
        let requests = requests(&[3]);
        assert!(!requests.group.is_backed());
        requests.waiters[0].claim();
        assert!(requests.group.is_backed());
    }

    #[test]
    fn rejected_records_are_shared_out_and_no_batch_has_more_than_its_own() {
        let Requests { group, ledger, .. } = requests(&[3, 4]);
        group.delivered_except(5);
        assert_eq!(ledger.total(Bucket::Delivered), 2);
        assert_eq!(ledger.total(Bucket::RejectedByBackend), 5);
    }

    #[test]
    fn a_group_that_is_refused_says_why_to_each_sender() {
        let Requests { group, ledger, waiters } = requests(&[3, 4]);
        group.rejected("too large");
        for waiter in &waiters {
            assert_eq!(waiter.reason().as_deref(), Some("too large"));
        }
        assert_eq!(ledger.total(Bucket::RejectedByBackend), 7);
    }
}
