//! How background work (reading back, verifying, reading for an export) gives way to what comes in.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::state::lock;

/// While background work is paused, this long until it asks again.
pub(crate) const PAUSED_FOR: Duration = Duration::from_millis(200);
/// A rest is not worth its wake-up before so much work.
const WORK_MIN: Duration = Duration::from_millis(2);

type Ask = dyn Fn(Duration) -> Option<Duration> + Send + Sync;

/// Says how long background work rests after it worked so long; by default not at all. Cheap to clone.
#[derive(Clone, Default)]
pub struct Throttle(Option<Arc<Ask>>);

impl Throttle {
    /// No rest.
    pub(crate) const NONE: Self = Self(None);

    /// Asks `ask`, which must not wait; it answers none while background work pauses.
    pub fn new(ask: impl Fn(Duration) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    pub(crate) fn rest_after(&self, worked: Duration) -> Option<Duration> {
        self.0.as_ref().map_or(Some(Duration::ZERO), |ask| ask(worked))
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Throttle")
    }
}

/// Lets one worker rest between pieces of its work. Clones are of the same worker.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    throttle: Throttle,
    /// Since when it works; before its first piece none.
    began: Arc<Mutex<Option<Instant>>>,
}

impl Pacer {
    /// Follows `throttle`.
    #[must_use]
    pub fn new(throttle: Throttle) -> Self {
        Self { throttle, began: Arc::default() }
    }

    /// To be called before each piece of work: blocks for the rest that is due, and while work pauses,
    /// unless `is_cancelled`, which is asked every 200 ms at least.
    pub fn rest(&self, is_cancelled: impl Fn() -> bool) {
        let worked = lock(&self.began).map(|began| began.elapsed());
        if worked.is_some_and(|worked| worked < WORK_MIN) {
            return;
        }
        loop {
            let rest = self.throttle.rest_after(worked.unwrap_or_default());
            wait(rest.unwrap_or(PAUSED_FOR), &is_cancelled);
            if rest.is_some() || is_cancelled() {
                break;
            }
        }
        *lock(&self.began) = Some(Instant::now());
    }
}

/// A [`Pacer`] whose work can be cancelled from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancellablePacer {
    pacer: Pacer,
    is_cancelled: Arc<AtomicBool>,
}

impl CancellablePacer {
    pub(crate) fn new(throttle: Throttle, is_cancelled: Arc<AtomicBool>) -> Self {
        Self { pacer: Pacer::new(throttle), is_cancelled }
    }

    /// As [`Pacer::rest`]; returns whether to go on.
    pub(crate) fn rest(&self) -> bool {
        let is_cancelled = || self.is_cancelled.load(Ordering::Relaxed);
        self.pacer.rest(is_cancelled);
        !is_cancelled()
    }
}

fn wait(time: Duration, is_cancelled: impl Fn() -> bool) {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || is_cancelled() {
            return;
        }
        // A wake-up that was meant for something else does not make it shorter.
        std::thread::park_timeout(left.min(PAUSED_FOR));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// A pacer that is told to rest three times as long as it worked, after two pauses.
    fn paced() -> (Pacer, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let asks = Arc::clone(&asked);
        let ask = move |worked| (2 <= asks.fetch_add(1, Ordering::Relaxed)).then_some(worked * 3);
        (Pacer::new(Throttle::new(ask)), asked)
    }

    #[test]
    fn it_waits_while_work_pauses_and_rests_for_what_it_did() {
        let (pacer, asked) = paced();
        let begun = Instant::now();
        pacer.rest(|| false);
        assert!(PAUSED_FOR * 2 <= begun.elapsed(), "not even the first piece");
        pacer.rest(|| false);
        assert_eq!(asked.load(Ordering::Relaxed), 3, "nothing was done since");
        let begun = Instant::now();
        wait(WORK_MIN * 5, || false);
        pacer.rest(|| false);
        assert!(WORK_MIN * 20 <= begun.elapsed(), "worked once, rested three times as long");
    }

    #[test]
    fn who_gives_up_does_not_wait() {
        let pacer = Pacer::new(Throttle::new(|_worked| None));
        let begun = Instant::now();
        pacer.rest(|| true);
        assert!(begun.elapsed() < PAUSED_FOR);
    }

    #[test]
    fn without_a_throttle_there_is_no_rest() {
        let pacer = Pacer::new(Throttle::default());
        pacer.rest(|| false);
        wait(WORK_MIN, || false);
        let begun = Instant::now();
        pacer.rest(|| false);
        assert!(begun.elapsed() < WORK_MIN * 10);
    }
}
