//! What backends ask of whoever comes again: [`PutOff`] of one request, and [`Hints`] for what the vault
//! took over meanwhile.

use std::time::Duration;

use gophership_http_client::Answer;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::time::Instant;

/// What all endpoints together said to one request: none of them took it.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    /// The first of them that may be asked again decides.
    soonest: Option<Duration>,
    last: Option<Answer>,
    /// One of them did not deny it, so that it is not known to be denied.
    is_later: bool,
}

impl PutOff {
    pub(super) fn add(&mut self, answer: Answer) {
        let after = match &answer {
            Answer::Retry { after, .. } => {
                self.is_later = true;
                after.unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        self.soonest = Some(self.soonest.map_or(after, |soonest| soonest.min(after)));
        self.last = Some(answer);
    }

    /// What that comes to; `None` if nobody was asked.
    pub(super) fn sum(self) -> Option<Answer> {
        match self.last? {
            Answer::Retry { reason, .. } => Some(Answer::Retry { after: self.soonest, reason }),
            Answer::Denied { reason } if self.is_later => {
                Some(Answer::Retry { after: self.soonest, reason })
            }
            denied => Some(denied),
        }
    }
}

/// When the backend wants to see again what it put off. That may come from the vault, which knows nothing
/// of what was said to it before.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<Option<Instant>>);

impl Hints {
    /// A request was put off, for so long if it was said.
    pub(super) fn note(&self, after: Option<Duration>, now: Instant) {
        let Some(after) = after.filter(|after| !after.is_zero()) else { return };
        let mut until = self.lock();
        *until = (*until).max(Some(now + after));
    }

    /// A request was taken: whoever comes is welcome.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// How long it is until then.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.lock().map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_one_endpoint_puts_off_is_not_denied_by_all() {
        let later = |after| Answer::Retry { after, reason: "later".to_owned() };
        let denied = || Answer::Denied { reason: "who are you?".to_owned() };
        let sum = |answers: Vec<Answer>| {
            let mut put_off = PutOff::default();
            for answer in answers {
                put_off.add(answer);
            }
            put_off.sum().unwrap()
        };
        assert_eq!(sum(vec![denied(), denied()]), denied());
        assert_eq!(sum(vec![later(Some(SECOND)), later(None)]), later(Some(Duration::ZERO)));
        let mixed = sum(vec![later(Some(SECOND)), denied()]);
        assert!(matches!(mixed, Answer::Retry { .. }), "{mixed:?}");
    }

    #[test]
    fn a_hint_holds_until_its_time_or_until_something_is_taken() {
        let (hints, now) = (Hints::default(), Instant::now());
        hints.note(None, now);
        hints.note(Some(Duration::ZERO), now);
        assert_eq!(hints.left(now), Duration::ZERO);
        hints.note(Some(SECOND * 2), now);
        hints.note(Some(SECOND), now);
        assert_eq!(hints.left(now + SECOND), SECOND);
        assert_eq!(hints.left(now + SECOND * 3), Duration::ZERO);
        hints.forget();
        assert_eq!(hints.left(now), Duration::ZERO);
    }
}
