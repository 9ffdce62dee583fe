//! An amount a second: records or bytes, shared by whoever takes some of it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Takers go one after the other; each leaves the time that its amount takes at the rate.
#[derive(Debug)]
pub struct RateLimit {
    per_second: u64,
    free_at: Mutex<Instant>,
}

impl RateLimit {
    /// Makes a limit of so much a second, at least 1.
    #[must_use]
    pub fn new(per_second: u64) -> Self {
        Self { per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until the amounts before this one are over. Dropped while it waits, the amount counts as taken.
    pub async fn take(&self, amount: u64) {
        tokio::time::sleep_until(self.reserve(amount, Instant::now())).await;
    }

    /// Takes an amount; returns how long to wait until the amounts before it are over. Does not wait.
    #[must_use]
    pub fn hold(&self, amount: u64) -> Duration {
        let now = Instant::now();
        self.reserve(amount, now).duration_since(now)
    }

    /// Takes an amount; returns when it is its turn.
    fn reserve(&self, amount: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock();
        let begins = (*free_at).max(now);
        *free_at = begins + worth(amount, self.per_second);
        begins
    }
}

/// Returns the time that an amount takes at a rate per second.
#[must_use]
pub fn worth(amount: u64, per_second: u64) -> Duration {
    let nanos = u128::from(amount) * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_what_was_taken_before() {
        let limit = RateLimit::new(100);
        let start = *limit.free_at.lock();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(limit.reserve(50, at(0)), at(0));
        assert_eq!(limit.reserve(200, at(100)), at(500), "half a second is taken");
        assert_eq!(limit.reserve(1, at(9000)), at(9000), "what nobody took is not saved up");
    }

    #[test]
    fn no_amount_and_no_rate_is_too_large_or_too_small() {
        assert_eq!(worth(3, 2), Duration::from_millis(1500));
        assert_eq!(worth(u64::MAX, 0), Duration::from_nanos(u64::MAX));
    }
}
