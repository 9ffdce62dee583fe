//! Which segments of a vault are to be uploaded next, and how far behind the bucket is. Pure.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use gophership_vault::SegmentId;
use gophership_vault::SegmentInfo;
use gophership_vault::SegmentState;
use tokio::time::Instant;

/// How far behind the bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    /// When the oldest of them was begun.
    pub(super) oldest_unix_ns: Option<u64>,
}

/// The segments that are not in the bucket.
#[derive(Debug, Default)]
pub(super) struct UploadBacklog {
    /// Those that are being uploaded.
    under_way: BTreeSet<SegmentId>,
    /// Those that wait for an operator, or for another try, until then.
    resting: BTreeMap<SegmentId, (Instant, bool)>,
    /// Those that were there at the last look.
    seen: BTreeSet<SegmentId>,
    /// Those up to here were there at the first look: an earlier process may have uploaded them.
    doubtful_through: Option<SegmentId>,
    has_looked: bool,
}

/// What a look shows.
#[derive(Debug, Default)]
pub(super) struct BacklogView {
    /// To be uploaded now, in this order; each with whether it may be in the bucket already.
    pub(super) next: Vec<(SegmentInfo, bool)>,
    /// Gone from the vault before they were in the bucket.
    pub(super) gone: Vec<SegmentId>,
    pub(super) lag: Lag,
}

impl UploadBacklog {
    /// Takes a look at the segments of a vault; `is_passed` says of which the cursor is done. At most `room`
    /// are to be begun now.
    pub(super) fn look(
        &mut self,
        segments: &[SegmentInfo],
        is_passed: impl Fn(&SegmentInfo) -> bool,
        room: usize,
        now: Instant,
    ) -> BacklogView {
        let is_complete = |info: &&SegmentInfo| {
            matches!(info.state, SegmentState::Sealed | SegmentState::Quarantined)
        };
        let left: Vec<&SegmentInfo> = segments
            .iter()
            .filter(is_complete)
            .filter(|info| 0 < info.records && !is_passed(info))
            .collect();
        let last = segments.iter().map(|info| info.id).max();
        if !std::mem::replace(&mut self.has_looked, true) {
            self.doubtful_through = last;
        }
        let doubtful_through = self.doubtful_through;
        let ids: BTreeSet<SegmentId> = left.iter().map(|info| info.id).collect();
        let is_listed = |id: &SegmentId| segments.iter().any(|info| info.id == *id);
        let gone = self.seen.iter().filter(|id| !is_listed(id) && !self.under_way.contains(id));
        let gone = gone.copied().collect();
        self.resting.retain(|id, (until, _)| ids.contains(id) && now < *until);
        let may_begin = |info: &&&SegmentInfo| {
            !self.under_way.contains(&info.id) && !self.resting.contains_key(&info.id)
        };
        let room = room.saturating_sub(self.under_way.len());
        let next = left.iter().filter(may_begin).take(room);
        let next: Vec<(SegmentInfo, bool)> =
            next.map(|info| ((*info).clone(), Some(info.id) <= doubtful_through)).collect();
        self.under_way.extend(next.iter().map(|(info, _)| info.id));
        self.seen = ids;
        let lag = Lag {
            segments: left.len() as u64,
            bytes: left.iter().map(|info| info.file_bytes).sum(),
            oldest_unix_ns: left.iter().map(|info| info.created_unix_ns).min(),
        };
        BacklogView { next, gone, lag }
    }

    /// A segment is done with: it is passed, or comes again.
    pub(super) fn done(&mut self, id: SegmentId) {
        self.under_way.remove(&id);
    }

    /// A segment is passed, so that it may go.
    pub(super) fn passed(&mut self, id: SegmentId) {
        self.done(id);
        self.seen.remove(&id);
    }

    /// A segment is not tried again before then; the others go on.
    pub(super) fn rest(&mut self, id: SegmentId, until: Instant, is_alarm: bool) {
        self.done(id);
        self.resting.insert(id, (until, is_alarm));
    }

    /// Segments that wait for an operator.
    pub(super) fn alarms(&self) -> usize {
        self.resting.values().filter(|(_, is_alarm)| *is_alarm).count()
    }

    /// Segments that are being uploaded.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}
