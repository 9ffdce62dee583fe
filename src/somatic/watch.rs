//! The published zone, and the operator's override.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::watch;

use super::controller::Controller;
use super::controller::Reading;
use super::controller::Transition;
use super::zone::Zone;

/// Follows the zone in force.
pub type ZoneWatch = watch::Receiver<Zone>;

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideCommand {
    /// Hold this zone, whatever the sensors say.
    Hold(Zone),
    /// Follow the sensors again.
    Auto,
}

/// The zone with its reason, for status.
#[derive(Clone, Debug)]
pub struct ZoneReport {
    /// The zone in force.
    pub zone: Zone,
    /// Why it is in force.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// The zone held by the operator, if any.
    pub held: Option<Zone>,
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
    /// Publishes the decisions of `controller`.
    #[must_use]
    pub fn new(controller: Controller) -> Self {
        let zone = controller.zone();
        let report =
            ZoneReport { zone, reason: "start".to_owned(), since: Instant::now(), held: None };
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

    /// Changes the controller's options.
    pub fn configure(&self, configure: impl FnOnce(&mut Controller)) {
        configure(&mut self.lock().controller);
    }

    /// Takes the operator's command; it is in force when this returns.
    pub fn command(&self, command: OverrideCommand, reading: &Reading) -> Option<Transition> {
        self.lock().report.held = match command {
            OverrideCommand::Hold(zone) => Some(zone),
            OverrideCommand::Auto => None,
        };
        self.step(Instant::now(), reading)
    }

    /// Takes a reading, and publishes the zone if it changes.
    pub fn step(&self, now: Instant, reading: &Reading) -> Option<Transition> {
        let mut state = self.lock();
        let held = state.report.held;
        let transition = state.controller.step(now, reading, held)?;
        state.report.zone = transition.to;
        state.report.reason.clone_from(&transition.reason);
        state.report.since = now;
        self.zone.send_replace(transition.to);
        Some(transition)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is a few plain values, consistent after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
