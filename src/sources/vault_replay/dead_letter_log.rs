//! What the log says of dead letters: of the first of them at once, of those behind it in sum.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::time::Instant;

/// At most one line in so long.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Reasons that are told one by one; the rest is told together.
const REASONS_MAX: usize = 4;
const OTHER_REASONS: &str = "other reasons";

/// Those of one sink.
pub(super) struct DeadLetterLog {
    sink: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: Option<Instant>,
    /// What is not told yet: how many, by why.
    untold: BTreeMap<String, u64>,
    last_seq: u64,
}

impl State {
    fn add(&mut self, seq: u64, reason: &str) {
        let is_known = self.untold.contains_key(reason) || self.untold.len() < REASONS_MAX;
        let reason = if is_known { reason } else { OTHER_REASONS };
        *self.untold.entry(reason.to_owned()).or_default() += 1;
        self.last_seq = seq;
    }

    /// What is to be told now, if something is.
    fn due(&mut self, now: Instant) -> BTreeMap<String, u64> {
        let is_due = self.told.is_none_or(|told| TELL_EVERY <= now.duration_since(told));
        if !is_due || self.untold.is_empty() {
            return BTreeMap::new();
        }
        self.told = Some(now);
        std::mem::take(&mut self.untold)
    }
}

impl DeadLetterLog {
    pub(super) fn of(sink: &str) -> Self {
        Self { sink: sink.to_owned(), state: Mutex::default() }
    }

    /// One more.
    pub(super) fn note(&self, seq: u64, reason: &str) {
        self.lock().add(seq, reason);
        self.tell();
    }

    /// Tells what is due.
    pub(super) fn tell(&self) {
        let mut state = self.lock();
        let (due, last_seq) = (state.due(Instant::now()), state.last_seq);
        drop(state);
        self.say(due, last_seq);
    }

    fn say(&self, counts: BTreeMap<String, u64>, last_seq: u64) {
        for (reason, requests) in counts {
            tracing::warn!(
                sink = %self.sink,
                requests,
                reason,
                last_seq,
                "Moved requests to the dead-letter store, because they can never be delivered. See \
                 `gs-ctl dead-letters ls`."
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Drop for DeadLetterLog {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.lock());
        self.say(state.untold, state.last_seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_sum() {
        let (mut state, now) = (State::default(), Instant::now());
        state.add(1, "no");
        assert_eq!(state.due(now), BTreeMap::from([("no".to_owned(), 1)]));
        for seq in 2..150 {
            state.add(seq, "no");
            assert_eq!(state.due(now), BTreeMap::new());
        }
        for reason in 0..10 {
            state.add(200, &reason.to_string());
        }
        let due = state.due(now + TELL_EVERY);
        assert_eq!(due["no"], 148);
        assert_eq!(due[OTHER_REASONS], 7);
        assert_eq!(due.len(), REASONS_MAX + 1);
        assert_eq!(state.due(now + TELL_EVERY * 2), BTreeMap::new());
    }
}
