//! The controller: a pure state machine from readings to zones.
//!
//! ```text
//!            >= yellow              >= red
//!   Green ------------> Yellow ------------> Red        at once, skipping Yellow if need be
//!     ^                  | ^                  |
//!     +--- < recover ----+ +---- < recover ---+          one zone per dwell
//! ```
//!
//! Each kind has its own marks; the highest zone that any number asks for wins, and no number lets
//! the zone fall before it is below its recover mark. Override is an input, not a second path.

use std::time::Instant;

use super::policy::Policy;
use super::reading::Pressure;
use super::reading::Readings;
use super::zone::Zone;
use super::zone_hold::ZoneHold;

/// A change of zone with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The zone before.
    pub from: Zone,
    /// The zone from now on.
    pub to: Zone,
    /// Why.
    pub cause: Cause,
    /// Whether it is in force, or only what the controller would do.
    pub is_in_force: bool,
}

/// Why a zone changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// These numbers asked for it.
    Pressure(Vec<Pressure>),
    /// Nothing asks for more.
    Calm,
    /// The operator holds it.
    Override {
        /// The operator's words.
        reason: String,
    },
    /// The operator's hold ended.
    OverrideEnded,
    /// The controller is told to observe only, or to act again.
    Mode,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pressure(pressures) => {
                for (idx, pressure) in pressures.iter().enumerate() {
                    let comma = if idx == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{pressure}")?;
                }
                Ok(())
            }
            Self::Calm => formatter.write_str("pressure is gone"),
            Self::Override { reason } if reason.is_empty() => {
                formatter.write_str("operator override")
            }
            Self::Override { reason } => write!(formatter, "operator override: {reason}"),
            Self::OverrideEnded => formatter.write_str("operator override ended"),
            Self::Mode => formatter.write_str("somatic.mode was changed"),
        }
    }
}

impl Cause {
    /// The name in metrics: the kind of pressure that asked most, or the kind of command.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pressure(pressures) => {
                pressures.first().map_or("pressure", |first| first.kind.name())
            }
            Self::Calm => "calm",
            Self::Override { .. } => "override",
            Self::OverrideEnded => "override_ended",
            Self::Mode => "mode",
        }
    }
}

/// Decides the zone from readings.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    policy: Policy,
    /// The zone that the readings ask for.
    sensed: Zone,
    /// Since when readings would let the zone fall.
    calm_since: Option<Instant>,
    /// The zone in force.
    zone: Zone,
    /// Whether the zone in force is the operator's.
    is_held: bool,
}

impl Controller {
    /// Makes a controller in Green.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Replaces the options; the zone stays until the next step.
    pub fn configure(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The options.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The zone in force.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// The zone that the readings ask for, held or observed or not.
    #[must_use]
    pub const fn sensed(&self) -> Zone {
        self.sensed
    }

    /// Takes the readings and the operator's hold, if any, and returns the change they cause. Allocates
    /// only when there is one.
    pub fn step(
        &mut self,
        now: Instant,
        readings: &Readings,
        lease: Option<&ZoneHold>,
    ) -> Option<Transition> {
        let sensed_before = self.sensed;
        self.kind(now, readings);
        let lease = lease.filter(|lease| lease.is_valid(now));
        let was_held = std::mem::replace(&mut self.is_held, lease.is_some());
        let is_observing = self.policy.is_observing;
        let to = match lease {
            Some(lease) => lease.zone,
            None if is_observing => Zone::Green,
            None => self.sensed,
        };
        if to == self.zone {
            let is_news = is_observing && lease.is_none() && sensed_before != self.sensed;
            return is_news.then(|| Transition {
                from: sensed_before,
                to: self.sensed,
                cause: self.felt(sensed_before, readings),
                is_in_force: false,
            });
        }
        let cause = match lease {
            Some(lease) => Cause::Override { reason: lease.reason.clone() },
            None if was_held => Cause::OverrideEnded,
            None if is_observing || sensed_before == self.sensed => Cause::Mode,
            None => self.felt(self.zone, readings),
        };
        let from = std::mem::replace(&mut self.zone, to);
        Some(Transition { from, to, cause, is_in_force: true })
    }

    /// What moved the sensed zone: the numbers that asked for it, the highest first.
    fn felt(&self, from: Zone, readings: &Readings) -> Cause {
        if self.sensed < from {
            return Cause::Calm;
        }
        let asks = |pressure: &&Pressure| self.sensed <= self.policy.asked(pressure);
        let mut causes: Vec<Pressure> = readings.iter().filter(asks).cloned().collect();
        causes.sort_by_key(|pressure| std::cmp::Reverse(pressure.permille));
        Cause::Pressure(causes)
    }

    fn kind(&mut self, now: Instant, readings: &Readings) {
        let highest = |zone: fn(&Policy, &Pressure) -> Zone| {
            readings.iter().map(|pressure| zone(&self.policy, pressure)).max().unwrap_or_default()
        };
        let (asked, held) = (highest(Policy::asked), highest(Policy::held));
        if self.sensed < asked {
            self.sensed = asked;
        }
        if self.sensed <= held {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if self.policy.dwell <= now.saturating_duration_since(since) {
            self.sensed = self.sensed.calmer();
            self.calm_since = Some(now);
        }
    }
}
