//! The time in which nothing can be written: the vault refuses, and tries new segments until the disk is
//! well.
//!
//! ```text
//!  repeated failures --> refuses --wait, longer each time--> writes and syncs a block of a spare
//!                           ^                                    | failed: spare is taken away
//!                           +------------------------------------+
//!                                                                | well: the spare stands by again
//!                                                                +--> takes records
//! ```
//!
//! The block is zeros, as everything in a spare is, so that a crash in between leaves a spare.

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use crate::append::waits::RETRY_MIN;
use crate::append::waits::longer;

/// A failure so soon after an outage goes on with it.
const RELAPSE_WITHIN: Duration = Duration::from_mins(1);

/// The outage under way, and what is left of the one before.
#[derive(Default)]
pub(crate) struct Outages {
    pub(super) current: Option<DiskOutage>,
    /// The last wait.
    pub(super) delay: Duration,
    pub(super) ended: Option<Instant>,
    /// Files of spares that could not be taken away, with their sizes: the first thing that is tried.
    pub(super) left_behind: Vec<(PathBuf, u64)>,
}

pub(super) struct DiskOutage {
    pub(super) began: Instant,
    pub(super) next_try: Instant,
    pub(super) tries: u64,
}

/// What came of a try.
pub(super) enum RetryResult {
    Well,
    /// The helper has no spare yet; it has waits of its own.
    NoSpare,
    Failed(io::Error),
}

impl Outages {
    /// Whether there is one now.
    pub(crate) fn is_on(&self) -> bool {
        self.current.is_some()
    }

    /// Whether a failure belongs to the outage that ended shortly before.
    pub(crate) fn is_relapse(&self, now: Instant) -> bool {
        self.ended.is_some_and(|ended| now.duration_since(ended) < RELAPSE_WITHIN)
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.delay = if self.is_relapse(now) { longer(self.delay) } else { RETRY_MIN };
        self.current = Some(DiskOutage { began: now, next_try: now + self.delay, tries: 0 });
    }

    pub(super) fn wait_again(&mut self, tried: &RetryResult, now: Instant) {
        let Some(outage) = &mut self.current else { return };
        if matches!(tried, RetryResult::Failed(_)) {
            outage.tries += 1;
            self.delay = longer(self.delay);
            outage.next_try = now + self.delay;
        } else {
            outage.next_try = now + RETRY_MIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::waits::RETRY_MAX;

    #[test]
    fn waits_grow_to_their_limit_and_a_relapse_goes_on_with_them() {
        let (mut outages, start) = (Outages::default(), Instant::now());
        let failed = || RetryResult::Failed(io::Error::other("injected"));
        outages.begin(start);
        for millis in [400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            outages.wait_again(&failed(), start);
            assert_eq!(outages.delay, Duration::from_millis(millis));
        }
        outages.wait_again(&RetryResult::NoSpare, start);
        assert_eq!(outages.current.take().map(|outage| outage.next_try), Some(start + RETRY_MIN));
        outages.ended = Some(start);
        outages.begin(start + Duration::from_secs(59));
        assert_eq!(outages.delay, RETRY_MAX);
        outages.begin(start + Duration::from_secs(61));
        assert_eq!(outages.delay, RETRY_MIN);
    }
}
