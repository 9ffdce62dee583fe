//! When a request that a backend puts off again and again is given up: never because the backend is out.
//!
//! "Later" is what a backend says that is out, and what is said about a request that it will never
//! take: one that crashes it, or that a proxy before it finds too large. "Who are you" and "I am
//! broken" are said by one that takes nothing, and about what it has no place for. Of the second kind is
//! only what is put off while others are taken, and those others are what is sent for the first time, for
//! the rest may be of the second kind itself.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Signal;

/// So many tries count before a request is given up, ...
const TRIES: u32 = 10;
/// ... or that the backend denied, which sounds more final.
const TRIES_DENIED: u32 = 5;
/// A try counts if since the last that did so many first tries of others were taken, ...
const TAKEN_MIN: u64 = 8;
/// ... and at most one of so many was put off: else the backend has too much, and chance decides.
const TAKEN_FOR_EACH_PUT_OFF: u64 = 8;
/// The same of tries that were denied. What makes up a part of all is denied for what it is.
const TAKEN_FOR_EACH_DENIED: u64 = 3;

/// How a backend puts a request off.
#[derive(Clone, Copy, Debug)]
pub(super) enum No {
    /// Later, and when that is if it `has_hint`: it means what it says then.
    Later {
        has_hint: bool,
        /// The request is not given up before it was put off for so long.
        give_up_after: Duration,
    },
    /// It denies it, and does not say that the request is at fault.
    Denied,
}

/// What became of first tries, of all requests to a sink.
#[derive(Debug, Default)]
pub(super) struct FirstTries([Counts; Signal::ALL.len()]);

/// Those of one signal.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    put_off: AtomicU64,
}

/// The same at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    taken: u64,
    put_off: u64,
    /// The same of other signals only: a backend may have no place for one of them.
    others_taken: u64,
    others_put_off: u64,
}

impl Seen {
    fn since(self, before: Self) -> Self {
        Self {
            taken: self.taken.saturating_sub(before.taken),
            put_off: self.put_off.saturating_sub(before.put_off),
            others_taken: self.others_taken.saturating_sub(before.others_taken),
            others_put_off: self.others_put_off.saturating_sub(before.others_put_off),
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct PoisonDetector {
    signal: Signal,
    first_put_off_at: Option<Instant>,
    at_the_last: Seen,
    counted: u32,
}

impl FirstTries {
    fn of(&self, signal: Signal) -> Option<&Counts> {
        let idx = Signal::ALL.iter().position(|other| *other == signal)?;
        self.0.get(idx)
    }

    fn now(&self, signal: Signal) -> Seen {
        let mut seen = Seen::default();
        for (other, counts) in Signal::ALL.iter().zip(&self.0) {
            let taken = counts.taken.load(Ordering::Relaxed);
            let put_off = counts.put_off.load(Ordering::Relaxed);
            seen.taken += taken;
            seen.put_off += put_off;
            if *other != signal {
                seen.others_taken += taken;
                seen.others_put_off += put_off;
            }
        }
        seen
    }
}

impl PoisonDetector {
    pub(super) fn new(signal: Signal) -> Self {
        Self { signal, first_put_off_at: None, at_the_last: Seen::default(), counted: 0 }
    }

    /// Whether it was not put off yet.
    pub(super) const fn is_first(&self) -> bool {
        self.first_put_off_at.is_none()
    }

    /// The backend took it, or said never.
    pub(super) fn answered(&self, firsts: &FirstTries) {
        if self.first_put_off_at.is_none()
            && let Some(counts) = firsts.of(self.signal)
        {
            counts.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The backend did not take it, and did not say that it never will. Returns whether to give it up.
    pub(super) fn put_off(&mut self, firsts: &FirstTries, no: No, now: Instant) -> bool {
        let since = *self.first_put_off_at.get_or_insert_with(|| {
            if let Some(counts) = firsts.of(self.signal) {
                counts.put_off.fetch_add(1, Ordering::Relaxed);
            }
            self.at_the_last = firsts.now(self.signal);
            now
        });
        self.count(firsts, no);
        match no {
            No::Later { give_up_after, .. } => {
                TRIES <= self.counted && give_up_after <= now.duration_since(since)
            }
            No::Denied => TRIES_DENIED <= self.counted,
        }
    }

    /// Counts a try if others are taken meanwhile.
    fn count(&mut self, firsts: &FirstTries, no: No) {
        let now = firsts.now(self.signal);
        let Seen { taken, put_off, others_taken, others_put_off } = now.since(self.at_the_last);
        let (for_each, has_hint) = match no {
            No::Later { has_hint, .. } => (TAKEN_FOR_EACH_PUT_OFF, has_hint),
            No::Denied => (TAKEN_FOR_EACH_DENIED, false),
        };
        let is_well =
            |taken: u64, put_off: u64| put_off.saturating_mul(for_each) <= taken.max(TAKEN_MIN);
        // The whole, and the rest without its signal, if that may be what is denied.
        let looks = match no {
            No::Later { .. } => [(taken, put_off); 2],
            No::Denied => [(taken, put_off), (others_taken, others_put_off)],
        };
        if looks.iter().any(|(taken, put_off)| TAKEN_MIN <= *taken && is_well(*taken, *put_off)) {
            self.counted += u32::from(!has_hint);
            self.at_the_last = now;
        } else if !looks.iter().any(|(taken, put_off)| is_well(*taken, *put_off)) {
            // Too many were put off: what comes next is looked at by itself.
            self.at_the_last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    const LOGS: Signal = Signal::Logs;

    fn later(has_hint: bool, give_up_after: Duration) -> No {
        No::Later { has_hint, give_up_after }
    }

    /// After how many tries a minute apart a request is given up, when between two of them so many
    /// others are taken and put off at their first try.
    fn given_up(taken: u32, put_off: u32, no: No) -> Option<u32> {
        let (firsts, mut tries, now) =
            (FirstTries::default(), PoisonDetector::new(LOGS), Instant::now());
        (1..1000).find(|attempt| {
            let is_over = tries.put_off(&firsts, no, now + MINUTE * *attempt);
            (0..taken).for_each(|_| PoisonDetector::new(LOGS).answered(&firsts));
            for _ in 0..put_off {
                assert!(!PoisonDetector::new(LOGS).put_off(&firsts, no, now));
            }
            is_over
        })
    }

    #[test]
    fn what_alone_is_put_off_is_given_up_after_tries_and_time() {
        assert_eq!(given_up(8, 0, later(false, Duration::ZERO)), Some(TRIES + 1));
        assert_eq!(given_up(100, 5, later(false, MINUTE * 30)), Some(31));
        assert_eq!(given_up(4, 0, later(false, Duration::ZERO)), Some(2 * TRIES + 1));
    }

    #[test]
    fn what_alone_is_denied_is_given_up_after_tries() {
        assert_eq!(given_up(8, 0, No::Denied), Some(TRIES_DENIED + 1));
        assert_eq!(given_up(9, 1, No::Denied), Some(TRIES_DENIED + 1), "one of ten");
        assert_eq!(given_up(1, 0, No::Denied), Some(8 * TRIES_DENIED + 1));
    }

    #[test]
    fn nothing_is_given_up_while_the_backend_is_out_or_has_too_much() {
        for (taken, put_off) in [(0, 0), (0, 50), (50, 50), (80, 20), (1, 1)] {
            let given_up = given_up(taken, put_off, later(false, Duration::ZERO));
            assert_eq!(given_up, None, "{taken} {put_off}");
        }
        let hinted = later(true, Duration::ZERO);
        assert_eq!(given_up(100, 0, hinted), None, "it said when to come");
        for (taken, put_off) in [(0, 0), (0, 50), (50, 50), (70, 30)] {
            assert_eq!(given_up(taken, put_off, No::Denied), None, "{taken} {put_off}");
        }
    }

    #[test]
    fn a_signal_that_the_backend_has_no_place_for_is_given_up_however_much_it_is() {
        let (firsts, mut tries, now) =
            (FirstTries::default(), PoisonDetector::new(LOGS), Instant::now());
        let given_up = (1..100).find(|_| {
            let is_over = tries.put_off(&firsts, No::Denied, now);
            (0..8).for_each(|_| PoisonDetector::new(Signal::Traces).answered(&firsts));
            for _ in 0..50 {
                assert!(!PoisonDetector::new(LOGS).put_off(&firsts, No::Denied, now));
            }
            is_over
        });
        assert_eq!(given_up, Some(TRIES_DENIED + 1));
    }

    #[test]
    fn what_was_put_off_before_tells_nothing_of_the_backend() {
        let (firsts, mut poison_detector, now) =
            (FirstTries::default(), PoisonDetector::new(LOGS), Instant::now());
        let mut other = PoisonDetector::new(LOGS);
        let no = later(false, MINUTE);
        for _ in 0..50 {
            let _ = poison_detector.put_off(&firsts, no, now);
            let _ = other.put_off(&firsts, no, now);
            other.answered(&firsts);
        }
        let seen = firsts.now(LOGS);
        assert_eq!((seen.taken, seen.put_off), (0, 2));
    }
}
