//! The published zone, and the operator's override.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::sync::watch;

use super::controller::Controller;
use super::controller::Transition;
use super::policy::Policy;
use super::reading::Readings;
use super::zone::Zone;
use super::zone_hold::ZoneHold;

/// Follows the zone in force.
pub type ZoneWatch = watch::Receiver<Zone>;

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverrideCommand {
    /// Hold this zone, whatever the sensors say.
    Hold {
        /// The zone.
        zone: Zone,
        /// For how long; without it until the next command.
        ttl: Option<Duration>,
        /// Why, in the operator's words.
        reason: String,
    },
    /// Follow the sensors again.
    Auto,
}

/// The zone with its reason, for status.
#[derive(Clone, Debug)]
pub struct ZoneReport {
    /// The zone in force.
    pub zone: Zone,
    /// The zone that the sensors ask for.
    pub sensed: Zone,
    /// Why it is in force.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// The operator's hold, if any.
    pub held: Option<ZoneHold>,
    /// Whether the controller only observes.
    pub is_observing: bool,
}

struct State {
    controller: Controller,
    report: ZoneReport,
}

/// The controller with its inputs and its one output. Shared by the driver and the control service.
pub struct Somatic {
    state: Mutex<State>,
    zone: watch::Sender<Zone>,
    alarm: Arc<Notify>,
}

impl Somatic {
    /// Publishes the decisions of a controller under `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let is_observing = policy.is_observing;
        let controller = Controller::new(policy);
        let zone = controller.zone();
        let report = ZoneReport {
            zone,
            sensed: zone,
            reason: "start".to_owned(),
            since: Instant::now(),
            held: None,
            is_observing,
        };
        Self {
            state: Mutex::new(State { controller, report }),
            zone: watch::Sender::new(zone),
            alarm: Arc::new(Notify::new()),
        }
    }

    /// Raised by whoever sees pressure between two ticks.
    #[must_use]
    pub fn alarm(&self) -> Arc<Notify> {
        Arc::clone(&self.alarm)
    }

    /// Follows the zone.
    #[must_use]
    pub fn watch(&self) -> ZoneWatch {
        self.zone.subscribe()
    }

    /// Returns the zone with its reason.
    #[must_use]
    pub fn report(&self) -> ZoneReport {
        self.lock().report.clone()
    }

    /// The zone in force.
    #[must_use]
    pub fn zone(&self) -> Zone {
        *self.zone.borrow()
    }

    /// Whether the controller only observes.
    #[must_use]
    pub fn is_observing(&self) -> bool {
        self.lock().report.is_observing
    }

    /// The zone that the sensors ask for.
    #[must_use]
    pub fn sensed(&self) -> Zone {
        self.lock().report.sensed
    }

    /// Whether it is Green, would be so whatever is in force, and nobody holds it.
    #[must_use]
    pub fn is_easy(&self) -> bool {
        let ZoneReport { zone, sensed, held, .. } = &self.lock().report;
        (*zone, *sensed, held) == (Zone::Green, Zone::Green, &None)
    }

    /// Whether an operator holds the zone.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lock().report.held.is_some()
    }

    /// Changes the controller's options; they count from the next look.
    pub fn configure(&self, policy: Policy) {
        let mut state = self.lock();
        state.report.is_observing = policy.is_observing;
        state.controller.configure(policy);
    }

    /// Shows the controller's options.
    pub fn with_policy<T>(&self, show: impl FnOnce(&Policy) -> T) -> T {
        show(self.lock().controller.policy())
    }

    /// Takes the operator's command; it is in force when this returns.
    pub fn command(&self, command: OverrideCommand, readings: &Readings) -> Option<Transition> {
        let now = Instant::now();
        self.lock().report.held = match command {
            OverrideCommand::Hold { zone, ttl, reason } => {
                Some(ZoneHold::new(zone, now, ttl, reason))
            }
            OverrideCommand::Auto => None,
        };
        self.step(now, readings)
    }

    /// Takes readings, and publishes the zone if it changes.
    pub fn step(&self, now: Instant, readings: &Readings) -> Option<Transition> {
        let mut state = self.lock();
        let State { controller, report } = &mut *state;
        if report.held.as_ref().is_some_and(|lease| !lease.is_valid(now)) {
            report.held = None;
        }
        let transition = controller.step(now, readings, report.held.as_ref());
        report.sensed = controller.sensed();
        let transition = transition?;
        if transition.is_in_force {
            report.zone = transition.to;
            report.reason = transition.cause.to_string();
            report.since = now;
            self.zone.send_replace(transition.to);
        }
        Some(transition)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
