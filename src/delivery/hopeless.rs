//! When a request that a backend puts off again and again is given up: never because the backend is out.
//!
//! "Later" is what a backend says that is out, and what is said about a request that it will never
//! take: one that crashes it, or that a proxy before it finds too large. Of the second kind is only
//! what is put off while others are taken, and those others are what is sent for the first time, for
//! the rest may be of the second kind itself.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

/// What is put off is not given up sooner: a part of a backend may be out for a while, and others are
/// taken by the rest.
pub const GIVE_UP_AFTER: Duration = Duration::from_mins(15);
/// So many tries count before a request is given up.
const TRIES: u32 = 10;
/// A try counts if since the one before so many first tries of others were taken, ...
const TAKEN_MIN: u64 = 8;
/// ... and at most one of so many was put off: else the backend has too much, and chance decides.
const TAKEN_FOR_EACH_PUT_OFF: u64 = 8;

/// What became of first tries, of all requests to a sink.
#[derive(Debug, Default)]
pub(super) struct FirstTries {
    taken: AtomicU64,
    put_off: AtomicU64,
}

/// The same at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    taken: u64,
    put_off: u64,
}

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Tries {
    first_put_off_at: Option<Instant>,
    at_the_last: Seen,
    counted: u32,
}

impl FirstTries {
    fn now(&self) -> Seen {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen { taken: read(&self.taken), put_off: read(&self.put_off) }
    }
}

impl Tries {
    pub(super) const fn new() -> Self {
        let at_the_last = Seen { taken: 0, put_off: 0 };
        Self { first_put_off_at: None, at_the_last, counted: 0 }
    }

    /// The backend took it, or said never.
    pub(super) fn answered(&self, firsts: &FirstTries) {
        if self.first_put_off_at.is_none() {
            firsts.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The backend said later, and when that is if it `has_hint`: it means what it says then. Returns
    /// whether to give it up, which is not before it was put off for so long.
    pub(super) fn put_off(
        &mut self,
        firsts: &FirstTries,
        has_hint: bool,
        now: Instant,
        give_up_after: Duration,
    ) -> bool {
        let since = *self.first_put_off_at.get_or_insert_with(|| {
            firsts.put_off.fetch_add(1, Ordering::Relaxed);
            self.at_the_last = firsts.now();
            now
        });
        let seen = firsts.now();
        let taken = seen.taken.saturating_sub(self.at_the_last.taken);
        let put_off = seen.put_off.saturating_sub(self.at_the_last.put_off);
        self.at_the_last = seen;
        let are_others_taken =
            TAKEN_MIN <= taken && put_off.saturating_mul(TAKEN_FOR_EACH_PUT_OFF) <= taken;
        if are_others_taken && !has_hint {
            self.counted += 1;
        }
        TRIES <= self.counted && give_up_after <= now.duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// After how many tries a minute apart a request is given up, when between two of them so many
    /// others are taken and put off at their first try.
    fn given_up(taken: u32, put_off: u32, has_hint: bool, after: Duration) -> Option<u32> {
        let (firsts, mut tries, now) = (FirstTries::default(), Tries::new(), Instant::now());
        (1..1000).find(|attempt| {
            let is_over = tries.put_off(&firsts, has_hint, now + MINUTE * *attempt, after);
            (0..taken).for_each(|_| Tries::new().answered(&firsts));
            for _ in 0..put_off {
                assert!(!Tries::new().put_off(&firsts, false, now, Duration::ZERO));
            }
            is_over
        })
    }

    #[test]
    fn what_alone_is_put_off_is_given_up_after_tries_and_time() {
        assert_eq!(given_up(8, 0, false, Duration::ZERO), Some(TRIES + 1));
        assert_eq!(given_up(100, 5, false, MINUTE * 30), Some(31));
    }

    #[test]
    fn nothing_is_given_up_while_the_backend_is_out_or_has_too_much() {
        for (taken, put_off) in [(0, 0), (0, 50), (7, 0), (50, 50), (80, 20)] {
            assert_eq!(given_up(taken, put_off, false, Duration::ZERO), None, "{taken} {put_off}");
        }
        assert_eq!(given_up(100, 0, true, Duration::ZERO), None, "it said when to come");
    }

    #[test]
    fn what_was_put_off_before_tells_nothing_of_the_backend() {
        let (firsts, mut hopeless, now) = (FirstTries::default(), Tries::new(), Instant::now());
        let mut other = Tries::new();
        for _ in 0..50 {
            let _ = hopeless.put_off(&firsts, false, now, MINUTE);
            let _ = other.put_off(&firsts, false, now, MINUTE);
            other.answered(&firsts);
        }
        let seen = firsts.now();
        assert_eq!((seen.taken, seen.put_off), (0, 2));
    }
}
