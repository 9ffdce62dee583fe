//! What the log says of requests that a sink refuses for good: of the first at once, of those behind it in sum.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::component::ComponentId;

/// At most one line in so long for each end.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What became of refused requests.
pub(super) struct RefusalLog {
    source: ComponentId,
    kept: Mutex<Untold>,
    left: Mutex<Untold>,
}

/// Requests that are not told yet.
#[derive(Default)]
struct Untold {
    told: Option<Instant>,
    requests: u64,
    last: LoggedRefusal,
}

/// One of them.
#[derive(Clone, Default)]
pub(super) struct LoggedRefusal {
    pub(super) segment: u64,
    pub(super) seq: u64,
    pub(super) reason: String,
}

impl Untold {
    /// Adds one; returns how many are to be told now, if it is time.
    fn add(&mut self, refusal: LoggedRefusal, now: Instant) -> Option<u64> {
        self.requests += 1;
        self.last = refusal;
        let is_due = self.told.is_none_or(|told| TELL_EVERY <= now.duration_since(told));
        is_due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.requests)
        })
    }
}

impl RefusalLog {
    pub(super) fn of(source: &ComponentId) -> Self {
        Self { source: source.clone(), kept: Mutex::default(), left: Mutex::default() }
    }

    /// One more, which is in the dead-letter store or only in the bucket.
    pub(super) fn note(&self, refusal: &LoggedRefusal, is_kept: bool) {
        let untold = if is_kept { &self.kept } else { &self.left };
        let due = untold.lock().add(refusal.clone(), Instant::now());
        if let Some(requests) = due {
            self.tell(requests, refusal, is_kept);
        }
    }

    fn tell(&self, requests: u64, last: &LoggedRefusal, is_kept: bool) {
        let (source, LoggedRefusal { segment, seq, reason }) = (&self.source, last);
        if is_kept {
            tracing::warn!(
                %source, requests, segment, seq, reason,
                "Moved requests of the archive to the dead-letter store, because they can never be delivered. \
                 See `gs-ctl dead-letters ls`."
            );
        } else {
            tracing::warn!(
                %source, requests, segment, seq, reason,
                "Requests of the archive can never be delivered; they stay in the bucket only."
            );
        }
    }
}

impl Drop for RefusalLog {
    fn drop(&mut self) {
        for (untold, is_kept) in [(&self.kept, true), (&self.left, false)] {
            let Untold { requests, last, .. } = std::mem::take(&mut *untold.lock());
            if 0 < requests {
                self.tell(requests, &last, is_kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_sum() {
        let (mut untold, now) = (Untold::default(), Instant::now());
        assert_eq!(untold.add(LoggedRefusal::default(), now), Some(1));
        for _ in 0..99 {
            assert_eq!(untold.add(LoggedRefusal::default(), now), None);
        }
        assert_eq!(untold.add(LoggedRefusal::default(), now + TELL_EVERY), Some(100));
        assert_eq!(untold.requests, 0);
    }
}
