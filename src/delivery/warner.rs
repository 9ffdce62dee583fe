//! What the log says of single answers of a sink's backend: not of each.
//!
//! Each kind of line has a limit of its own, so that what happens often hides nothing else. A line says how many of
//! its kind were left out before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gophership_units::REASON_BYTES_MAX;
use gophership_units::excerpt;
use parking_lot::Mutex;
use tokio::time::Instant;

/// At most one line of a kind per this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Warns for one sink.
pub(super) struct Warner {
    sink: Arc<str>,
    /// By what the line says, of which there are few.
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
}

/// What became of the lines of one kind.
#[derive(Debug)]
struct Kind {
    warned: Instant,
    /// Lines since then.
    left_out: u64,
    /// The last one of them.
    last: Option<Said>,
}

/// What a line says beside its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    endpoint: Option<String>,
    reason: String,
}

impl Kind {
    /// How many lines were left out before one that is written now; `None` if it is left out too.
    fn begin(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.warned) < WARN_EVERY {
            self.left_out += 1;
            return None;
        }
        self.warned = now;
        self.last = None;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Warner {
    pub(super) fn of(sink: &str) -> Self {
        Self { sink: sink.into(), kinds: Mutex::default() }
    }

    /// Says what happened, unless the same was said a moment ago.
    pub(super) fn warn(&self, what: &'static str, endpoint: Option<&str>, reason: &str) {
        let said = || Said {
            endpoint: endpoint.map(str::to_owned),
            reason: excerpt(reason, REASON_BYTES_MAX).into_owned(),
        };
        if let Some(left_out) = self.admit(what, Instant::now(), said) {
            self.say(what, &said(), left_out);
        }
    }

    /// Says what was left out and has not been followed by a line that says so.
    pub(super) fn tell(&self, now: Instant) {
        for (what, said, left_out) in self.due(now) {
            self.say(what, &said, left_out);
        }
    }

    /// How many lines were left out before this one; `None` if it is left out too.
    fn admit(&self, what: &'static str, now: Instant, said: impl FnOnce() -> Said) -> Option<u64> {
        let mut kinds = self.kinds.lock();
        let Some(kind) = kinds.get_mut(what) else {
            kinds.insert(what, Kind { warned: now, left_out: 0, last: None });
            return Some(0);
        };
        let admitted = kind.begin(now);
        if admitted.is_none() {
            kind.last = Some(said());
        }
        admitted
    }

    /// Takes the last line of each kind of which lines were left out for long enough, and how many others.
    fn due(&self, now: Instant) -> Vec<(&'static str, Said, u64)> {
        let mut kinds = self.kinds.lock();
        let is_due = |kind: &Kind| WARN_EVERY <= now.duration_since(kind.warned);
        let due = kinds.iter_mut().filter(|(_, kind)| is_due(kind)).filter_map(|(what, kind)| {
            let said = kind.last.take()?;
            // The last one itself is written.
            let left_out = kind.begin(now)?.saturating_sub(1);
            Some((*what, said, left_out))
        });
        due.collect()
    }

    fn say(&self, what: &str, said: &Said, left_out: u64) {
        let Said { endpoint, reason } = said;
        let endpoint = endpoint.as_ref().map(tracing::field::display);
        let left_out = (0 < left_out).then_some(left_out);
        tracing::warn!(sink = %self.sink, endpoint, reason, left_out, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIED: &str = "A request failed.";
    const REFUSED: &str = "A request was rejected.";

    fn said(reason: &str) -> Said {
        Said { endpoint: None, reason: reason.to_owned() }
    }

    #[test]
    fn each_kind_has_its_own_limit_and_the_next_line_says_what_was_left_out() {
        let (warner, start) = (Warner::of("backend"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let admitted = |what, second| warner.admit(what, at(second), || said("why"));
        assert_eq!(admitted(RETRIED, 0), Some(0));
        assert_eq!(admitted(REFUSED, 1), Some(0), "another kind");
        assert_eq!(admitted(REFUSED, 2), None);
        assert_eq!(admitted(REFUSED, 3), None);
        assert_eq!(admitted(RETRIED, 10), Some(0));
        assert_eq!(admitted(REFUSED, 11), Some(2));
        assert_eq!(admitted(REFUSED, 12), None);
    }

    #[test]
    fn what_no_line_follows_is_told_after_a_while() {
        let (warner, start) = (Warner::of("backend"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, reason) in [(0, "a"), (1, "b"), (2, "c"), (3, "d")] {
            let _first = warner.admit(REFUSED, at(second), || said(reason));
        }
        assert_eq!(warner.due(at(9)), []);
        assert_eq!(warner.due(at(10)), [(REFUSED, said("d"), 2)]);
        assert_eq!(warner.due(at(30)), [], "it is told once");
    }
}
