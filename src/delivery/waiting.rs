//! How a request waits between two attempts: in the way of others only if its source waits for it.

use std::time::Duration;

use tokio::time::Instant;

use super::batch_group::BatchGroup;
use super::batch_group::CLAIM_CHECK;
use super::breaker::PAUSE_MAX;
use super::concurrency::ConcurrencyLimit;
use super::endpoint_set::EndpointSet;
use super::hints::Hints;
use super::resting::Resting;
use crate::event::Origin;

/// What the requests of one sink wait for.
pub(super) struct RetryWait<'a> {
    pub(super) limit: &'a ConcurrencyLimit,
    pub(super) endpoints: &'a EndpointSet,
    pub(super) hints: &'a Hints,
    pub(super) resting: &'a Resting,
}

impl RetryWait<'_> {
    /// Waits before the next attempt, or until the vault takes over. What is there already does so in nobody's way.
    pub(super) async fn pause(&self, group: &BatchGroup, pause: Duration) {
        if group.is_from(Origin::Vault) {
            self.rest(group, pause).await;
        } else {
            wait(group, pause).await;
        }
    }

    /// The same, in nobody's way: others are sent meanwhile.
    pub(super) async fn rest(&self, group: &BatchGroup, pause: Duration) {
        let rests = self.resting.begin(group.cost_bytes());
        wait(group, pause).await;
        rests.end(self.limit).await;
    }

    /// While no endpoint is there, what comes from a vault and was put off before leaves its place, and so the
    /// next question, to what comes for the first time: it may be all that the backend does not take.
    pub(super) async fn stand_back(&self, group: &BatchGroup, is_over: impl Fn() -> bool) {
        if !group.is_from(Origin::Vault) || !self.endpoints.is_out() {
            return;
        }
        let mut rests = self.resting.begin(group.cost_bytes());
        while self.endpoints.is_out() {
            if is_over() {
                return;
            }
            let left = self.endpoints.lock().asked_in(Instant::now());
            if left.is_zero() && rests.takes_place(self.limit.get()) {
                return;
            }
            let pause = if left.is_zero() { CLAIM_CHECK } else { left.min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
        rests.end(self.limit).await;
    }

    /// What comes from a vault may have been put off before it went there: waits until the backend wants
    /// to see it again, or takes others.
    pub(super) async fn heed(&self, group: &BatchGroup) {
        if !group.is_from(Origin::Vault) || self.hints.left(Instant::now()).is_zero() {
            return;
        }
        let rests = self.resting.begin(group.cost_bytes());
        while !group.is_claimed() {
            let left = self.hints.left(Instant::now());
            if left.is_zero() {
                break;
            }
            wait(group, left.min(CLAIM_CHECK)).await;
        }
        rests.end(self.limit).await;
    }
}

/// Waits for a time, or until the vault takes over.
async fn wait(group: &BatchGroup, pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !group.is_claimed() {
        tokio::time::sleep_until(until.min(Instant::now() + CLAIM_CHECK)).await;
    }
}
