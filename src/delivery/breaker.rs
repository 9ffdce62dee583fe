//! The circuit breaker of one endpoint: while it is out, a few requests ask whether it is back.
//!
//! ```text
//!           FAILURES in a row             one request at a time asks, each after a pause
//!  closed --------------------> open ---------------------------------------------------+
//!     ^                           ^                                                     |
//!     +------- any success -------+------------- failure: the pause doubles ------------+
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// Retryable failures in a row that open the circuit.
pub(super) const FAILURES: u32 = 5;
/// Between two questions, at most: so late an endpoint that is back is noticed.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
struct Open {
    since: Instant,
    ask_at: Instant,
    pause: Duration,
}

/// Decides when an endpoint may be asked. Pure: it is told the time.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    open: Option<Open>,
    pause_min: Duration,
}

impl Breaker {
    pub(super) fn new(pause_min: Duration) -> Self {
        Self { failures: 0, open: None, pause_min: pause_min.min(PAUSE_MAX) }
    }

    /// When it may be asked next, if it is out.
    pub(super) fn ask_at(&self) -> Option<Instant> {
        self.open.map(|open| open.ask_at)
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// It is asked now; `chance` from 0 to 1 spreads the next question, so that many senders of one
    /// backend do not ask in step.
    pub(super) fn asked(&mut self, now: Instant, chance: f64) {
        let Some(open) = &mut self.open else { return };
        open.pause = (open.pause * 2).min(PAUSE_MAX);
        open.ask_at = now + open.pause.mul_f64(0.75 + chance / 4.0);
    }

    /// It answered with something else than "later". Returns for how long it was out.
    pub(super) fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.failures = 0;
        Some(now.duration_since(self.open.take()?.since))
    }

    /// An attempt failed and may be repeated, not before `after` if the endpoint said so. Returns
    /// whether that opened the circuit.
    pub(super) fn failed(&mut self, now: Instant, after: Option<Duration>) -> bool {
        let after = after.unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            open.ask_at = open.ask_at.max(now + after);
            return false;
        }
        if self.failures < FAILURES {
            return false;
        }
        let pause = self.pause_min;
        self.open = Some(Open { since: now, ask_at: now + pause.max(after), pause });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    fn open(breaker: &mut Breaker, now: Instant) {
        for failure in 1..=FAILURES {
            assert_eq!(breaker.failed(now, None), failure == FAILURES);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_it_come_to_that() {
        let mut breaker = Breaker::new(PAUSE);
        let now = Instant::now();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(now, None));
            }
            assert_eq!(breaker.succeeded(now), None);
        }
        open(&mut breaker, now);
        assert_eq!(breaker.succeeded(now + PAUSE), Some(PAUSE));
        assert!(!breaker.is_open());
    }

    #[test]
    fn the_pauses_between_questions_grow_to_their_limit() {
        let mut breaker = Breaker::new(PAUSE);
        let mut now = Instant::now();
        open(&mut breaker, now);
        assert_eq!(breaker.ask_at(), Some(now + PAUSE));
        let mut pauses = Vec::new();
        for _ in 0..10 {
            now = breaker.ask_at().unwrap();
            breaker.asked(now, 1.0);
            assert!(!breaker.failed(now, None));
            pauses.push((breaker.ask_at().unwrap() - now).as_millis());
        }
        assert_eq!(pauses[..4], [200, 400, 500, 500]);
        assert_eq!(pauses[9], 500);
        breaker.asked(now, 0.0);
        assert_eq!(breaker.ask_at(), Some(now + PAUSE_MAX * 3 / 4), "spread by chance");
    }

    #[test]
    fn nobody_asks_before_the_endpoint_wants_to_be_asked() {
        let mut breaker = Breaker::new(PAUSE);
        let now = Instant::now();
        open(&mut breaker, now);
        let after = Duration::from_secs(30);
        assert!(!breaker.failed(now, Some(after)));
        assert_eq!(breaker.ask_at(), Some(now + after));
    }
}
