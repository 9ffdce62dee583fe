//! How far a replay is: the state of each segment, counted for the metrics.

use std::collections::HashMap;

use gophership_archive::Manifest;
use parking_lot::Mutex;

use crate::metrics::ReplayState;
use crate::metrics::S3ReplayMetrics;

/// A vault and the number of a segment of it.
pub(super) type VaultSegment = (u128, u64);

/// The state of every segment that the last look found.
pub(super) struct SegmentStates {
    states: Mutex<HashMap<VaultSegment, ReplayState>>,
    figures: S3ReplayMetrics,
}

impl SegmentStates {
    pub(super) fn new(figures: S3ReplayMetrics) -> Self {
        Self { states: Mutex::default(), figures }
    }

    /// A look found these segments. Those that are known keep their state; others are forgotten.
    pub(super) fn found(&self, segments: &[VaultSegment]) {
        let mut states = self.states.lock();
        let before = std::mem::take(&mut *states);
        let state = |key: &VaultSegment| before.get(key).copied().unwrap_or(ReplayState::Waiting);
        *states = segments.iter().map(|key| (*key, state(key))).collect();
        for state in ReplayState::ALL {
            let count = states.values().filter(|found| **found == state).count();
            self.figures.set_segments(state, count as u64);
        }
    }

    /// The state of a segment is another one. What is done stays done: when the replay follows, it asks again.
    pub(super) fn set(&self, segment: VaultSegment, state: ReplayState) {
        let mut states = self.states.lock();
        let Some(known) = states.get_mut(&segment) else { return };
        if *known == state || *known == ReplayState::Done {
            return;
        }
        let before = std::mem::replace(known, state);
        let count = self.figures.segments(before);
        self.figures.set_segments(before, count.saturating_sub(1));
        self.figures.set_segments(state, self.figures.segments(state) + 1);
    }

    /// The source was stopped: what it had found is no longer so.
    pub(super) fn forget(&self) {
        self.states.lock().clear();
        self.figures.forget_segments();
    }
}

/// The key of a segment.
pub(super) const fn key(manifest: &Manifest) -> VaultSegment {
    (manifest.vault_id, manifest.segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn each_segment_counts_in_one_state_and_what_is_done_stays_done() {
        let metrics = Metrics::new();
        let figures = metrics.s3_replay("archive");
        let progress = SegmentStates::new(figures.clone());
        let counts = || ReplayState::ALL.map(|state| figures.segments(state));
        let segments = [(7, 1), (7, 2), (7, 3), (8, 1)];
        progress.found(&segments);
        assert_eq!(counts(), [4, 0, 0, 0, 0]);

        for (segment, end) in segments.into_iter().zip([
            ReplayState::Done,
            ReplayState::ByOthers,
            ReplayState::Unusable,
            ReplayState::Waiting,
        ]) {
            progress.set(segment, ReplayState::Claimed);
            progress.set(segment, end);
        }
        assert_eq!(counts(), [1, 0, 1, 1, 1]);

        // The next look finds the first again, which is done, and another one; the others are gone.
        progress.found(&[(7, 1), (7, 5)]);
        progress.set((7, 1), ReplayState::ByOthers);
        assert_eq!(counts(), [1, 0, 1, 0, 0]);
        progress.set((7, 2), ReplayState::Done);
        assert_eq!(counts(), [1, 0, 1, 0, 0], "it is not of this replay");

        progress.forget();
        assert!(!metrics.render().unwrap().contains("s3_replay_segments{"));
    }
}
