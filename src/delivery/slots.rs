//! Which endpoint a request goes to next.
//!
//! An endpoint whose breaker is open is passed by. While another one is there, one request at a time
//! asks whether it is back, and goes to the other one if it is not. While none is there requests
//! wait, and one after the other asks: also while an earlier one has no answer yet, since an endpoint
//! that hung and is back answers the new one at once. An endpoint that is silent is there, but every
//! other one goes before it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::denial::Denial;
use super::stall_detector::StallDetector;

/// How the sink spreads requests over several endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// To the first endpoint that is available.
    #[default]
    Failover,
    /// To the endpoint with the fewest requests in flight; a random one among equals.
    LeastLoaded,
}

/// Endpoints that a request has been sent to in vain, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried(u32);

impl Tried {
    pub(super) const fn add(&mut self, idx: usize) {
        self.0 |= 1 << idx;
    }

    const fn has(self, idx: usize) -> bool {
        self.0 & (1 << idx) != 0
    }

    const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Go(usize),
    /// None of those not yet tried may be asked before.
    WaitUntil(Instant),
    /// All have been tried.
    Exhausted,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct EndpointSlot {
    pub(super) breaker: Breaker,
    pub(super) stall_detector: StallDetector,
    pub(super) denial: Denial,
    pub(super) in_flight: u32,
    /// Of those, how many ask whether it is back.
    pub(super) asking: u32,
}

impl EndpointSlot {
    pub(super) fn new(pause_min: Duration) -> Self {
        let (breaker, stall_detector) = (Breaker::new(pause_min), StallDetector::default());
        Self { breaker, stall_detector, denial: Denial::default(), in_flight: 0, asking: 0 }
    }
}

/// Decides; pure but for chance.
#[derive(Debug)]
pub(super) struct EndpointSlots {
    pub(super) slots: Vec<EndpointSlot>,
    pub(super) balance: Balance,
}

impl EndpointSlots {
    pub(super) fn choose(&mut self, now: Instant, tried: Tried) -> Choice {
        let untried = |(idx, _): &(usize, &EndpointSlot)| !tried.has(*idx);
        let is_there = |(_, slot): &(usize, &EndpointSlot)| !slot.breaker.is_open();
        let there = || self.slots.iter().enumerate().filter(untried).filter(is_there);
        let best = match self.balance {
            Balance::Failover => {
                there().min_by_key(|(idx, slot)| (slot.stall_detector.is_silent(), *idx))
            }
            Balance::LeastLoaded => there().min_by_key(|(_, slot)| {
                (slot.stall_detector.is_silent(), slot.in_flight, fastrand::u32(..))
            }),
        };
        let best = best.map(|(idx, _)| idx);
        let may_ask = |(idx, slot): &(usize, &EndpointSlot)| match best {
            None => true,
            // A request that failed already is for one that is there. Those behind the best are not
            // needed, so no request is risked for them.
            Some(best) => {
                let is_wanted = self.balance == Balance::LeastLoaded || *idx < best;
                tried.is_none() && is_wanted && slot.asking == 0
            }
        };
        let asked = self.slots.iter().enumerate().filter(untried).filter(may_ask);
        let next = asked.filter_map(|(idx, slot)| Some((slot.breaker.ask_at()?, idx))).min();
        match (next, best) {
            (Some((at, idx)), _) if at <= now => {
                if let Some(slot) = self.slots.get_mut(idx) {
                    slot.breaker.asked(now, fastrand::f64());
                }
                Choice::Go(idx)
            }
            (_, Some(best)) => Choice::Go(best),
            (Some((at, _)), None) => Choice::WaitUntil(at),
            (None, None) => Choice::Exhausted,
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.slots.iter().all(|slot| slot.breaker.is_open())
    }

    /// Whether an endpoint denies all that there is, so that something else is to ask: what it has denied
    /// may be all that it does not take.
    pub(super) fn wants_others(&self, now: Instant) -> bool {
        self.slots.iter().any(|slot| slot.breaker.is_open() && slot.denial.wants_others(now))
    }

    /// How long it is until one may be asked whether it is back; no time if one is there.
    pub(super) fn asked_in(&self, now: Instant) -> Duration {
        let soonest = self.slots.iter().map(|slot| slot.breaker.ask_at()).min().flatten();
        soonest.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Whether whoever comes now would wait.
    pub(super) fn is_away(&self) -> bool {
        self.slots.iter().all(|slot| slot.breaker.is_open() || slot.stall_detector.is_silent())
    }

    pub(super) fn slot(&mut self, idx: usize) -> &mut EndpointSlot {
        self.slots.get_mut(idx).expect("a lease names an endpoint of its fleet")
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::FAILURES;
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    fn slots(count: usize, balance: Balance) -> EndpointSlots {
        let slot = |_| EndpointSlot::new(PAUSE);
        EndpointSlots { slots: (0..count).map(slot).collect(), balance }
    }

    fn tried(indexes: &[usize]) -> Tried {
        let mut tried = Tried::default();
        for idx in indexes {
            tried.add(*idx);
        }
        tried
    }

    impl EndpointSlots {
        fn open(&mut self, idx: usize, now: Instant) {
            for _ in 0..FAILURES {
                self.slots[idx].breaker.failed(now, None);
            }
        }
    }

    #[test]
    fn failover_takes_the_first_that_is_there_and_asks_only_those_before_it() {
        let now = Instant::now();
        let mut slots = slots(3, Balance::Failover);
        assert_eq!(slots.choose(now, tried(&[])), Choice::Go(0));
        assert_eq!(slots.choose(now, tried(&[0])), Choice::Go(1));
        assert_eq!(slots.choose(now, tried(&[0, 1, 2])), Choice::Exhausted);
        slots.open(0, now);
        slots.open(2, now);
        assert_eq!(slots.choose(now, tried(&[])), Choice::Go(1), "it is asked after a pause");
        let later = now + PAUSE;
        assert_eq!(slots.choose(later, tried(&[1])), Choice::Go(0), "nobody else is left");
        let later = later + PAUSE * 2;
        assert_eq!(slots.choose(later, tried(&[])), Choice::Go(0), "one asks");
        slots.slots[0].asking = 1;
        let later = later + PAUSE * 100;
        assert_eq!(slots.choose(later, tried(&[])), Choice::Go(1), "one at a time");
        slots.slots[0].breaker.succeeded(later);
        assert_eq!(slots.choose(later, tried(&[])), Choice::Go(0), "the first is back");
    }

    #[test]
    fn with_none_there_one_after_the_other_asks_also_without_an_answer() {
        let now = Instant::now();
        let mut slots = slots(2, Balance::Failover);
        slots.open(0, now);
        slots.open(1, now);
        assert!(slots.is_out());
        assert_eq!(slots.choose(now, tried(&[])), Choice::WaitUntil(now + PAUSE));
        let later = now + PAUSE;
        slots.slots[0].asking = 1;
        assert_eq!(slots.choose(later, tried(&[])), Choice::Go(0));
        assert_eq!(slots.choose(later, tried(&[])), Choice::Go(1));
        let Choice::WaitUntil(at) = slots.choose(later, tried(&[])) else { panic!("both asked") };
        assert!(later < at && at <= later + 2 * PAUSE);
    }

    #[test]
    fn the_least_loaded_is_taken_and_equals_by_chance() {
        let now = Instant::now();
        let mut slots = slots(4, Balance::LeastLoaded);
        slots.slots[1].in_flight = 1;
        slots.open(3, now);
        let mut taken = [0; 4];
        for _ in 0..400 {
            let Choice::Go(idx) = slots.choose(now, tried(&[])) else { panic!("three are there") };
            taken[idx] += 1;
        }
        assert!(100 < taken[0] && 100 < taken[2] && taken[1] + taken[3] == 0, "{taken:?}");
        assert_eq!(slots.choose(now, tried(&[0, 2])), Choice::Go(1));
        assert_eq!(
            slots.choose(now + PAUSE, tried(&[])),
            Choice::Go(3),
            "it asks behind others too"
        );
    }

    #[test]
    fn a_silent_endpoint_is_passed_by_where_another_one_answers() {
        let now = Instant::now();
        let stall_detector = |slots: &mut EndpointSlots, idx: usize| {
            let stall_detector = &mut slots.slots[idx].stall_detector;
            stall_detector.answered(now, now);
            stall_detector.waits(now, now + Duration::from_secs(1));
        };
        for balance in [Balance::Failover, Balance::LeastLoaded] {
            let mut slots = slots(2, balance);
            slots.slots[1].in_flight = 9;
            stall_detector(&mut slots, 0);
            assert_eq!(slots.choose(now, tried(&[])), Choice::Go(1));
            assert!(!slots.is_away());
            stall_detector(&mut slots, 1);
            assert_eq!(slots.choose(now, tried(&[])), Choice::Go(0), "somebody has to find out");
            assert!(slots.is_away() && !slots.is_out());
        }
    }
}
