//! Rest: while no request comes and nothing presses, the zone is looked at less often.
//!
//! ```text
//!            no request and no pressure for CALM
//!   awake ----------------------------------------> at rest: a look every REST
//!     ^                                                |
//!     +------ the first request that takes room -------+
//! ```
//!
//! A sidecar whose application is silent would otherwise wake 200 times a second for nothing.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

/// So long nothing moves before it is at rest.
const CALM: Duration = Duration::from_millis(200);

/// Whether the process is at rest, and what wakes it. Shared.
#[derive(Debug, Default)]
pub struct Rest {
    is_resting: AtomicBool,
    woken: Notify,
}

impl Rest {
    /// How long is slept at rest, at most: so late is seen what comes from outside of the process, such as a
    /// neighbour that takes the host's memory, while nobody sends anything.
    pub const SLEEP: Duration = Duration::from_millis(250);

    /// A request comes: whoever rests wakes. One relaxed load, but for the first one after a rest.
    #[inline]
    pub fn wake(&self) {
        if self.is_resting.load(Ordering::Relaxed) {
            self.end();
        }
    }

    #[cold]
    fn end(&self) {
        self.is_resting.store(false, Ordering::Release);
        self.woken.notify_waiters();
    }

    /// Begins to rest, until somebody wakes it.
    pub fn begin(&self) {
        self.is_resting.store(true, Ordering::Release);
    }

    /// Whether it is at rest.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.is_resting.load(Ordering::Acquire)
    }

    /// Sleeps for `awake`; at rest for [`Rest::SLEEP`], and not longer than the rest. `begin` is told first when
    /// it is to wake. Returns whether it slept until then, and when that was.
    pub async fn sleep(
        &self,
        awake: Duration,
        begin: impl FnOnce(Instant),
    ) -> (bool, tokio::time::Instant) {
        let woken = self.woken.notified();
        tokio::pin!(woken);
        // From here on it hears who wakes it.
        let _was_woken = woken.as_mut().enable();
        let is_resting = self.is_resting();
        let due = tokio::time::Instant::now() + if is_resting { Self::SLEEP } else { awake };
        begin(due.into_std());
        if !is_resting {
            tokio::time::sleep_until(due).await;
            return (true, due);
        }
        let slept = tokio::time::timeout_at(due, woken).await;
        (slept.is_err(), due)
    }
}

/// Decides when rest may begin. Pure: it is told the time.
#[derive(Debug, Default)]
pub struct Calm {
    moved: i64,
    since: Option<Instant>,
}

impl Calm {
    /// Takes one look: a number that changes with each request, and whether nothing presses. Returns whether
    /// it has been calm for long enough.
    pub fn look(&mut self, now: Instant, moved: i64, is_easy: bool) -> bool {
        let is_calm = std::mem::replace(&mut self.moved, moved) == moved && is_easy;
        if !is_calm {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        CALM <= now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_is_calm_when_nothing_has_moved_or_pressed_for_a_while() {
        let (mut calm, start) = (Calm::default(), Instant::now());
        let mut look = |millis, moved, is_easy| {
            calm.look(start + Duration::from_millis(millis), moved, is_easy)
        };
        assert!(!look(0, 0, true), "it begins");
        assert!(!look(199, 0, true));
        assert!(look(200, 0, true));
        assert!(!look(210, 1, true), "a request came");
        assert!(!look(220, 1, true));
        assert!(look(420, 1, true));
        assert!(!look(430, 1, false), "something presses");
        assert!(!look(440, 1, true));
        assert!(look(700, 1, true));
    }

    #[tokio::test]
    async fn who_sleeps_at_rest_wakes_with_the_first_request() {
        let (rest, awake) = (Arc::new(Rest::default()), Duration::from_millis(10));
        let mut told = None;
        let (is_to_the_end, due) = rest.sleep(awake, |due| told = Some(due)).await;
        assert_eq!((is_to_the_end, told), (true, Some(due.into_std())));
        rest.begin();
        let begun = Instant::now();
        assert!(rest.sleep(awake, |_| ()).await.0);
        assert!(Rest::SLEEP <= begun.elapsed());
        for _ in 0..10 {
            rest.begin();
            let (sleeper, begun) = (Arc::clone(&rest), Instant::now());
            let sleeper = tokio::spawn(async move { sleeper.sleep(awake, |_| ()).await });
            tokio::time::sleep(awake).await;
            rest.wake();
            let (is_to_the_end, due) = sleeper.await.unwrap();
            assert!(!is_to_the_end && begun + awake < due.into_std());
            assert!(!rest.is_resting());
        }
    }
}
