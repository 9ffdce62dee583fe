//! How long commits take, for the controller; also one that does not come to an end.

use std::time::Duration;
use std::time::Instant;

use gophership_vault::Stats;

use crate::somatic::Gauges;
use crate::somatic::PressureGauge;
use crate::somatic::PressureKind;

/// Looks at the vault's numbers from time to time.
pub(super) struct CommitWatch {
    gauge: PressureGauge,
    commits: u64,
    changed: Instant,
}

impl CommitWatch {
    pub(super) fn new(gauges: &Gauges, vault: &str) -> Self {
        let gauge = gauges.register(PressureKind::Commit, vault);
        Self { gauge, commits: 0, changed: Instant::now() }
    }

    /// Tells the duration of the last commit if there was one since the last look, how long the one
    /// under way has taken at least if there was none, and nothing at rest.
    pub(super) fn look(&mut self, stats: &Stats, now: Instant) {
        let permille = self.permille(stats, now);
        self.gauge.set(permille);
    }

    fn permille(&mut self, stats: &Stats, now: Instant) -> u32 {
        let has_committed = self.commits != stats.commits;
        if has_committed || stats.staged_bytes == 0 {
            (self.commits, self.changed) = (stats.commits, now);
        }
        let longest = if has_committed {
            stats.commit_latency
        } else {
            now.saturating_duration_since(self.changed)
        };
        permille_of_a_second(longest)
    }
}

fn permille_of_a_second(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_hangs_is_told_while_it_hangs_and_forgotten_at_rest() {
        let gauges = Gauges::default();
        let mut watch = CommitWatch::new(&gauges, "vault");
        let start = watch.changed;
        let mut look = |commits, staged_bytes, millis, second| {
            let commit_latency = Duration::from_millis(millis);
            let stats = Stats { staged_bytes, commit_latency, commits, ..Stats::default() };
            watch.permille(&stats, start + Duration::from_secs(second))
        };
        assert_eq!(look(0, 0, 0, 1), 0);
        assert_eq!(look(7, 100, 30, 2), 30);
        assert_eq!(look(7, 100, 30, 5), 3000, "it hangs");
        assert_eq!(look(8, 0, 3500, 6), 3500);
        assert_eq!(look(8, 0, 3500, 7), 0, "at rest");
    }
}
