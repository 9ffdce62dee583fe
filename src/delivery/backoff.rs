//! How long to wait before the next attempt: exponential backoff with full jitter.

use std::time::Duration;

/// The pauses of one request: each is a random part of a span that doubles.
///
/// Full jitter: requests that failed together come back apart, however many they are.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with spans of `min`, which double up to `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// Begins anew.
    pub const fn reset(&mut self) {
        self.next = self.min;
    }

    /// The next pause, for a `chance` from 0 to less than 1; never 0. What the backend asked for
    /// comes before it, so that those who were told the same come apart too.
    pub fn pause(&mut self, after: Option<Duration>, chance: f64) -> Duration {
        let pause = self.next.mul_f64(1.0 - chance).max(Duration::from_micros(1));
        self.next = self.next.saturating_mul(2).min(self.max);
        after.unwrap_or_default() + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn the_span_doubles_to_its_limit_and_begins_anew() {
        let mut backoff = Backoff::new(MIN, MAX);
        let spans: Vec<u128> = (0..8).map(|_| backoff.pause(None, 0.0).as_millis()).collect();
        assert_eq!(spans, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.pause(None, 0.0), MIN);
    }

    #[test]
    fn a_pause_is_anywhere_in_its_span_but_never_nothing() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let chance = rng.f64();
            let pause = Backoff::new(MIN, MAX).pause(None, chance);
            assert!(Duration::ZERO < pause && pause <= MIN, "{pause:?}");
            tenths[(pause.as_micros() / 10_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn what_the_backend_asked_for_is_waited_first() {
        let asked = Duration::from_secs(7);
        let mut backoff = Backoff::new(MIN, MAX);
        assert_eq!(backoff.pause(Some(asked), 0.5), asked + MIN / 2);
        assert_eq!(backoff.pause(None, 0.0), MIN * 2);
    }
}
