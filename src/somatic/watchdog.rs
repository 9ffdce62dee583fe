//! The watchdog: says when nothing moves although there is work, what waits for what, and when it is
//! over. Pure: time and work are handed in.
//!
//! Only time that was watched counts: a process that was stopped, or a machine that slept, could not
//! have moved anything, and so a gap between two looks counts as a second at most.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::reading::Place;
use super::work::Work;
use super::work::WorkKind;
use super::work::WorkSample;

/// A longer gap between two looks counts as this much.
const GAP_MAX: Duration = Duration::from_secs(1);

/// What one look at one part brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StallEvent {
    /// It stands still since so long; told once.
    Stalled,
    /// It moves again, or has nothing to do any more.
    Over,
}

/// One part, watched. A pure function of (state, now, work).
#[derive(Clone, Debug, Default)]
struct StallTimer {
    last: Option<(Instant, Work)>,
    /// How long nothing has moved although there was work.
    still: Duration,
    /// How long ago something was refused.
    since_refusal: Option<Duration>,
    is_stalled: bool,
}

impl StallTimer {
    fn look(&mut self, now: Instant, work: Work, after: Duration) -> Option<StallEvent> {
        let (then, before) = self.last.replace((now, work)).unwrap_or((now, work));
        let step = now.saturating_duration_since(then).min(GAP_MAX);
        if work.refused == before.refused {
            self.since_refusal = self.since_refusal.map(|ago| ago + step);
        } else {
            self.since_refusal = Some(Duration::ZERO);
        }
        // Who was refused comes again: until then it is work that nobody sees.
        let is_wanted = self.since_refusal.is_some_and(|ago| ago <= after);
        let has_work = 0 < work.waiting || is_wanted;
        if work.done != before.done || !has_work {
            self.still = Duration::ZERO;
            if work.done != before.done {
                self.since_refusal = None;
            }
            return std::mem::take(&mut self.is_stalled).then_some(StallEvent::Over);
        }
        self.still += step;
        let is_news = after <= self.still && !self.is_stalled;
        self.is_stalled |= is_news;
        is_news.then_some(StallEvent::Stalled)
    }
}

/// A part that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The component.
    pub place: Place,
    /// What waits for what.
    pub waits: &'static str,
    /// Whose work it is.
    pub part: WorkKind,
    /// How much waits.
    pub waiting: u64,
    /// For how long it stands still, or has stood still.
    pub lasts: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, waits, waiting, lasts, .. } = self;
        let seconds = lasts.as_secs();
        match waiting {
            // All were sent away.
            0 => write!(formatter, "{place} has refused all requests for {seconds} s"),
            _ => write!(formatter, "{place}: {waiting} {waits} for {seconds} s"),
        }
    }
}

/// What the watchdog has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing moves although there is work.
    Stalled(Stall),
    /// It moves again, or its work is gone.
    Over(Stall),
}

struct WatchedPart {
    stall: Stall,
    timer: StallTimer,
    is_seen: bool,
}

/// Watches every part that reports its work.
#[derive(Default)]
pub struct Watchdog {
    /// Nobody is watched without it.
    after: Option<Duration>,
    all_watched: Vec<WatchedPart>,
}

impl Watchdog {
    /// Tells a stall after this long from now on; never without it.
    pub fn configure(&mut self, after: Option<Duration>) {
        self.after = after;
    }

    /// Looks at all parts. Allocates only when there is news, or a part that it did not know.
    pub fn look(&mut self, now: Instant, work_probes: &[WorkSample]) -> Vec<News> {
        let mut news = Vec::new();
        let after = self.after.unwrap_or(Duration::MAX);
        for watched in &mut self.all_watched {
            watched.is_seen = false;
        }
        for work_sample in work_probes {
            let WatchedPart { stall, timer, is_seen } = self.watched(work_sample);
            *is_seen = true;
            let stood = timer.still;
            let event = timer.look(now, work_sample.work, after);
            (stall.waiting, stall.lasts) = (work_sample.work.waiting, timer.still);
            match event {
                Some(StallEvent::Stalled) => news.push(News::Stalled(stall.clone())),
                Some(StallEvent::Over) => {
                    news.push(News::Over(Stall { lasts: stood, ..stall.clone() }));
                }
                None => {}
            }
        }
        self.all_watched.retain(|watched| {
            if !watched.is_seen && watched.timer.is_stalled {
                news.push(News::Over(watched.stall.clone()));
            }
            watched.is_seen
        });
        news
    }

    /// What stands still now.
    pub fn stalls(&self) -> impl Iterator<Item = &Stall> {
        self.all_watched
            .iter()
            .filter(|watched| watched.timer.is_stalled)
            .map(|watched| &watched.stall)
    }

    fn watched(&mut self, work_sample: &WorkSample) -> &mut WatchedPart {
        let is_it = |watched: &WatchedPart| {
            watched.stall.place == work_sample.place && watched.stall.waits == work_sample.waits
        };
        let idx = self.all_watched.iter().position(is_it).unwrap_or_else(|| {
            let (place, lasts) = (Arc::clone(&work_sample.place), Duration::ZERO);
            let stall = Stall {
                place,
                waits: work_sample.waits,
                part: work_sample.part,
                waiting: 0,
                lasts,
            };
            self.all_watched.push(WatchedPart {
                stall,
                timer: StallTimer::default(),
                is_seen: true,
            });
            self.all_watched.len() - 1
        });
        &mut self.all_watched[idx]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AFTER: Duration = Duration::from_secs(5);

    fn work(waiting: u64, done: u64, refused: u64) -> Work {
        Work { waiting, done, refused }
    }

    /// Looks ten times a second for so long at the same work; returns what it told.
    fn watch(
        timer: &mut StallTimer,
        now: &mut Instant,
        seconds: u64,
        work: Work,
    ) -> Vec<StallEvent> {
        let mut events = Vec::new();
        for _ in 0..seconds * 10 {
            *now += Duration::from_millis(100);
            events.extend(timer.look(*now, work, AFTER));
        }
        events
    }

    #[test]
    fn it_tells_a_stall_once_after_five_seconds_and_its_end() {
        let (mut timer, mut now) = (StallTimer::default(), Instant::now());
        let mut see = |seconds, work| watch(&mut timer, &mut now, seconds, work);
        assert!(see(60, work(0, 3, 0)).is_empty(), "idle");
        assert!(see(4, work(7, 3, 0)).is_empty(), "not yet");
        assert_eq!(see(2, work(9, 3, 0)), [StallEvent::Stalled]);
        assert!(see(600, work(10, 3, 0)).is_empty(), "once");
        assert_eq!(see(1, work(10, 4, 0)), [StallEvent::Over]);
        assert_eq!(see(6, work(10, 4, 0)), [StallEvent::Stalled], "another one");
        assert_eq!(see(1, work(0, 4, 0)), [StallEvent::Over], "its work is gone");
    }

    #[test]
    fn who_is_refused_and_comes_again_is_work() {
        let (mut timer, mut now) = (StallTimer::default(), Instant::now());
        let mut events = Vec::new();
        for round in 1..=8 {
            events.extend(watch(&mut timer, &mut now, 2, work(0, 0, round)));
        }
        assert_eq!(events, [StallEvent::Stalled]);
        assert_eq!(
            watch(&mut timer, &mut now, 10, work(0, 0, 8)),
            [StallEvent::Over],
            "nobody came"
        );
        let mut events = Vec::new();
        for round in 9..=20 {
            events.extend(watch(&mut timer, &mut now, 2, work(0, round, round)));
        }
        assert!(events.is_empty(), "some are refused and some are taken");
    }

    #[test]
    fn time_that_nobody_watched_is_no_stall() {
        let (mut timer, mut now) = (StallTimer::default(), Instant::now());
        assert!(watch(&mut timer, &mut now, 1, work(1, 0, 0)).is_empty());
        assert_eq!(timer.look(now + Duration::from_hours(8), work(1, 0, 0), AFTER), None);
        assert_eq!(timer.look(now, work(1, 0, 0), AFTER), None, "backward");
        assert_eq!(timer.still, Duration::from_millis(1900));
    }

    #[test]
    fn each_part_is_watched_for_itself_and_one_that_is_removed_is_over() {
        let (mut watchdog, mut now) = (Watchdog::default(), Instant::now());
        watchdog.configure(Some(AFTER));
        let work_sample = |place: &str, done| WorkSample {
            place: place.into(),
            waits: "batches wait for an answer of the backend",
            part: WorkKind::Inside,
            work: work(37, done, 0),
        };
        let mut told = Vec::new();
        for tick in 0..120 {
            now += Duration::from_millis(100);
            told.extend(watchdog.look(now, &[work_sample("stuck", 0), work_sample("busy", tick)]));
        }
        let [News::Stalled(stall)] = &*told else { panic!("{told:?}") };
        let told = "stuck: 37 batches wait for an answer of the backend for 5 s";
        assert_eq!(stall.to_string(), told);
        let lasts: Vec<u64> = watchdog.stalls().map(|stall| stall.lasts.as_secs()).collect();
        assert_eq!(lasts, [11]);
        let over = watchdog.look(now, &[work_sample("busy", 0)]);
        assert!(matches!(&*over, [News::Over(stall)] if &*stall.place == "stuck"), "{over:?}");
        assert_eq!(watchdog.stalls().count(), 0);
    }

    #[test]
    fn without_a_time_nobody_is_watched() {
        let (mut watchdog, mut now) = (Watchdog::default(), Instant::now());
        let (place, waits) = (Place::from("stuck"), "batches wait");
        let work_sample = WorkSample { place, waits, part: WorkKind::Intake, work: work(1, 0, 0) };
        for _ in 0..1000 {
            now += Duration::from_secs(1);
            assert!(watchdog.look(now, std::slice::from_ref(&work_sample)).is_empty());
        }
    }

    proptest! {
        /// Whatever happens: no stall is told while idle or moving; each has had five watched seconds of
        /// work without movement before it, and stalls and ends alternate.
        #[test]
        fn it_tells_nothing_without_a_stall(
            looks in prop::collection::vec((0_u64..3000, 0_u64..3, 0_u8..8, 0_u8..8), 1..200)
        ) {
            let (mut timer, mut now) = (StallTimer::default(), Instant::now());
            let (mut done, mut refused) = (0, 0);
            let (mut still, mut quiet) = (Duration::ZERO, Duration::MAX);
            let mut is_stalled = false;
            for (idx, (millis, waiting, moves, refuses)) in looks.into_iter().enumerate() {
                let step = if idx == 0 { 0 } else { millis };
                now += Duration::from_millis(step);
                let step = Duration::from_millis(step).min(GAP_MAX);
                let (is_moved, is_refused) = (idx > 0 && moves == 0, idx > 0 && refuses == 0);
                done += u64::from(is_moved);
                refused += u64::from(is_refused);
                quiet = if is_refused { Duration::ZERO } else { quiet.saturating_add(step) };
                let has_work = 0 < waiting || quiet <= AFTER;
                still = if is_moved || !has_work { Duration::ZERO } else { still + step };
                if is_moved {
                    quiet = Duration::MAX;
                }
                let event = timer.look(now, work(waiting, done, refused), AFTER);
                let expected = match (is_stalled, AFTER <= still) {
                    (false, true) => Some(StallEvent::Stalled),
                    (true, false) => Some(StallEvent::Over),
                    _ => None,
                };
                prop_assert_eq!(event, expected);
                is_stalled = AFTER <= still;
            }
        }
    }
}
