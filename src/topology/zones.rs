//! The zone in force: reads the sensors, asks the controller, and lets the wiring follow.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use tokio::time::MissedTickBehavior;

use super::builder::Shared;
use super::flight;
use super::flight::FlightDir;
use super::wiring::Wiring;
use crate::config::running::Stop;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::metrics::Metrics;
use crate::somatic::Governor;
use crate::somatic::OverrideCommand;
use crate::somatic::Pressure;
use crate::somatic::Readings;
use crate::somatic::Recorder;
use crate::somatic::Sense;
use crate::somatic::Sensors;
use crate::somatic::Somatic;
use crate::somatic::Transition;
use crate::somatic::Weights;
use crate::somatic::Zone;
use crate::somatic::ZoneReport;

/// How often is looked when nobody raises the alarm.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What reads, and what was read.
struct Senses {
    sensors: Sensors,
    readings: Readings,
    recorder: Recorder,
    weights: Weights,
    /// Records received by the look before.
    received: i64,
}

/// Keeps the zone. Cheap to clone.
#[derive(Clone)]
pub struct Zones {
    somatic: Arc<Somatic>,
    wiring: Arc<Wiring>,
    metrics: Arc<Metrics>,
    senses: Arc<Mutex<Senses>>,
    flights: Arc<FlightDir>,
    governor: Arc<Governor>,
    ledger: &'static Ledger,
}

impl Zones {
    /// Connects the controller with what it senses, beside the wiring, and with those who follow. When
    /// Red begins, what was read before is written into `flights`.
    #[must_use]
    pub fn new(
        somatic: Arc<Somatic>,
        shared: &Shared,
        sensors: Sensors,
        flights: FlightDir,
    ) -> Self {
        let senses = Senses {
            sensors,
            readings: Readings::default(),
            recorder: Recorder::default(),
            weights: Weights::default(),
            received: 0,
        };
        let (senses, flights) = (Arc::new(Mutex::new(senses)), Arc::new(flights));
        let Shared { wiring, metrics, governor, ledger, .. } = shared.clone();
        Self { somatic, wiring, metrics, senses, flights, governor, ledger }
    }

    /// Looks again and again until stopped; at once when the alarm is raised.
    pub async fn drive(self, stop: Stop) {
        let alarm = self.somatic.alarm();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = alarm.notified() => {}
                () = stop.cancelled() => return,
            }
            self.look(Somatic::step);
        }
    }

    /// Takes the operator's command; routes follow it before this returns.
    #[must_use]
    pub fn command(&self, command: OverrideCommand) -> ZoneReport {
        tracing::info!(?command, "Operator changed the zone override.");
        self.look(|somatic, _, readings| somatic.command(command, readings));
        self.somatic.report()
    }

    /// The zone with its reason.
    #[must_use]
    pub fn report(&self) -> ZoneReport {
        self.somatic.report()
    }

    /// What was read at the last look.
    #[must_use]
    pub fn pressures(&self) -> Vec<Pressure> {
        self.lock().readings.iter().cloned().collect()
    }

    /// One look: reads, decides, follows, notes.
    fn look(&self, decide: impl FnOnce(&Somatic, Instant, &Readings) -> Option<Transition>) {
        let now = Instant::now();
        let mut senses = self.lock();
        let Senses { sensors, readings, recorder, weights, received } = &mut *senses;
        sensors.read_all(now, readings);
        self.wiring.sense(readings);
        let transition = decide(&self.somatic, now, readings);
        let stall = readings.highest(Sense::CpuStall).map_or(0, |pressure| pressure.permille);
        let before = std::mem::replace(received, self.ledger.total(Bucket::Received));
        weights.look(&self.governor, self.somatic.zone(), stall, before != *received);
        let Some(transition) = transition else {
            return recorder.note(now, unix_ms(), self.somatic.sensed(), readings);
        };
        recorder.note_now(now, unix_ms(), self.somatic.sensed(), readings);
        let record = (transition.to == Zone::Red).then(|| recorder.render());
        drop(senses);
        self.follow(&transition);
        if let Some(record) = record {
            flight::keep(&self.flights, unix_ms(), record);
        }
    }

    fn follow(&self, transition: &Transition) {
        let Transition { from, to, cause, is_in_force } = transition;
        self.metrics.sensed_zone.set(number(self.somatic.sensed()));
        if !is_in_force {
            tracing::info!(%from, %to, reason = %cause, "Zone would change, but somatic.mode is observe.");
            return;
        }
        self.wiring.follow(|| self.somatic.zone());
        self.metrics.zone.set(number(self.somatic.zone()));
        self.metrics.transitions.with_label_values(&[from.name(), to.name(), cause.name()]).inc();
        if to > from {
            tracing::warn!(%from, %to, reason = %cause, "Zone changed.");
        } else {
            tracing::info!(%from, %to, reason = %cause, "Zone changed.");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Senses> {
        self.senses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn number(zone: Zone) -> i64 {
    match zone {
        Zone::Green => 0,
        Zone::Yellow => 1,
        Zone::Red => 2,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
