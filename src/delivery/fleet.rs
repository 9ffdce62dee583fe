//! The endpoints of one sink: which of them the next attempt goes to, and whether any is there.
//!
//! An endpoint whose breaker is open is passed by. While another one is there, one request at a time
//! asks whether it is back, and goes to the other one if it is not. While none is there requests
//! wait, and one after the other asks: also while an earlier one has no answer yet, since an endpoint
//! that hung and is back answers the new one at once.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::engine::CLAIM_CHECK;
use crate::metrics::EndpointMetrics;
use crate::metrics::Metrics;
use crate::somatic::Sense;
use crate::somatic::Vital;
use crate::somatic::Vitals;

/// As many endpoints may a sink have.
pub const ENDPOINTS_MAX: usize = 16;

/// How requests are spread over several endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// To the first that is there.
    #[default]
    Failover,
    /// To the one with the fewest requests on their way; among equals by chance.
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
enum Choice {
    Go(usize),
    /// None of those not yet tried may be asked before.
    WaitUntil(Instant),
    /// All have been tried.
    Exhausted,
}

/// What is known of one endpoint.
#[derive(Debug)]
struct Slot {
    breaker: Breaker,
    in_flight: u32,
    /// Of those, how many ask whether it is back.
    asking: u32,
}

/// Decides; pure but for chance.
#[derive(Debug)]
struct Slots {
    slots: Vec<Slot>,
    balance: Balance,
}

impl Slots {
    fn choose(&mut self, now: Instant, tried: Tried) -> Choice {
        let untried = |(idx, _): &(usize, &Slot)| !tried.has(*idx);
        let is_there = |(_, slot): &(usize, &Slot)| !slot.breaker.is_open();
        let there = || self.slots.iter().enumerate().filter(untried).filter(is_there);
        let best = match self.balance {
            Balance::Failover => there().next(),
            Balance::LeastLoaded => {
                there().min_by_key(|(_, slot)| (slot.in_flight, fastrand::u32(..)))
            }
        };
        let best = best.map(|(idx, _)| idx);
        let may_ask = |(idx, slot): &(usize, &Slot)| match best {
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

    fn is_out(&self) -> bool {
        self.slots.iter().all(|slot| slot.breaker.is_open())
    }

    fn slot(&mut self, idx: usize) -> &mut Slot {
        self.slots.get_mut(idx).expect("a lease names an endpoint of its fleet")
    }
}

/// An endpoint, as it is shown.
struct Shown {
    name: String,
    metrics: EndpointMetrics,
    /// Its own reading, if it is one of several.
    vital: Option<Vital>,
}

/// All endpoints of a sink. That none is there is a reading, so that sources can pass by the sink.
pub(super) struct Fleet {
    sink: Arc<str>,
    shown: Vec<Shown>,
    slots: Mutex<Slots>,
    /// Wakes who waits when one is back.
    back: Notify,
    /// Requests in the sink. Without one nobody would ask, so the sink does not count as out.
    present: AtomicUsize,
    vital: Vital,
}

impl Fleet {
    /// Makes the fleet of a sink; all endpoints count as there.
    ///
    /// # Panics
    ///
    /// With no endpoint, or more than [`ENDPOINTS_MAX`].
    pub(super) fn new(
        sink: &str,
        endpoints: &[String],
        balance: Balance,
        pause_min: Duration,
        vitals: &Vitals,
        metrics: &Metrics,
    ) -> Self {
        assert!((1..=ENDPOINTS_MAX).contains(&endpoints.len()), "the options are validated");
        let show = |name: &String| {
            let place = format!("{sink} {name}");
            Shown {
                name: name.clone(),
                metrics: metrics.endpoint(sink, name),
                vital: (endpoints.len() > 1).then(|| vitals.register(Sense::Circuit, &place)),
            }
        };
        let slot = |_| Slot { breaker: Breaker::new(pause_min), in_flight: 0, asking: 0 };
        Self {
            sink: sink.into(),
            shown: endpoints.iter().map(show).collect(),
            slots: Mutex::new(Slots { slots: endpoints.iter().map(slot).collect(), balance }),
            back: Notify::new(),
            present: AtomicUsize::new(0),
            vital: vitals.register(Sense::Circuit, sink),
        }
    }

    /// Counts a request as present until the guard is dropped.
    pub(super) fn enter(&self) -> Present<'_> {
        self.present.fetch_add(1, Ordering::AcqRel);
        self.show_all();
        Present(self)
    }

    /// Waits for an endpoint to send to; `None` once the request is not ours any more. Dropped
    /// half-way it leaves nothing behind.
    pub(super) async fn admit(&self, is_claimed: impl Fn() -> bool) -> Option<Lease<'_>> {
        loop {
            if is_claimed() {
                return None;
            }
            let back = self.back.notified();
            tokio::pin!(back);
            // From here on no return is missed.
            back.as_mut().enable();
            let now = Instant::now();
            let until = match self.choose(now, Tried::default()) {
                Ok(lease) => return Some(lease),
                Err(until) => until.unwrap_or(now + CLAIM_CHECK),
            };
            tokio::select! {
                () = back => {}
                () = tokio::time::sleep_until(until.min(now + CLAIM_CHECK)) => {}
            }
        }
    }

    /// Another endpoint that may be asked now.
    pub(super) fn another(&self, tried: Tried) -> Option<Lease<'_>> {
        self.choose(Instant::now(), tried).ok()
    }

    fn choose(&self, now: Instant, tried: Tried) -> Result<Lease<'_>, Option<Instant>> {
        let mut slots = self.lock();
        match slots.choose(now, tried) {
            Choice::Go(idx) => {
                let slot = slots.slot(idx);
                let is_question = slot.breaker.is_open();
                slot.in_flight += 1;
                slot.asking += u32::from(is_question);
                Ok(Lease { fleet: self, idx, is_question })
            }
            Choice::WaitUntil(at) => Err(Some(at)),
            Choice::Exhausted => Err(None),
        }
    }

    /// What an endpoint is called.
    pub(super) fn name(&self, idx: usize) -> Option<&str> {
        self.shown.get(idx).map(|endpoint| &*endpoint.name)
    }

    /// Whether no endpoint is there.
    pub(super) fn is_out(&self) -> bool {
        self.lock().is_out()
    }

    /// Requests on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.lock().slots.iter().map(|slot| slot.in_flight as usize).sum()
    }

    fn succeeded(&self, idx: usize) -> bool {
        let mut slots = self.lock();
        let was_out = slots.is_out();
        let out_for = slots.slot(idx).breaker.succeeded(Instant::now());
        drop(slots);
        let Some(endpoint) = self.shown.get(idx) else { return false };
        endpoint.metrics.answered.inc();
        let Some(out_for) = out_for else { return false };
        self.show(endpoint, false);
        self.back.notify_waiters();
        tracing::info!(sink = %self.sink, endpoint = %endpoint.name, ?out_for, "Backend is back.");
        was_out
    }

    fn failed(&self, idx: usize, after: Option<Duration>, reason: &str) {
        let mut slots = self.lock();
        let has_opened = slots.slot(idx).breaker.failed(Instant::now(), after);
        let is_open = slots.slot(idx).breaker.is_open();
        let is_out = slots.is_out();
        drop(slots);
        let Some(endpoint) = self.shown.get(idx) else { return };
        endpoint.metrics.failures.inc();
        self.show(endpoint, is_open);
        if has_opened {
            tracing::warn!(
                sink = %self.sink,
                endpoint = %endpoint.name,
                reason,
                others = if is_out { "none" } else { "take its requests" },
                "Backend is out; it is asked again until it is back."
            );
        }
    }

    fn show(&self, endpoint: &Shown, is_open: bool) {
        endpoint.metrics.out.set(i64::from(is_open));
        if let Some(vital) = &endpoint.vital {
            vital.set_share(f64::from(u8::from(is_open)));
        }
        self.show_all();
    }

    /// Tells whether none is there, as a reading of all or nothing.
    fn show_all(&self) {
        let is_out = self.is_out() && 0 < self.present.load(Ordering::Acquire);
        self.vital.set_share(f64::from(u8::from(is_out)));
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for endpoint in &self.shown {
            endpoint.metrics.out.set(0);
        }
    }
}

/// An attempt under way at one endpoint.
pub(super) struct Lease<'a> {
    fleet: &'a Fleet,
    idx: usize,
    is_question: bool,
}

impl Lease<'_> {
    pub(super) const fn idx(&self) -> usize {
        self.idx
    }

    /// The endpoint answered with something else than "later". Returns whether that ended a time
    /// without any endpoint.
    pub(super) fn succeeded(self) -> bool {
        self.fleet.succeeded(self.idx)
    }

    /// The attempt failed and may be repeated, not before `after` if the endpoint said so.
    pub(super) fn failed(self, after: Option<Duration>, reason: &str) {
        self.fleet.failed(self.idx, after, reason);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut slots = self.fleet.lock();
        let slot = slots.slot(self.idx);
        slot.in_flight -= 1;
        slot.asking -= u32::from(self.is_question);
    }
}

/// A request in the sink.
pub(super) struct Present<'a>(&'a Fleet);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.present.fetch_sub(1, Ordering::AcqRel);
        self.0.show_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::FAILURES;
    use super::*;
    use crate::somatic::Readings;
    use crate::somatic::Sensor as _;

    const PAUSE: Duration = Duration::from_millis(100);

    fn slots(count: usize, balance: Balance) -> Slots {
        let slot = |_| Slot { breaker: Breaker::new(PAUSE), in_flight: 0, asking: 0 };
        Slots { slots: (0..count).map(slot).collect(), balance }
    }

    fn tried(indexes: &[usize]) -> Tried {
        let mut tried = Tried::default();
        for idx in indexes {
            tried.add(*idx);
        }
        tried
    }

    impl Slots {
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

    fn fleet(count: usize) -> (Arc<Fleet>, Arc<Vitals>) {
        let vitals = Arc::new(Vitals::default());
        let names: Vec<String> = (0..count).map(|idx| format!("host{idx}:4317")).collect();
        let balance = Balance::Failover;
        let fleet = Fleet::new("backend", &names, balance, PAUSE, &vitals, &Metrics::new());
        (Arc::new(fleet), vitals)
    }

    fn reading(vitals: &Arc<Vitals>, place: &str) -> Option<u32> {
        let mut readings = Readings::default();
        vitals.sensor().read(std::time::Instant::now(), &mut readings);
        let is_it =
            |at: &&crate::somatic::Pressure| at.sense == Sense::Circuit && &*at.place == place;
        readings.iter().find(is_it).map(|at| at.permille)
    }

    fn fail(fleet: &Fleet, idx: usize) {
        for _ in 0..FAILURES {
            fleet.failed(idx, None, "no");
        }
    }

    #[test]
    fn the_sink_is_out_when_every_endpoint_is_and_somebody_asks() {
        let (fleet, vitals) = fleet(2);
        let present = fleet.enter();
        fail(&fleet, 0);
        assert_eq!(reading(&vitals, "backend"), Some(0));
        assert_eq!(reading(&vitals, "backend host0:4317"), Some(1000));
        fail(&fleet, 1);
        assert_eq!(reading(&vitals, "backend"), Some(1000));
        drop(present);
        assert_eq!(reading(&vitals, "backend"), Some(0), "nobody would notice that one is back");
        let _present = fleet.enter();
        assert!(fleet.succeeded(1), "the time without any is over");
        assert!(!fleet.succeeded(0));
        assert_eq!(reading(&vitals, "backend"), Some(0));
        assert_eq!(reading(&vitals, "backend host0:4317"), Some(0));
    }

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        let (fleet, _) = fleet(1);
        let counts = || {
            let mut slots = fleet.lock();
            let slot = slots.slot(0);
            (slot.in_flight, slot.asking)
        };
        let lease = fleet.another(Tried::default()).unwrap();
        assert_eq!(counts(), (1, 0));
        drop(lease);
        fail(&fleet, 0);
        assert!(fleet.another(Tried::default()).is_none(), "it is asked after a pause");
        let asks = fleet.choose(Instant::now() + PAUSE, Tried::default()).ok().unwrap();
        assert_eq!(counts(), (1, 1));
        asks.failed(None, "no");
        assert_eq!(counts(), (0, 0));
    }

    #[tokio::test]
    async fn a_return_wakes_everyone_and_a_claim_ends_the_wait() {
        let (fleet, _) = fleet(1);
        for _ in 0..FAILURES {
            fleet.failed(0, Some(Duration::from_mins(1)), "no");
        }
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let fleet = Arc::clone(&fleet);
                tokio::spawn(async move { fleet.admit(|| false).await.is_some() })
            })
            .collect();
        assert!(fleet.admit(|| true).await.is_none());
        // They wait before this task comes to its turn again.
        tokio::task::yield_now().await;
        let begun = Instant::now();
        fleet.succeeded(0);
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
        assert!(begun.elapsed() < CLAIM_CHECK);
    }
}
