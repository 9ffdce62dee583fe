//! How many requests may be on their way: a number, or what round trips say the backend can take.
//!
//! `auto` is additive increase and multiplicative decrease, by delay and by refusals:
//!
//! * Some answers are a window, about a round trip; its round trip is the shortest of them, which
//!   says the least about how large a request was and the most about how long it queued.
//! * The base is the shortest round trip known. Up to twice the base and 5 ms more is good: so much
//!   of a queue keeps a backend busy, and more of it delivers nothing sooner.
//! * A good window in which the limit was used raises it: doubled until there is a queue, then by
//!   its square root.
//! * A longer round trip cuts it in proportion, by 30% at most.
//! * Cuts by half that do not shorten round trips show that the queue was not ours: the backend
//!   has become slower by itself, and what was measured is the new base.
//! * While there is a queue the limit is a quarter for one window every 30 seconds, which shows the
//!   round trip without it, should the base have become too long.
//! * A request that the backend did not take, or that nobody answered in time, cuts it by 30%, once
//!   per round trip.
//!
//! After each decision a round trip passes until queues are what the new limit makes of them; only
//! requests that begin then count for the next one.

use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::time::Instant;

/// What `auto` begins with.
const BEGIN: f64 = 16.0;
/// The most that one window takes from the limit.
const CUT: f64 = 0.7;
/// So much of the limit must be left at most, to judge whether cuts were of use.
const TELLING: f64 = 0.5;
/// A backend that has become slower meanwhile makes them longer than this.
const STEADY: f64 = 1.1;
/// So much of the limit must be on its way to raise it: who is between two requests is not.
const USED: f64 = 0.75;
/// Round trips of so many times the base show that there is a queue.
const QUEUED_FROM: f64 = 1.5;
/// How often a shorter base is looked for while there is one,
const TRIAL_EVERY: Duration = Duration::from_secs(30);
/// with so much of the limit.
const TRIAL: f64 = 0.25;
/// As many times the base a round trip may take,
const TIMES_BASE: f64 = 2.0;
/// and so much more, in seconds: below that nobody waits for a queue, and clocks and schedulers are
/// all that is measured.
const SLACK: f64 = 0.005;
/// Answers in a window: as many as the limit, within these.
const SAMPLES: std::ops::RangeInclusive<u32> = 4..=32;
/// A window is not shorter.
const WINDOW_MIN: Duration = Duration::from_millis(10);

/// How many requests may be on their way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// Always so many.
    Fixed(u32),
    /// As many as are of use, up to this.
    Auto(u32),
}

/// The limit in force. Shared by all requests of a sink.
pub(super) struct ConcurrencyLimit {
    adaptive: Option<Mutex<Adaptive>>,
    fixed: usize,
}

impl ConcurrencyLimit {
    pub(super) fn new(concurrency: Concurrency, now: Instant) -> Self {
        match concurrency {
            Concurrency::Fixed(limit) => Self { adaptive: None, fixed: limit as usize },
            Concurrency::Auto(max) => {
                let adaptive = Mutex::new(Adaptive::new(max, now));
                Self { adaptive: Some(adaptive), fixed: 0 }
            }
        }
    }

    /// Requests that may be on their way now.
    pub(super) fn get(&self) -> usize {
        self.adaptive.as_ref().map_or(self.fixed, |adaptive| lock(adaptive).get())
    }

    /// A request was answered that began at `began`, with so many on their way.
    pub(super) fn answered(&self, began: Instant, now: Instant, in_flight: usize) {
        if let Some(adaptive) = &self.adaptive {
            lock(adaptive).answered(began, now, in_flight);
        }
    }

    /// A request was not taken, or not answered in time.
    pub(super) fn failed(&self, began: Instant, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            lock(adaptive).failed(began, now);
        }
    }

    /// The backend is back after it was out, and may be another one.
    pub(super) fn begin_anew(&self, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            lock(adaptive).begin_anew(now);
        }
    }
}

fn lock(adaptive: &Mutex<Adaptive>) -> MutexGuard<'_, Adaptive> {
    adaptive.lock()
}

/// What a window has seen so far; round trips in seconds.
#[derive(Debug)]
struct Window {
    begun: Instant,
    /// A request that began after the last decision has its answer.
    is_settled: bool,
    shortest: f64,
    samples: u32,
    /// The most that were on their way.
    peak: f64,
}

impl Window {
    const fn new(begun: Instant) -> Self {
        Self { begun, is_settled: false, shortest: f64::INFINITY, samples: 0, peak: 0.0 }
    }
}

/// What was there before the first of several cuts.
#[derive(Clone, Copy, Debug)]
struct Before {
    limit: f64,
    round_trip: f64,
}

/// Decides; pure: it is told the time.
#[derive(Debug)]
struct Adaptive {
    limit: f64,
    max: f64,
    base: f64,
    window: Window,
    /// Set by a cut, until it is judged or the limit rises.
    before: Option<Before>,
    /// The limit to return to after a trial.
    trial: Option<f64>,
    trial_at: Instant,
    is_doubling: bool,
}

impl Adaptive {
    fn new(max: u32, now: Instant) -> Self {
        let max = f64::from(max.max(1));
        Self {
            limit: BEGIN.min(max),
            max,
            base: f64::INFINITY,
            window: Window::new(now),
            before: None,
            trial: None,
            trial_at: now + TRIAL_EVERY,
            is_doubling: true,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to a u32, by construction"
    )]
    fn get(&self) -> usize {
        self.limit as u32 as usize
    }

    fn answered(&mut self, began: Instant, now: Instant, in_flight: usize) {
        if began < self.window.begun {
            return;
        }
        let round_trip = now.duration_since(began).as_secs_f64();
        self.base = self.base.min(round_trip);
        let limit = self.get();
        let window = &mut self.window;
        if !window.is_settled {
            window.is_settled = true;
            window.begun = now;
            return;
        }
        window.shortest = window.shortest.min(round_trip);
        window.samples += 1;
        window.peak = window.peak.max(f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)));
        let wanted = u32::try_from(limit).unwrap_or(u32::MAX);
        let wanted = wanted.clamp(*SAMPLES.start(), *SAMPLES.end());
        if wanted <= window.samples && WINDOW_MIN <= now.duration_since(window.begun) {
            self.judge(now);
            self.window = Window::new(now);
        }
    }

    fn failed(&mut self, began: Instant, now: Instant) {
        // Others of the same flight have said so.
        if began < self.window.begun {
            return;
        }
        self.limit = (self.limit * CUT).max(1.0);
        self.is_doubling = false;
        (self.before, self.trial) = (None, None);
        self.window = Window::new(now);
    }

    fn begin_anew(&mut self, now: Instant) {
        self.base = f64::INFINITY;
        (self.before, self.trial) = (None, None);
        self.is_doubling = true;
        self.window = Window::new(now);
    }

    /// Draws the conclusion of a window.
    fn judge(&mut self, now: Instant) {
        if let Some(limit) = self.trial.take() {
            self.limit = limit;
            return;
        }
        let round_trip = self.window.shortest;
        self.judge_cuts(round_trip);
        self.adapt(round_trip, now);
    }

    /// Says what cuts have shown.
    fn judge_cuts(&mut self, round_trip: f64) {
        let Some(before) = self.before else { return };
        if before.round_trip * STEADY < round_trip {
            self.before = Some(Before { limit: self.limit.floor(), round_trip });
        } else {
            let left = self.limit.floor() / before.limit;
            // A queue of ours would have become shorter in proportion; half of that is proof.
            let is_of_use = round_trip <= before.round_trip * f64::midpoint(1.0, left);
            let is_telling = left <= TELLING;
            if is_telling || self.limit <= 1.0 {
                self.before = None;
            }
            if self.limit <= 1.0 || (is_telling && !is_of_use) {
                self.base = round_trip;
            }
        }
    }

    fn adapt(&mut self, round_trip: f64, now: Instant) {
        let good = TIMES_BASE * self.base + SLACK;
        self.is_doubling &= round_trip <= QUEUED_FROM * self.base + SLACK;
        if good < round_trip {
            // What is on its way makes the queue, not what might be.
            let limit = self.limit.min(self.window.peak).floor();
            self.before.get_or_insert(Before { limit, round_trip });
            self.limit = (limit * (good / round_trip).max(CUT)).floor().max(1.0);
        } else if USED * self.limit <= self.window.peak {
            let step = if self.is_doubling { self.limit } else { self.limit.sqrt() };
            self.limit = (self.limit + step).min(self.max);
            self.before = None;
        }
        if self.trial_at <= now && QUEUED_FROM * self.base < round_trip {
            self.trial = Some(self.limit);
            self.trial_at = now + TRIAL_EVERY;
            self.limit = (self.limit * TRIAL).floor().max(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend with so many workers, each busy with a request for so long; the rest queue. Time
    /// is made up, so that seconds take no time.
    struct Backend {
        workers: usize,
        service: Duration,
        /// When each worker is free.
        free: Vec<Instant>,
    }

    struct Run {
        limit: Adaptive,
        backend: Backend,
        now: Instant,
        /// Requests on their way: when they end, and when they began.
        under_way: Vec<(Instant, Instant)>,
        offered_max: usize,
        rng: fastrand::Rng,
    }

    struct Seen {
        per_second: f64,
        round_trip: Duration,
        limit: usize,
    }

    impl Run {
        fn new(max: u32, workers: usize, service: Duration) -> Self {
            let now = Instant::now();
            let backend = Backend { workers, service, free: vec![now; workers] };
            let limit = Adaptive::new(max, now);
            let (under_way, rng) = (Vec::new(), fastrand::Rng::with_seed(11));
            Self { limit, backend, now, under_way, offered_max: usize::MAX, rng }
        }

        fn change(&mut self, workers: usize, service: Duration) {
            let free = vec![self.now; workers];
            self.backend = Backend { workers, service, free };
        }

        fn send(&mut self) {
            let worker = (0..self.backend.workers).min_by_key(|idx| self.backend.free[*idx]);
            let worker = worker.unwrap();
            // Some are larger than others.
            let service = self.backend.service.mul_f64(1.0 + self.rng.f64() / 4.0);
            let ends = self.backend.free[worker].max(self.now) + service;
            self.backend.free[worker] = ends;
            self.under_way.push((ends, self.now));
        }

        /// Runs as a sink does that always has a next request; the last half is measured.
        fn run(&mut self, lasts: Duration) -> Seen {
            let start = self.now;
            let (mut answers, mut sum) = (0_u32, Duration::ZERO);
            while self.now < start + lasts {
                while self.under_way.len() < self.limit.get().min(self.offered_max) {
                    self.send();
                }
                let next =
                    (0..self.under_way.len()).min_by_key(|idx| self.under_way[*idx]).unwrap();
                let in_flight = self.under_way.len();
                let (ends, began) = self.under_way.swap_remove(next);
                self.now = self.now.max(ends);
                self.limit.answered(began, self.now, in_flight);
                if start + lasts / 2 <= self.now {
                    answers += 1;
                    sum += self.now - began;
                }
            }
            let per_second = f64::from(answers) / (lasts / 2).as_secs_f64();
            Seen { per_second, round_trip: sum / answers.max(1), limit: self.limit.get() }
        }
    }

    /// What the workers do at most in a second, of requests of the usual size.
    fn best(workers: u32, service: Duration) -> f64 {
        f64::from(workers) / service.mul_f64(1.125).as_secs_f64()
    }

    #[test]
    fn it_settles_where_throughput_is_best_and_round_trips_are_bounded() {
        for (workers, millis) in [(1, 5), (4, 2), (8, 20), (20, 50), (64, 100), (100, 2)] {
            let service = Duration::from_millis(millis);
            let seen = Run::new(256, workers as usize, service).run(Duration::from_secs(20));
            let best = best(workers, service);
            let what = format!("{workers} workers, {millis} ms: {} of {best}", seen.per_second);
            assert!(0.9 * best < seen.per_second, "{what}, limit {}", seen.limit);
            let bound = service.mul_f64(1.25) * 3 + Duration::from_millis(10);
            assert!(seen.round_trip < bound, "{what}, {:?}", seen.round_trip);
        }
    }

    #[test]
    fn it_falls_when_the_backend_loses_workers_and_rises_when_they_are_back() {
        let service = Duration::from_millis(20);
        let mut run = Run::new(256, 32, service);
        let many = run.run(Duration::from_secs(20)).limit;
        run.change(4, service);
        let few = run.run(Duration::from_secs(20));
        assert!((4..=14).contains(&few.limit), "{} after {many}", few.limit);
        assert!(0.9 * best(4, service) < few.per_second, "{}", few.per_second);
        run.change(32, service);
        let again = run.run(Duration::from_secs(20));
        assert!(28 < again.limit, "{}", again.limit);
        assert!(0.9 * best(32, service) < again.per_second, "{}", again.per_second);
    }

    #[test]
    fn a_backend_that_is_slower_by_itself_is_no_reason_to_send_less() {
        let mut run = Run::new(256, 32, Duration::from_millis(20));
        run.run(Duration::from_secs(20));
        let slow = Duration::from_millis(200);
        run.change(32, slow);
        let seen = run.run(Duration::from_mins(1));
        assert!(0.9 * best(32, slow) < seen.per_second, "{} at {}", seen.per_second, seen.limit);
        assert!(seen.round_trip < slow * 4, "{:?}", seen.round_trip);
    }

    #[test]
    fn a_base_that_is_too_long_is_found_out() {
        let service = Duration::from_millis(20);
        let mut run = Run::new(256, 4, service);
        run.run(Duration::from_secs(5));
        // As if all had been slow for a while.
        (run.limit.base, run.limit.limit) = (0.5, 200.0);
        let seen = run.run(Duration::from_secs(400));
        assert!((4..=16).contains(&seen.limit), "{}", seen.limit);
        assert!(0.9 * best(4, service) < seen.per_second, "{}", seen.per_second);
    }

    #[test]
    fn a_limit_far_above_what_is_on_its_way_is_cut_too() {
        let service = Duration::from_millis(50);
        let mut run = Run::new(256, 12, service);
        run.offered_max = 48;
        run.limit.limit = 200.0;
        let seen = run.run(Duration::from_mins(1));
        assert!((12..=30).contains(&seen.limit), "{}", seen.limit);
        assert!(0.9 * best(12, service) < seen.per_second, "{}", seen.per_second);
    }

    #[test]
    fn a_limit_that_nobody_uses_does_not_grow() {
        let mut run = Run::new(256, 1000, Duration::from_millis(20));
        run.offered_max = 5;
        assert_eq!(run.run(Duration::from_secs(20)).limit, 16);
        run.offered_max = usize::MAX;
        assert_eq!(run.run(Duration::from_secs(20)).limit, 256, "to its end when it is used");
    }

    #[test]
    fn refusals_cut_it_once_per_flight_and_never_to_nothing() {
        let start = Instant::now();
        let mut limit = Adaptive::new(256, start);
        let later = start + Duration::from_millis(1);
        for _ in 0..16 {
            limit.failed(start, later);
        }
        assert_eq!(limit.get(), 11, "one flight, one cut");
        let mut now = later;
        for _ in 0..100 {
            limit.failed(now, now);
            now += Duration::from_millis(1);
        }
        assert_eq!(limit.get(), 1);
        limit.begin_anew(now);
        let step = Duration::from_millis(5);
        for _ in 0..20 {
            limit.answered(now, now + step, limit.get());
            now += step;
        }
        assert!(8 <= limit.get(), "{}", limit.get());
    }

    /// Decisions of one limit on a backend whose round trips last as long as the test says.
    struct Windows {
        limit: Adaptive,
        now: Instant,
    }

    impl Windows {
        /// After a first window that only shows a base of 10 ms.
        fn new(limit: f64) -> Self {
            let now = Instant::now();
            let mut windows = Self { limit: Adaptive::new(256, now), now };
            windows.limit.limit = limit;
            windows.after(10, 0);
            windows
        }

        /// Answers one request after the other until there is a decision; returns after how many.
        fn answers(&mut self, millis: u64, in_flight: usize) -> usize {
            let decided = |limit: &Adaptive| limit.window.samples == 0 && !limit.window.is_settled;
            let answer = |_: &usize| {
                let began = self.now;
                self.now += Duration::from_millis(millis);
                self.limit.answered(began, self.now, in_flight);
                decided(&self.limit)
            };
            (1..1000).find(answer).unwrap()
        }

        fn base_millis(&self) -> u128 {
            Duration::from_secs_f64(self.limit.base).as_millis()
        }

        /// The limit after a window of such round trips, with so many on their way.
        fn after(&mut self, millis: u64, in_flight: usize) -> usize {
            self.answers(millis, in_flight);
            self.limit.get()
        }
    }

    #[test]
    fn a_window_has_as_many_answers_as_the_limit_and_lasts_ten_milliseconds() {
        // One more shows that queues are what the last decision made of them.
        let answers = |limit, millis| Windows::new(limit).answers(millis, 0);
        assert_eq!(
            [1.0, 4.0, 9.0, 32.0, 200.0].map(|limit| answers(limit, 10)),
            [5, 5, 10, 33, 33]
        );
        assert_eq!(answers(4.0, 1), 11, "four answers after 4 ms are too early");
    }

    #[test]
    fn answers_to_what_began_before_a_decision_tell_nothing() {
        let mut windows = Windows::new(16.0);
        let decided = windows.now;
        let early = decided.checked_sub(Duration::from_millis(1)).unwrap();
        windows.limit.answered(early, decided, 16);
        windows.limit.failed(early, decided);
        assert!(!windows.limit.window.is_settled);
        assert_eq!((windows.limit.get(), windows.base_millis()), (16, 10));
        windows.limit.failed(decided, decided);
        assert_eq!(windows.limit.get(), 11);
    }

    #[test]
    fn the_limit_doubles_until_there_is_a_queue_and_grows_by_its_root_then() {
        let mut windows = Windows::new(16.0);
        assert_eq!([windows.after(10, 11), windows.after(10, 12)], [16, 32], "three quarters used");
        assert_eq!([windows.after(19, 32), windows.after(21, 64)], [64, 72], "20 ms are a queue");
        assert_eq!([windows.after(10, 72), windows.after(24, 80)], [80, 89]);
        assert_eq!(windows.after(10, 60), 89, "60 are not three quarters");
        windows.limit.limit = 250.0;
        assert_eq!(windows.after(10, 250), 256);
    }

    #[test]
    fn the_doubling_ends_with_a_failure_and_begins_again_with_another_backend() {
        let mut windows = Windows::new(16.0);
        windows.limit.failed(windows.now, windows.now);
        assert_eq!(windows.after(10, 11), 14, "11.2 and its root");
        windows.limit.begin_anew(windows.now);
        assert_eq!(windows.after(40, 14), 29);
        assert_eq!(windows.base_millis(), 40, "another backend, another base");
    }

    #[test]
    fn a_longer_round_trip_cuts_in_proportion_and_at_most_by_a_third() {
        let mut windows = Windows::new(100.0);
        assert_eq!(windows.after(26, 100), 96, "25 ms are good");
        assert_eq!(windows.after(30, 60), 50, "of what is on its way");
        assert_eq!(windows.after(100, 50), 35);
    }

    #[test]
    fn cuts_by_half_that_shorten_nothing_show_a_slower_backend() {
        // Round trips in the window after 100 were cut to 49, and the base after it.
        let base_after = |second: u64, third: u64| {
            let mut windows = Windows::new(100.0);
            let cuts = [windows.after(100, 100), windows.after(second, 70)];
            assert_eq!(cuts, [70, 49]);
            windows.after(third, 49);
            windows.base_millis()
        };
        assert_eq!(base_after(100, 100), 100, "as long as before");
        assert_eq!(base_after(100, 80), 80, "a little shorter");
        assert_eq!(base_after(100, 74), 10, "half as short as the cut was: the queue was ours");
        assert_eq!(base_after(111, 111), 10, "longer than before: looked at from there");
    }

    #[test]
    fn a_limit_of_one_takes_what_it_measures_for_the_base() {
        let mut windows = Windows::new(1.0);
        assert_eq!(windows.after(100, 1), 1);
        assert_eq!((windows.after(100, 1), windows.base_millis()), (2, 100));
    }

    #[test]
    fn one_window_every_thirty_seconds_goes_without_a_queue() {
        let mut windows = Windows::new(100.0);
        windows.limit.is_doubling = false;
        windows.now += TRIAL_EVERY;
        assert_eq!(windows.after(10, 0), 100, "there is no queue to look behind");
        assert_eq!(windows.after(16, 0), 25);
        assert_eq!(windows.after(16, 0), 100, "the limit from before");
        assert_eq!(windows.after(16, 0), 100, "the next one is not due");
        windows.now += TRIAL_EVERY;
        windows.limit.limit = 3.0;
        assert_eq!(windows.after(16, 0), 1);
    }

    #[test]
    fn the_limit_in_force_is_told_of_failures_returns_and_answers() {
        let (mut now, step) = (Instant::now(), Duration::from_millis(10));
        let limit = ConcurrencyLimit::new(Concurrency::Auto(256), now);
        limit.failed(now, now);
        assert_eq!(limit.get(), 11);
        limit.begin_anew(now);
        for _ in 0..12 {
            limit.answered(now, now + step, 11);
            now += step;
        }
        assert_eq!(limit.get(), 22, "it doubles again");
    }

    #[test]
    fn a_fixed_limit_stays_and_a_small_maximum_holds() {
        let now = Instant::now();
        let limit = ConcurrencyLimit::new(Concurrency::Fixed(7), now);
        limit.failed(now, now);
        assert_eq!(limit.get(), 7);
        assert_eq!(ConcurrencyLimit::new(Concurrency::Auto(3), now).get(), 3);
    }
}
