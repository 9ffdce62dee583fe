//! Why something is out, in words: components tell it, and whoever asks for the status is told.

use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use gophership_units::REASON_BYTES_MAX;
use gophership_units::excerpt;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::reading::Place;

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    reason: String,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock()
}

/// What is wrong at one place, if something is; forgotten when this is dropped.
#[derive(Debug)]
pub struct Trouble(Shared);

impl Trouble {
    /// Tells what the last failure was.
    pub fn tell(&self, reason: &str) {
        let reason = excerpt(reason, REASON_BYTES_MAX);
        let mut state = lock(&self.0);
        if state.reason != reason {
            state.reason.clear();
            state.reason.push_str(&reason);
        }
    }

    /// Tells whether it is out because of that.
    pub fn set(&self, is_out: bool) {
        let mut state = lock(&self.0);
        if is_out {
            state.since.get_or_insert_with(Instant::now);
        } else {
            state.since = None;
        }
    }
}

/// One that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendOutage {
    /// What is out.
    pub place: Place,
    /// For how long.
    pub lasts: Duration,
    /// Why, as it was said last.
    pub reason: String,
}

/// The troubles of all components.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<Vec<(Place, Weak<Mutex<State>>)>>);

impl Troubles {
    /// Makes a place known, where nothing is wrong yet.
    #[must_use]
    pub fn register(&self, place: &str) -> Trouble {
        let state = Shared::default();
        let mut all = self.0.lock();
        all.retain(|(_, state)| 0 < state.strong_count());
        all.push((place.into(), Arc::downgrade(&state)));
        Trouble(state)
    }

    /// Every place that is known, and whether it is out.
    #[must_use]
    pub fn places(&self) -> Vec<(Place, bool)> {
        let all = self.0.lock();
        let known = |(place, state): &(Place, Weak<Mutex<State>>)| {
            let state = state.upgrade()?;
            let is_out = lock(&state).since.is_some();
            Some((Place::clone(place), is_out))
        };
        all.iter().filter_map(known).collect()
    }

    /// Everything that is out.
    #[must_use]
    pub fn outages(&self) -> Vec<BackendOutage> {
        let all = self.0.lock();
        let outage = |(place, state): &(Place, Weak<Mutex<State>>)| {
            let state = state.upgrade()?;
            let state = lock(&state);
            let lasts = state.since?.elapsed();
            Some(BackendOutage { place: Place::clone(place), lasts, reason: state.reason.clone() })
        };
        all.iter().filter_map(outage).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_out_is_told_with_what_was_said_last() {
        let troubles = Troubles::default();
        let (first, second) = (troubles.register("a"), troubles.register("b"));
        first.tell("late");
        second.tell("late");
        assert_eq!(troubles.outages(), []);
        second.set(true);
        second.tell(&"\u{fc}".repeat(REASON_BYTES_MAX));
        let outages = troubles.outages();
        assert_eq!((outages.len(), &*outages[0].place), (1, "b"));
        assert_eq!(troubles.places(), [("a".into(), false), ("b".into(), true)]);
        let left_out = "... 960 bytes more";
        assert_eq!(outages[0].reason.len(), REASON_BYTES_MAX + left_out.len());
        assert!(outages[0].reason.ends_with(left_out), "{outages:?}");
        second.set(false);
        first.set(true);
        assert_eq!(&*troubles.outages()[0].place, "a");
        drop(first);
        assert_eq!(troubles.outages(), []);
    }
}
