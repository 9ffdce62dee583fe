//! The options of the somatic controller.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use gophership_units::HumanDuration;
use gophership_units::Share;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::config::component::OptionProblem;
use crate::config::memory::MemoryConfig;
use crate::somatic::Marks;
use crate::somatic::Policy;
use crate::somatic::PressureKind;

/// When pressure turns the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SomaticConfig {
    /// Whether the zone follows the sensors.
    pub mode: SomaticMode,
    /// How many operations pass between two looks at the zone.
    pub check_every: NonZeroU32,
    /// The pressures at which the zone changes.
    pub watermarks: Watermarks,
    /// Other watermarks for single signals; what is not named here has its default.
    pub thresholds: BTreeMap<PressureKind, Thresholds>,
    /// How long the pressure must stay below `recover` before the zone falls by one.
    pub dwell: HumanDuration,
    /// How much memory requests may use.
    pub memory: MemoryConfig,
    /// Answers that wait in yellow; off by default.
    pub slow_answers: SlowAnswers,
    /// Says when nothing moves although there is work.
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

/// Answers that wait in yellow, so that senders send less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlowAnswers {
    /// How long an answer waits at most, up to 2500ms, which is a quarter of the deadline that most
    /// senders have: none of it at the yellow mark, all of it at the red one. In red nobody waits
    /// unless a vault or its disk fills up. With `0s` nobody ever waits.
    pub max: HumanDuration,
}

impl Default for SlowAnswers {
    fn default() -> Self {
        Self { max: HumanDuration(Duration::ZERO) }
    }
}

/// Says when nothing moves although there is work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogConfig {
    /// After so long without movement the log says what waits for what, a metric rises, and, if it is
    /// a way in, `/readyz` says no. With `0s` nobody watches.
    pub after: HumanDuration,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self { after: HumanDuration::seconds(5) }
    }
}

impl WatchdogConfig {
    /// When it barks, if it ever does.
    #[must_use]
    pub fn after(self) -> Option<Duration> {
        Some(self.after.0).filter(|after| !after.is_zero())
    }
}

/// Whether the zone follows the sensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SomaticMode {
    /// It does.
    #[default]
    Act,
    /// The zone stays green; what it would be is told in the log, in metrics and in `gs-ctl status`.
    /// A full edge still sends to the vault, and an override still counts.
    Observe,
}

/// The pressures at which the zone changes; `recover` < `yellow` < `red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Watermarks {
    /// An edge as full as this makes the zone yellow.
    pub yellow: Share,
    /// An edge as full as this makes the zone red.
    pub red: Share,
    /// Once every edge is below this the zone may fall again.
    pub recover: Share,
    /// A vault that has used this much of its `max_size` makes the zone yellow, and never more.
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

/// The watermarks of one signal. With neither `yellow` nor `red` it is shown and decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// From here on the zone is yellow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yellow: Option<Share>,
    /// From here on the zone is red.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<Share>,
    /// Below this the zone may fall again.
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
    pub(super) fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.memory.problems();
        if SLOW_ANSWER_MAX < self.slow_answers.max.0 {
            let message =
                "must be at most 2500ms, a quarter of the deadline that most senders have";
            problems.push(OptionProblem::new("somatic.slow_answers.max", message));
        }
        if !self.watchdog.after.0.is_zero() && self.watchdog.after.0 < WATCHDOG_AFTER_MIN {
            let message = "must be at least 1s, or 0s to watch nothing";
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
