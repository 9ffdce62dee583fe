//! How long the disk has not given something.

use std::time::Duration;
use std::time::Instant;

/// Since when a segment cannot be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadTrouble {
    since: Instant,
    last: Instant,
}

impl ReadTrouble {
    /// Goes on from trouble that is not long over.
    pub(crate) fn next(before: Option<Self>, now: Instant, patience: Duration) -> Self {
        let before = before.filter(|before| now.duration_since(before.last) <= patience);
        Self { since: before.map_or(now, |before| before.since), last: now }
    }

    /// How long it has lasted.
    pub(crate) fn lasted(&self) -> Duration {
        self.last.duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_that_is_over_for_long_does_not_count() {
        let (start, patience) = (Instant::now(), Duration::from_secs(30));
        let at = |secs| start + Duration::from_secs(secs);
        let first = ReadTrouble::next(None, at(0), patience);
        let second = ReadTrouble::next(Some(first), at(20), patience);
        let third = ReadTrouble::next(Some(second), at(45), patience);
        assert_eq!(third.since, at(0));
        assert_eq!(ReadTrouble::next(Some(third), at(80), patience).since, at(80));
    }
}
