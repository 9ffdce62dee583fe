//! What is to be told of an endpoint that refuses everything, and does not say that requests are at fault.

use std::time::Duration;

use tokio::time::Instant;

/// Told so often, while it lasts.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// When only requests that it has denied before asked for so long, another one is to ask.
const OTHERS_AFTER: Duration = Duration::from_secs(2);

/// The refusals of one endpoint since it took something last. Pure: it is told the time.
#[derive(Debug, Default)]
pub(super) struct Denial {
    count: u64,
    told: Option<Instant>,
    /// When it denied a request last that it had not denied before.
    first_tried: Option<Instant>,
}

impl Denial {
    /// It refused something, for the first time if it `is_first`. Returns how often it did so, if that is to be told now: once it is out, and
    /// then now and again.
    pub(super) fn denied(&mut self, is_first: bool, is_out: bool, now: Instant) -> Option<u64> {
        self.count += 1;
        if is_first || self.first_tried.is_none() {
            self.first_tried = Some(now);
        }
        let is_due = self.told.is_none_or(|told| TELL_EVERY <= now.duration_since(told));
        if !is_out || !is_due {
            return None;
        }
        self.told = Some(now);
        Some(self.count)
    }

    /// It took something, or does not answer any more.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Whether what it has denied before is all that asks.
    pub(super) fn wants_others(&self, now: Instant) -> bool {
        self.first_tried.is_some_and(|at| OTHERS_AFTER <= now.duration_since(at))
    }

    /// Whether refusing is what it did last.
    pub(super) const fn is_on(&self) -> bool {
        0 < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_when_it_is_out_and_then_now_and_again() {
        let (mut denial, now) = (Denial::default(), Instant::now());
        assert_eq!(denial.denied(true, false, now), None);
        assert_eq!(denial.denied(true, true, now), Some(2));
        for _ in 0..100 {
            assert_eq!(denial.denied(false, true, now + TELL_EVERY / 2), None);
        }
        assert_eq!(denial.denied(false, true, now + TELL_EVERY), Some(103));
        assert!(denial.is_on() && denial.wants_others(now + OTHERS_AFTER));
        assert!(!denial.wants_others(now));
        denial.end();
        assert!(!denial.is_on());
        assert_eq!(denial.denied(false, true, now + TELL_EVERY), Some(1), "that is news");
    }

    #[test]
    fn another_request_is_to_ask_when_for_a_while_only_those_did_that_it_had_denied() {
        let (mut denial, now) = (Denial::default(), Instant::now());
        assert!(!denial.wants_others(now + OTHERS_AFTER));
        denial.denied(false, true, now);
        denial.denied(false, true, now + OTHERS_AFTER / 2);
        assert!(denial.wants_others(now + OTHERS_AFTER));
        denial.denied(true, true, now + OTHERS_AFTER / 2);
        assert!(!denial.wants_others(now + OTHERS_AFTER), "another one has asked");
    }
}
