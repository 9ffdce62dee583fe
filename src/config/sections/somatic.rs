//! The options of the somatic controller.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use gophership_units::HumanDuration;
use gophership_units::Share;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::component::OptionProblem;
use crate::config::sections::memory::MemoryConfig;
use crate::somatic::Marks;
use crate::somatic::Policy;
use crate::somatic::PressureKind;

/// How pressure changes the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SomaticConfig {
    /// Whether sensors change the zone.
    pub mode: SomaticMode,
    /// How many requests a worker thread handles between two checks of the pressure.
    pub check_every: NonZeroU32,
    /// The pressures at which the zone changes.
    pub watermarks: Watermarks,
    /// Watermarks of single pressures. A pressure that is not listed keeps its default.
    pub thresholds: BTreeMap<PressureKind, Thresholds>,
    /// How long the pressure must stay below `recover` before the zone falls by one step.
    pub dwell: HumanDuration,
    /// How much memory requests may use.
    pub memory: MemoryConfig,
    /// Delays answers to senders in yellow; off by default.
    pub slow_answers: SlowAnswers,
    /// Reports components that have work and make no progress.
    pub watchdog: WatchdogConfig,
}

impl Default for SomaticConfig {
    fn default() -> Self {
        Self {
            mode: SomaticMode::Act,
            check_every: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
            watermarks: Watermarks::default(),
            thresholds: BTreeMap::new(),
            dwell: HumanDuration::seconds(2),
            memory: MemoryConfig::default(),
            slow_answers: SlowAnswers::default(),
            watchdog: WatchdogConfig::default(),
        }
    }
}

/// Delays answers in yellow, so that senders send less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlowAnswers {
    /// The longest delay of an answer, at most 2500ms, a quarter of the deadline of most senders.
    /// The delay grows from 0 at the yellow watermark to `max` at the red one. In red, only a vault
    /// or disk that fills up delays answers. `0s` turns delays off.
    pub max: HumanDuration,
}

impl Default for SlowAnswers {
    fn default() -> Self {
        Self { max: HumanDuration(Duration::ZERO) }
    }
}

/// Reports components that have work and make no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogConfig {
    /// After this long without progress, GopherShip logs what the component waits for and
    /// increments a metric. If the component is a source, `/readyz` fails too. `0s` turns the
    /// watchdog off.
    pub after: HumanDuration,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self { after: HumanDuration::seconds(5) }
    }
}

impl WatchdogConfig {
    /// When it tells a stall, if it ever does.
    #[must_use]
    pub fn after(self) -> Option<Duration> {
        Some(self.after.0).filter(|after| !after.is_zero())
    }
}

/// Whether sensors change the zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SomaticMode {
    /// The zone follows the sensors.
    #[default]
    Act,
    /// The zone stays green. The log, the metrics and `gs-ctl status` show the zone that `act`
    /// would set. A full edge still diverts requests to the vault, and overrides still work.
    Observe,
}

/// The pressures at which the zone changes; `recover` < `yellow` < `red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Watermarks {
    /// The zone turns yellow when an edge is this full.
    pub yellow: Share,
    /// The zone turns red when an edge is this full.
    pub red: Share,
    /// The zone may fall once every edge is below this.
    pub recover: Share,
    /// The zone turns yellow when a vault has used this much of its `max_size`. A full vault never
    /// turns the zone red.
    pub vault: Share,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            yellow: Share::percent(60),
            red: Share::percent(85),
            recover: Share::percent(20),
            vault: Share::percent(70),
        }
    }
}

impl Watermarks {
    /// Those of the edges.
    const fn edge(self) -> Thresholds {
        Thresholds { yellow: Some(self.yellow), red: Some(self.red), recover: self.recover }
    }
}

/// The watermarks of one pressure. With neither `yellow` nor `red` the pressure is shown and does
/// not change the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// The zone turns yellow at this pressure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yellow: Option<Share>,
    /// The zone turns red at this pressure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<Share>,
    /// The zone may fall once the pressure is below this.
    #[serde(default)]
    pub recover: Share,
}

impl Thresholds {
    fn marks(self) -> Marks {
        Marks::new(self.yellow.map(permille), self.red.map(permille), permille(self.recover))
    }

    /// The pairs that are in the wrong order.
    fn disorders(self) -> Vec<Disorder> {
        let recover = ("recover", self.recover);
        let yellow = self.yellow.map(|mark| ("yellow", mark));
        let red = self.red.map(|mark| ("red", mark));
        let pairs = [yellow.zip(red), Some(recover).zip(yellow.or(red))];
        let is_wrong = |(lower, upper): &Disorder| upper.1 <= lower.1;
        pairs.into_iter().flatten().filter(is_wrong).collect()
    }
}

/// A mark and the one that should be above it, each with its option.
type Disorder = ((&'static str, Share), (&'static str, Share));

impl SomaticConfig {
    /// What the controller is told to do.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let mut policy = Policy {
            dwell: self.dwell.0,
            is_observing: self.mode == SomaticMode::Observe,
            ..Policy::default()
        };
        policy.set(PressureKind::Edge, self.watermarks.edge().marks());
        // A vault counts as calm a little below its mark, so that the zone does not flap around it.
        let vault = permille(self.watermarks.vault);
        policy.set(
            PressureKind::Vault,
            Marks::new(Some(vault), None, vault.saturating_sub(VAULT_SLACK)),
        );
        for (kind, marks) in &self.thresholds {
            policy.set(*kind, marks.marks());
        }
        policy
    }

    /// Returns what is wrong beyond types.
    pub(in crate::config) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.memory.problems();
        if SLOW_ANSWER_MAX < self.slow_answers.max.0 {
            let message = "must be at most 2500ms, a quarter of the deadline of most senders";
            problems.push(OptionProblem::new("somatic.slow_answers.max", message));
        }
        if !self.watchdog.after.0.is_zero() && self.watchdog.after.0 < WATCHDOG_AFTER_MIN {
            let message = "must be at least 1s, or 0s to turn the watchdog off";
            problems.push(OptionProblem::new("somatic.watchdog.after", message));
        }
        let mut check = |place: &str, marks: Thresholds| {
            for ((lower, low), (upper, high)) in marks.disorders() {
                let message = format!("{lower} ({low}) must be lower than {upper} ({high})");
                problems.push(OptionProblem::new(format!("somatic.{place}.{lower}"), message));
            }
        };
        check("watermarks", self.watermarks.edge());
        for (kind, marks) in &self.thresholds {
            check(&format!("thresholds.{kind}"), *marks);
        }
        problems
    }
}

/// A quarter of the 10 seconds after which most senders give up.
const SLOW_ANSWER_MAX: Duration = Duration::from_millis(2500);
/// A commit of a slow disk may take as long as this is, and a second look should find the same.
const WATCHDOG_AFTER_MIN: Duration = Duration::from_secs(1);
/// In thousandths.
const VAULT_SLACK: u32 = 50;

fn permille(share: Share) -> u32 {
    share.permille().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_the_name_of_its_sense() {
        for kind in PressureKind::ALL {
            let signal = serde_json::from_value::<PressureKind>(kind.name().into());
            // These two are configured by `watermarks`.
            let is_elsewhere = matches!(kind, PressureKind::Edge | PressureKind::Vault);
            assert_eq!(signal.is_err(), is_elsewhere, "{kind}");
            assert!(signal.is_ok_and(|signal| signal == kind) || is_elsewhere);
        }
    }

    #[test]
    fn the_default_configuration_is_the_default_policy() {
        assert_eq!(SomaticConfig::default().policy(), Policy::default());
    }
}
