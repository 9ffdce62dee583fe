//! Pins: segments that somebody in this process reads without a cursor. Unlike a hold, a pin ends with its
//! owner, and a vault that must drop its oldest does not look at it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use crate::segment::id::SegmentId;
use crate::state::lock;

/// The pins of an open vault.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// First and last segment of each.
    ranges: BTreeMap<u64, (u64, u64)>,
}

/// Keeps segments from retention until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    key: u64,
}

impl Pins {
    /// Pins segments `first..=last`.
    pub(crate) fn pin(self: &Arc<Self>, first: u64, last: u64) -> Pin {
        let mut state = lock(&self.0);
        let key = state.next;
        state.next += 1;
        state.ranges.insert(key, (first, last));
        Pin { pins: Arc::clone(self), key }
    }

    /// Whether a segment is pinned.
    pub(crate) fn has(&self, id: SegmentId) -> bool {
        lock(&self.0).ranges.values().any(|(first, last)| (*first..=*last).contains(&id.get()))
    }
}

impl Pin {
    /// Lets go of what is before this segment.
    pub fn pass(&self, first: u64) {
        if let Some(range) = lock(&self.pins.0).ranges.get_mut(&self.key) {
            range.0 = range.0.max(first);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        lock(&self.pins.0).ranges.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_keeps_its_segments_until_it_has_passed_them_or_is_dropped() {
        let pins = Arc::<Pins>::default();
        let (pin, other) = (pins.pin(2, 4), pins.pin(4, 4));
        let pinned = || (1..=5).filter(|id| pins.has(SegmentId(*id))).collect::<Vec<_>>();
        assert_eq!(pinned(), [2, 3, 4]);
        pin.pass(4);
        pin.pass(3);
        assert_eq!(pinned(), [4]);
        drop(pin);
        assert_eq!(pinned(), [4]);
        drop(other);
        assert!(pinned().is_empty());
    }
}
