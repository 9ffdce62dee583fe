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
