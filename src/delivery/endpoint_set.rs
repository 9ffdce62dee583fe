//! The endpoints of one sink: which of them the next attempt goes to, and whether any is there.
//!
//! Of a sink whose endpoints are all out or silent, new requests are told before they come there.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::seconds_of;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch_group::CLAIM_CHECK;
use super::slots::Balance;
use super::slots::Choice;
use super::slots::EndpointSlot;
use super::slots::EndpointSlots;
use super::slots::Tried;
use crate::metrics::EndpointMetrics;
use crate::metrics::Metrics;
use crate::somatic::Gauges;
use crate::somatic::PressureGauge;
use crate::somatic::PressureKind;
use crate::somatic::Trouble;

/// As many endpoints may a sink have.
pub const ENDPOINTS_MAX: usize = 16;

/// An endpoint, as it is shown.
struct Shown {
    name: String,
    metrics: EndpointMetrics,
    /// Its own reading, if it is one of several.
    gauge: Option<PressureGauge>,
    /// Why it is out.
    trouble: Trouble,
}

/// All endpoints of a sink. That none is there is a reading, so that sources can pass by the sink.
pub(super) struct EndpointSet {
    sink: Arc<str>,
    shown: Vec<Shown>,
    slots: Mutex<EndpointSlots>,
    /// Wakes who waits when one is back.
    back: Notify,
    /// Requests in the sink. Without one nobody would ask, so the sink does not count as out.
    present: AtomicUsize,
    /// Of those, how many have time to ask.
    patient: AtomicUsize,
    gauge: PressureGauge,
}

impl EndpointSet {
    /// Makes the endpoint set of a sink; all endpoints count as there.
    ///
    /// # Panics
    ///
    /// With no endpoint, or more than [`ENDPOINTS_MAX`].
    pub(super) fn new(
        sink: &str,
        endpoints: &[String],
        balance: Balance,
        pause_min: Duration,
        gauges: &Gauges,
        metrics: &Metrics,
    ) -> Self {
        assert!((1..=ENDPOINTS_MAX).contains(&endpoints.len()), "the options are validated");
        let show = |name: &String| {
            let place = format!("{sink} {name}");
            Shown {
                name: name.clone(),
                metrics: metrics.endpoint(sink, name),
                gauge: (endpoints.len() > 1)
                    .then(|| gauges.register(PressureKind::Circuit, &place)),
                trouble: gauges.troubles.register(&place),
            }
        };
        let slot = |_| EndpointSlot::new(pause_min);
        Self {
            sink: sink.into(),
            shown: endpoints.iter().map(show).collect(),
            slots: Mutex::new(EndpointSlots {
                slots: endpoints.iter().map(slot).collect(),
                balance,
            }),
            back: Notify::new(),
            present: AtomicUsize::new(0),
            patient: AtomicUsize::new(0),
            gauge: gauges.register(PressureKind::Circuit, sink),
        }
    }

    /// Counts a request as present until the guard is dropped. One that `is_backed` asks nobody who is
    /// out, if another one can.
    pub(super) fn enter(&self, is_backed: bool) -> Present<'_> {
        let patient = usize::from(!is_backed);
        self.present.fetch_add(1, Ordering::AcqRel);
        self.patient.fetch_add(patient, Ordering::AcqRel);
        self.show_all();
        Present { endpoint_set: self, patient }
    }

    /// Waits for an endpoint to send to; `None` once the request is not ours any more, or at once if it
    /// `is_backed` and would have to wait. Dropped half-way it leaves nothing behind.
    pub(super) async fn admit(
        &self,
        is_over: impl Fn() -> bool,
        is_backed: bool,
    ) -> Option<Lease<'_>> {
        loop {
            let is_asked_by_others = || {
                let slots = self.lock();
                let is_out = slots.is_out() && !slots.wants_others(Instant::now());
                is_out && 0 < self.patient.load(Ordering::Acquire)
            };
            if is_over() || (is_backed && is_asked_by_others()) {
                return None;
            }
            let back = self.back.notified();
            tokio::pin!(back);
            // From here on no return is missed.
            back.as_mut().enable();
            let now = Instant::now();
            let until = match self.choose(now, Tried::default()) {
                Ok(lease) => return Some(lease),
                Err(_) if is_backed => return None,
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
                Ok(Lease { endpoint_set: self, idx, is_question, began: now })
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

    /// Whether all endpoints that are there are silent, so that whoever comes now would wait.
    pub(super) fn is_silent(&self) -> bool {
        let slots = self.lock();
        slots.is_away() && !slots.is_out()
    }

    /// Whether whoever comes now would wait: no endpoint is there, or those that are there are silent.
    pub(super) fn is_away(&self) -> bool {
        self.lock().is_away()
    }

    /// Requests on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.lock().slots.iter().map(|slot| slot.in_flight as usize).sum()
    }

    /// Changes what is known of an endpoint, and shows it if that begins or ends its silence.
    fn note<T>(&self, idx: usize, change: impl FnOnce(&mut EndpointSlots) -> T) -> T {
        let mut slots = self.lock();
        let was_silent = slots.slot(idx).stall_detector.is_silent();
        let changed = change(&mut slots);
        let is_silent = slots.slot(idx).stall_detector.is_silent();
        drop(slots);
        if was_silent != is_silent {
            self.show_all();
        }
        if is_silent && !was_silent {
            let endpoint = self.name(idx);
            tracing::debug!(
                sink = %self.sink, endpoint,
                "Backend does not answer; new requests avoid it."
            );
        }
        changed
    }

    fn succeeded(&self, idx: usize, began: Instant) -> bool {
        let now = Instant::now();
        let (was_out, out_for) = self.note(idx, |slots| {
            let was_out = slots.is_out();
            let slot = slots.slot(idx);
            slot.stall_detector.answered(began, now);
            slot.denial.end();
            (was_out, slot.breaker.succeeded(now))
        });
        let Some(endpoint) = self.shown.get(idx) else { return false };
        endpoint.metrics.answered.inc();
        let Some(out_for) = out_for else { return false };
        self.show(idx, endpoint);
        self.back.notify_waiters();
        let out_seconds = seconds_of(out_for);
        tracing::info!(sink = %self.sink, endpoint = %endpoint.name, out_seconds, "Backend is back.");
        was_out
    }

    fn failed(&self, idx: usize, after: Option<Duration>, reason: &str) {
        let mut slots = self.lock();
        slots.slot(idx).denial.end();
        let has_opened = slots.slot(idx).breaker.failed(Instant::now(), after);
        let is_out = slots.is_out();
        drop(slots);
        let Some(endpoint) = self.count_failure(idx, reason) else { return };
        if has_opened {
            tracing::warn!(
                sink = %self.sink,
                endpoint = %endpoint.name,
                reason,
                others = others(is_out),
                "Backend is out; the sink retries until it is back."
            );
        }
    }

    fn denied(&self, idx: usize, reason: &str, is_first: bool) {
        let (mut slots, now) = (self.lock(), Instant::now());
        let slot = slots.slot(idx);
        // What is denied once more tells of itself, not of the endpoint.
        if is_first || slot.breaker.is_open() {
            slot.breaker.failed(now, None);
        }
        let told = slot.denial.denied(is_first, slot.breaker.is_open(), now);
        let is_out = slots.is_out();
        drop(slots);
        let Some(endpoint) = self.count_failure(idx, reason) else { return };
        if let Some(refused) = told {
            tracing::warn!(
                sink = %self.sink,
                endpoint = %endpoint.name,
                refused,
                reason,
                others = others(is_out),
                "Backend refuses all requests, so it counts as out; the sink retries until it \
                 accepts one."
            );
        }
    }

    /// Shows that an endpoint did not take a request.
    fn count_failure(&self, idx: usize, reason: &str) -> Option<&Shown> {
        let endpoint = self.shown.get(idx)?;
        endpoint.metrics.failures.inc();
        endpoint.trouble.tell(reason);
        self.show(idx, endpoint);
        Some(endpoint)
    }

    fn show(&self, idx: usize, endpoint: &Shown) {
        let mut slots = self.lock();
        let slot = slots.slot(idx);
        let (is_open, is_denied) = (slot.breaker.is_open(), slot.denial.is_on());
        drop(slots);
        endpoint.metrics.out.set(i64::from(is_open));
        endpoint.metrics.denied.set(i64::from(is_open && is_denied));
        endpoint.trouble.set(is_open);
        if let Some(gauge) = &endpoint.gauge {
            gauge.set_share(f64::from(u8::from(is_open)));
        }
        self.show_all();
    }

    /// Tells whether none is there, as a reading of all or nothing.
    fn show_all(&self) {
        let slots = self.lock();
        let is_out = slots.is_away() && !slots.wants_others(Instant::now());
        drop(slots);
        let is_out = is_out && 0 < self.present.load(Ordering::Acquire);
        self.gauge.set_share(f64::from(u8::from(is_out)));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, EndpointSlots> {
        self.slots.lock()
    }
}

impl Drop for EndpointSet {
    fn drop(&mut self) {
        for endpoint in &self.shown {
            endpoint.metrics.out.set(0);
            endpoint.metrics.denied.set(0);
        }
    }
}

/// What a log line says of the other endpoints.
const fn others(is_out: bool) -> &'static str {
    if is_out { "none available" } else { "take over" }
}

/// An attempt under way at one endpoint.
pub(super) struct Lease<'a> {
    endpoint_set: &'a EndpointSet,
    idx: usize,
    is_question: bool,
    began: Instant,
}

impl Lease<'_> {
    pub(super) const fn idx(&self) -> usize {
        self.idx
    }

    /// When it was sent.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// The endpoint answered with something else than "later". Returns whether that ended a time
    /// without any endpoint.
    pub(super) fn succeeded(self) -> bool {
        self.endpoint_set.succeeded(self.idx, self.began)
    }

    /// There is no answer yet. Returns whether the endpoint is silent.
    pub(super) fn waits(&self) -> bool {
        self.endpoint_set.note(self.idx, |slots| {
            let stall_detector = &mut slots.slot(self.idx).stall_detector;
            stall_detector.waits(self.began, Instant::now());
            stall_detector.is_silent()
        })
    }

    /// The attempt failed and may be repeated, not before `after` if the endpoint said so.
    pub(super) fn failed(self, after: Option<Duration>, reason: &str) {
        self.endpoint_set
            .note(self.idx, |slots| slots.slot(self.idx).stall_detector.heard(Instant::now()));
        self.endpoint_set.failed(self.idx, after, reason);
    }

    /// The endpoint refused it, and did not say that the request is at fault.
    pub(super) fn denied(self, reason: &str, is_first: bool) {
        self.endpoint_set
            .note(self.idx, |slots| slots.slot(self.idx).stall_detector.heard(Instant::now()));
        self.endpoint_set.denied(self.idx, reason, is_first);
    }

    /// Nobody waits for the answer any longer, which counts as a failure.
    pub(super) fn given_up(self, reason: &str) {
        self.endpoint_set.failed(self.idx, None, reason);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.endpoint_set.note(self.idx, |slots| {
            let slot = slots.slot(self.idx);
            slot.in_flight -= 1;
            slot.asking -= u32::from(self.is_question);
            if slot.in_flight == 0 {
                // Nobody would hear the end of it.
                slot.stall_detector.end();
            }
        });
    }
}

/// A request in the sink.
pub(super) struct Present<'a> {
    endpoint_set: &'a EndpointSet,
    patient: usize,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.endpoint_set.patient.fetch_sub(self.patient, Ordering::AcqRel);
        self.endpoint_set.present.fetch_sub(1, Ordering::AcqRel);
        self.endpoint_set.show_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::FAILURES;
    use super::*;
    use crate::somatic::Readings;
    use crate::somatic::Sensor as _;

    const PAUSE: Duration = Duration::from_millis(100);
    const SILENCE: Duration = Duration::from_millis(220);

    fn endpoint_set(count: usize) -> (Arc<EndpointSet>, Arc<Gauges>) {
        endpoint_set_asked_after(PAUSE, count)
    }

    fn endpoint_set_asked_after(pause: Duration, count: usize) -> (Arc<EndpointSet>, Arc<Gauges>) {
        let gauges = Arc::new(Gauges::default());
        let names: Vec<String> = (0..count).map(|idx| format!("host{idx}:4317")).collect();
        let balance = Balance::Failover;
        let endpoint_set =
            EndpointSet::new("backend", &names, balance, pause, &gauges, &Metrics::new());
        (Arc::new(endpoint_set), gauges)
    }

    fn reading(gauges: &Arc<Gauges>, place: &str) -> Option<u32> {
        let mut readings = Readings::default();
        gauges.sensor().read(std::time::Instant::now(), &mut readings);
        let is_it = |at: &&crate::somatic::Pressure| {
            at.kind == PressureKind::Circuit && &*at.place == place
        };
        readings.iter().find(is_it).map(|at| at.permille)
    }

    fn fail(endpoint_set: &EndpointSet, idx: usize) {
        for _ in 0..FAILURES {
            endpoint_set.failed(idx, None, "no");
        }
    }

    #[test]
    fn the_sink_is_out_when_every_endpoint_is_and_somebody_asks() {
        let (endpoint_set, gauges) = endpoint_set(2);
        let present = endpoint_set.enter(false);
        fail(&endpoint_set, 0);
        assert_eq!(reading(&gauges, "backend"), Some(0));
        assert_eq!(reading(&gauges, "backend host0:4317"), Some(1000));
        fail(&endpoint_set, 1);
        assert_eq!(reading(&gauges, "backend"), Some(1000));
        drop(present);
        assert_eq!(reading(&gauges, "backend"), Some(0), "nobody would notice that one is back");
        let _present = endpoint_set.enter(false);
        assert!(endpoint_set.succeeded(1, Instant::now()), "the time without any is over");
        assert!(!endpoint_set.succeeded(0, Instant::now()));
        assert_eq!(reading(&gauges, "backend"), Some(0));
        assert_eq!(reading(&gauges, "backend host0:4317"), Some(0));
    }

    #[test]
    fn an_endpoint_is_called_as_it_was_configured() {
        let (endpoint_set, _) = endpoint_set(2);
        let names = [0, 1, 2].map(|idx| endpoint_set.name(idx));
        assert_eq!(names, [Some("host0:4317"), Some("host1:4317"), None]);
    }

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        let (endpoint_set, _) = endpoint_set(1);
        let counts = || {
            let mut slots = endpoint_set.lock();
            let slot = slots.slot(0);
            (slot.in_flight, slot.asking)
        };
        let lease = endpoint_set.another(Tried::default()).unwrap();
        assert_eq!(counts(), (1, 0));
        drop(lease);
        fail(&endpoint_set, 0);
        assert!(endpoint_set.another(Tried::default()).is_none(), "it is asked after a pause");
        let asks = endpoint_set.choose(Instant::now() + PAUSE, Tried::default()).ok().unwrap();
        assert_eq!(counts(), (1, 1));
        asks.failed(None, "no");
        assert_eq!(counts(), (0, 0));
    }

    #[tokio::test]
    async fn a_return_wakes_everyone_and_a_claim_ends_the_wait() {
        let (endpoint_set, _) = endpoint_set(1);
        for _ in 0..FAILURES {
            endpoint_set.failed(0, Some(Duration::from_mins(1)), "no");
        }
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let endpoint_set = Arc::clone(&endpoint_set);
                tokio::spawn(async move { endpoint_set.admit(|| false, false).await.is_some() })
            })
            .collect();
        assert!(endpoint_set.admit(|| true, false).await.is_none());
        assert!(endpoint_set.admit(|| false, true).await.is_none(), "the vault takes it over");
        // They wait before this task comes to its turn again.
        tokio::task::yield_now().await;
        let begun = Instant::now();
        endpoint_set.succeeded(0, Instant::now());
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
        assert!(begun.elapsed() < CLAIM_CHECK);
    }

    #[tokio::test]
    async fn a_request_with_a_vault_asks_who_is_out_only_if_no_other_request_does() {
        let (endpoint_set, _) = endpoint_set_asked_after(Duration::ZERO, 1);
        let is_sent = async |is_backed| endpoint_set.admit(|| false, is_backed).await.is_some();
        let _backed = endpoint_set.enter(true);
        let patient = endpoint_set.enter(false);
        assert!(is_sent(true).await, "the endpoint is there");
        fail(&endpoint_set, 0);
        assert!(!is_sent(true).await, "the other one asks");
        assert!(is_sent(false).await);
        drop(patient);
        assert!(is_sent(true).await, "there is no other one");
    }

    #[tokio::test]
    async fn a_sink_that_has_become_silent_counts_as_out_until_there_is_a_sign() {
        let (endpoint_set, gauges) = endpoint_set(1);
        let _present = endpoint_set.enter(false);
        let lease = || endpoint_set.choose(Instant::now(), Tried::default()).ok().unwrap();
        lease().succeeded();
        let (first, second, third) = (lease(), lease(), lease());
        first.waits();
        assert_eq!(reading(&gauges, "backend"), Some(0));
        tokio::time::sleep(SILENCE).await;
        first.waits();
        assert_eq!(reading(&gauges, "backend"), Some(1000));
        assert!(!endpoint_set.is_out(), "it is asked as before");
        second.given_up("late");
        assert_eq!(reading(&gauges, "backend"), Some(1000), "that says nothing new");
        third.failed(None, "later");
        assert_eq!(reading(&gauges, "backend"), Some(0));
        tokio::time::sleep(SILENCE).await;
        first.waits();
        assert_eq!(reading(&gauges, "backend"), Some(1000));
        drop(first);
        assert_eq!(reading(&gauges, "backend"), Some(0), "nobody would hear the end of it");
    }
}
