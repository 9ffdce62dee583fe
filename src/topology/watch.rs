//! The watchdog at work: reads what every part has to do, and says when one stands still.
//!
//! Looked at from the loop that keeps the zone. When the runtime itself stands still nobody looks;
//! then nobody answers `/readyz` either.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use gophership_units::seconds_of;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use super::builder::SharedParts;
use super::wiring::Wiring;
use crate::metrics::Metrics;
use crate::somatic::BackendOutage;
use crate::somatic::Gauges;
use crate::somatic::News;
use crate::somatic::Place;
use crate::somatic::Stall;
use crate::somatic::Watchdog;
use crate::somatic::WorkKind;
use crate::somatic::WorkSample;

/// A stall is measured in seconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What stands still, for whoever asks.
pub(super) struct Watch {
    gauges: Arc<Gauges>,
    wiring: Arc<Wiring>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watchdog: Watchdog,
    /// Kept from look to look, for its memory.
    work_probes: Vec<WorkSample>,
    looked: Option<Instant>,
}

impl Watch {
    pub(super) fn new(shared: &SharedParts) -> Self {
        let SharedParts { gauges, wiring, metrics, .. } = shared.clone();
        Self { gauges, wiring, metrics, state: Mutex::default() }
    }

    /// Says when something has not moved for so long; never without it.
    pub(super) fn configure(&self, after: Option<Duration>) {
        self.lock().watchdog.configure(after);
    }

    /// What stands still now.
    pub(super) fn stalls(&self) -> Vec<Stall> {
        self.lock().watchdog.stalls().cloned().collect()
    }

    /// What is out, and why.
    pub(super) fn outages(&self) -> Vec<BackendOutage> {
        self.gauges.troubles.outages()
    }

    /// What can be out, and whether it is.
    pub(super) fn backends(&self) -> Vec<(Place, bool)> {
        self.gauges.troubles.places()
    }

    /// Whether a way in stands still: what waits inside keeps nobody from sending.
    pub(super) fn is_intake_stuck(&self) -> bool {
        self.lock().watchdog.stalls().any(|stall| stall.part == WorkKind::Intake)
    }

    pub(super) fn look(&self, now: Instant) {
        let mut state = self.lock();
        let is_soon =
            |looked: Instant| now.saturating_duration_since(looked) < LOOK_EVERY && looked <= now;
        if state.looked.is_some_and(is_soon) {
            return;
        }
        state.looked = Some(now);
        let State { watchdog, work_probes, .. } = &mut *state;
        work_probes.clear();
        self.wiring.work_probes(work_probes);
        self.gauges.work_probes.read(work_probes);
        let news = watchdog.look(now, work_probes);
        if news.is_empty() {
            return;
        }
        self.metrics.somatic.stalled.reset();
        for stall in watchdog.stalls() {
            self.metrics.somatic.stalled.with_label_values(&[&*stall.place]).set(1);
        }
        drop(state);
        for news in &news {
            self.tell(news);
        }
    }

    fn tell(&self, news: &News) {
        match news {
            News::Stalled(stall) => {
                self.metrics.somatic.stalls.with_label_values(&[&*stall.place]).inc();
                tracing::warn!(
                    component = %stall.place, waiting = stall.waiting,
                    "Component makes no progress: {stall}."
                );
            }
            News::Over(stall) => {
                let Stall { place, waits, lasts, .. } = stall;
                tracing::info!(
                    component = %place, lasted_seconds = seconds_of(*lasts),
                    "Component makes progress again, or has no work left: {waits}."
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
