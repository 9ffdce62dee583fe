//! The zone in force: looks at the edges, asks the controller, and lets the wiring follow.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::time::MissedTickBehavior;

use super::wiring::Wiring;
use crate::config::running::Stop;
use crate::metrics::Metrics;
use crate::somatic::OverrideCommand;
use crate::somatic::Somatic;
use crate::somatic::Transition;
use crate::somatic::Zone;
use crate::somatic::ZoneReport;

/// How often the edges are looked at when nobody raises the alarm.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Keeps the zone. Cheap to clone.
#[derive(Clone)]
pub struct Zones {
    somatic: Arc<Somatic>,
    wiring: Arc<Wiring>,
    metrics: Arc<Metrics>,
}

impl Zones {
    /// Connects the controller with the wiring.
    #[must_use]
    pub const fn new(somatic: Arc<Somatic>, wiring: Arc<Wiring>, metrics: Arc<Metrics>) -> Self {
        Self { somatic, wiring, metrics }
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
            let transition = self.somatic.step(Instant::now(), &self.wiring.reading());
            self.follow(transition.as_ref());
        }
    }

    /// Takes the operator's command; routes follow it before this returns.
    #[must_use]
    pub fn command(&self, command: OverrideCommand) -> ZoneReport {
        let reading = self.wiring.reading();
        let transition = self.somatic.command(command, &reading);
        tracing::info!(?command, "Operator changed the zone override.");
        self.follow(transition.as_ref());
        self.somatic.report()
    }

    /// The zone with its reason.
    #[must_use]
    pub fn report(&self) -> ZoneReport {
        self.somatic.report()
    }

    fn follow(&self, transition: Option<&Transition>) {
        let Some(transition) = transition else { return };
        self.wiring.follow(|| self.somatic.report().zone);
        self.metrics.transitions.inc();
        self.metrics.zone.set(match self.somatic.report().zone {
            Zone::Green => 0,
            Zone::Yellow => 1,
            Zone::Red => 2,
        });
        let Transition { from, to, reason } = transition;
        if to > from {
            tracing::warn!(%from, %to, reason, "Zone changed.");
        } else {
            tracing::info!(%from, %to, reason, "Zone changed.");
        }
    }
}
