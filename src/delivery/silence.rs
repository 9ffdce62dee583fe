//! Whether an endpoint has gone silent: it used to answer, and requests wait for it longer than that took.
//!
//! A backend that hangs is known to be out only when several requests have waited in vain
//! ([`Breaker`](super::breaker::Breaker)), each for as long as its sender is patient. Silence is noticed
//! long before. It is a suspicion and no more, so those that wait go on waiting: only new ones need not
//! join them. Any answer ends it.

use std::time::Duration;

use tokio::time::Instant;

/// Silence is so many times as long as answers usually take,
const TIMES_USUAL: f64 = 4.0;
/// and never shorter: nobody minds pauses below that.
const SILENT_FROM: Duration = Duration::from_millis(200);
/// The weight of the newest answer in what is usual.
const NEWEST: f64 = 0.125;

/// What was heard of one endpoint. Pure: it is told the time.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// How long answers take, in seconds; none before the first.
    usual: Option<f64>,
    heard: Option<Instant>,
    is_silent: bool,
}

impl Silence {
    /// A request that was sent at `began` was answered.
    pub(super) fn answered(&mut self, began: Instant, now: Instant) {
        let took = now.duration_since(began).as_secs_f64();
        let usual = self.usual.get_or_insert(took);
        *usual += (took - *usual) * NEWEST;
        self.heard(now);
    }

    /// The endpoint gave a sign, be it that it takes nothing.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.is_silent = false;
    }

    /// A request that was sent at `began` still waits.
    pub(super) fn waits(&mut self, began: Instant, now: Instant) {
        let Some(usual) = self.usual else { return };
        let since = self.heard.map_or(began, |heard| heard.max(began));
        let limit = SILENT_FROM.as_secs_f64().max(usual * TIMES_USUAL);
        self.is_silent |= limit <= now.duration_since(since).as_secs_f64();
    }

    /// Nobody waits any more, so nobody would hear that it is over.
    pub(super) const fn end(&mut self) {
        self.is_silent = false;
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
        let (mut silence, start) = (Silence::default(), Instant::now());
        let mut now = start;
        for _ in 0..100 {
            let began = now;
            now += MILLI * took;
            silence.answered(began, now);
        }
        (1..100_000).find(|millis| {
            silence.waits(now, now + MILLI * *millis);
            silence.is_silent()
        })
    }

    #[test]
    fn it_is_as_long_as_answers_usually_take_and_no_pause() {
        assert_eq!(silent_after(1), Some(200));
        assert_eq!(silent_after(50), Some(200));
        assert_eq!(silent_after(500), Some(2_000));
    }

    #[test]
    fn who_was_never_heard_is_not_silent() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.heard(start);
        silence.waits(start, start + Duration::from_hours(1));
        assert!(!silence.is_silent(), "it is not known how long it takes");
    }

    #[test]
    fn any_sign_ends_it_and_it_begins_anew_from_there() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.answered(start, start + MILLI);
        silence.waits(start, start + MILLI * 200);
        assert!(!silence.is_silent(), "199 ms since the answer");
        silence.waits(start, start + MILLI * 201);
        assert!(silence.is_silent());
        silence.heard(start + MILLI * 300);
        assert!(!silence.is_silent());
        silence.waits(start, start + MILLI * 499);
        assert!(!silence.is_silent());
        silence.waits(start, start + MILLI * 500);
        assert!(silence.is_silent());
        silence.end();
        assert!(!silence.is_silent());
    }
}
