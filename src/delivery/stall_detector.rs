//! Whether an endpoint has gone silent: requests wait for it longer than its answers take.
//!
//! A backend that hangs is known to be out only when several requests have waited in vain
//! ([`Breaker`](super::breaker::Breaker)), each for as long as its sender is patient. Silence is noticed
//! long before. It is a suspicion and no more, so those that nobody else takes go on waiting; those that a
//! vault stands by for go there, and new ones do not join them. Any answer ends it.

use std::time::Duration;

use tokio::time::Instant;

/// Silence is so many times as long as answers usually take,
const TIMES_USUAL: f64 = 4.0;
/// and never shorter: nobody minds pauses below that.
const SILENT_FROM: Duration = Duration::from_millis(200);
/// A silence that nobody heard the end of may have been a slow answer: the next one begins by so much later,
const STRETCH: f64 = 1.5;
/// and at most by so much.
const STRETCH_MAX: f64 = 8.0;
/// The weight of the newest answer in what is usual.
const NEWEST: f64 = 0.125;

/// What was heard of one endpoint. Pure: it is told the time.
#[derive(Debug)]
pub(super) struct StallDetector {
    /// How long answers take, in seconds; none before the first.
    usual: Option<f64>,
    heard: Option<Instant>,
    stretch: f64,
    is_silent: bool,
}

impl Default for StallDetector {
    fn default() -> Self {
        Self { usual: None, heard: None, stretch: 1.0, is_silent: false }
    }
}

impl StallDetector {
    /// A request that was sent at `began` was answered.
    pub(super) fn answered(&mut self, began: Instant, now: Instant) {
        let took = now.duration_since(began).as_secs_f64();
        let usual = self.usual.get_or_insert(took);
        *usual += (took - *usual) * NEWEST;
        self.stretch = 1.0;
        self.heard(now);
    }

    /// The endpoint gave a sign, be it that it takes nothing.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.is_silent = false;
    }

    /// A request that was sent at `began` still waits.
    pub(super) fn waits(&mut self, began: Instant, now: Instant) {
        let since = self.heard.map_or(began, |heard| heard.max(began));
        let usual = self.usual.unwrap_or_default() * TIMES_USUAL;
        let limit = SILENT_FROM.as_secs_f64().max(usual) * self.stretch;
        self.is_silent |= limit <= now.duration_since(since).as_secs_f64();
    }

    /// Nobody waits any more, so nobody would hear that it is over.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.is_silent, false) {
            self.stretch = (self.stretch * STRETCH).min(STRETCH_MAX);
        }
    }

    pub(super) const fn is_silent(&self) -> bool {
        self.is_silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// After how many milliseconds without an answer an endpoint counts as silent that took so many for
    /// each of many before.
    fn silent_after(took: u32) -> Option<u32> {
        let (mut stall_detector, start) = (StallDetector::default(), Instant::now());
        let mut now = start;
        for _ in 0..100 {
            let began = now;
            now += MILLI * took;
            stall_detector.answered(began, now);
        }
        (1..100_000).find(|millis| {
            stall_detector.waits(now, now + MILLI * *millis);
            stall_detector.is_silent()
        })
    }

    #[test]
    fn it_is_as_long_as_answers_usually_take_and_no_pause() {
        assert_eq!(silent_after(1), Some(200));
        assert_eq!(silent_after(50), Some(200));
        assert_eq!(silent_after(500), Some(2_000));
    }

    #[test]
    fn silences_that_nobody_heard_the_end_of_begin_later_until_there_is_an_answer() {
        let (mut stall_detector, start) = (StallDetector::default(), Instant::now());
        let silent_after = |stall_detector: &mut StallDetector| {
            (1..100_000).find(|millis| {
                stall_detector.waits(start, start + MILLI * *millis);
                stall_detector.is_silent()
            })
        };
        let mut found = Vec::new();
        for _ in 0..9 {
            found.extend(silent_after(&mut stall_detector));
            stall_detector.end();
        }
        assert_eq!(found, [200, 301, 450, 675, 1013, 1519, 1600, 1600, 1600]);
        stall_detector.answered(start, start);
        assert_eq!(silent_after(&mut stall_detector), Some(200));
    }

    #[test]
    fn any_sign_ends_it_and_it_begins_anew_from_there() {
        let (mut stall_detector, start) = (StallDetector::default(), Instant::now());
        stall_detector.answered(start, start + MILLI);
        stall_detector.waits(start, start + MILLI * 200);
        assert!(!stall_detector.is_silent(), "199 ms since the answer");
        stall_detector.waits(start, start + MILLI * 201);
        assert!(stall_detector.is_silent());
        stall_detector.heard(start + MILLI * 300);
        assert!(!stall_detector.is_silent());
        stall_detector.waits(start, start + MILLI * 499);
        assert!(!stall_detector.is_silent());
        stall_detector.waits(start, start + MILLI * 500);
        assert!(stall_detector.is_silent());
        stall_detector.end();
        assert!(!stall_detector.is_silent());
    }
}
