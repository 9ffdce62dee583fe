//! The options of the somatic controller.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::config::component::OptionProblem;
use crate::config::units::HumanDuration;
use crate::config::units::Share;
use crate::somatic::Marks;
use crate::somatic::Policy;
use crate::somatic::Sense;

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
    pub signals: BTreeMap<Signal, SignalMarks>,
    /// How long the pressure must stay below `recover` before the zone falls by one.
    pub dwell: HumanDuration,
}

impl Default for SomaticConfig {
    fn default() -> Self {
        Self {
            mode: SomaticMode::Act,
            check_every: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
            watermarks: Watermarks::default(),
            signals: BTreeMap::new(),
            dwell: HumanDuration::seconds(2),
        }
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

/// What the controller senses, beside edges and vaults.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// How much of a share of the memory budget is used.
    Memory,
    /// How much memory of the process's limit, its cgroup or the host is used.
    Host,
    /// How much of the time somebody waits for memory.
    MemoryStall,
    /// How much of the time somebody waits for a processor.
    CpuStall,
    /// How much of the time somebody waits for a disk.
    IoStall,
    /// How late tasks run; 100% are 100 ms.
    Lag,
    /// How full the disk is.
    Disk,
    /// How long a vault's commits take; 100% are one second.
    Commit,
    /// How many of a sink's attempts fail.
    SinkErrors,
    /// How long a sink's backend takes to answer; 100% are the sink's time limit.
    SinkLatency,
}

impl From<Signal> for Sense {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Memory => Self::Memory,
            Signal::Host => Self::Host,
            Signal::MemoryStall => Self::MemoryStall,
            Signal::CpuStall => Self::CpuStall,
            Signal::IoStall => Self::IoStall,
            Signal::Lag => Self::Lag,
            Signal::Disk => Self::Disk,
            Signal::Commit => Self::Commit,
            Signal::SinkErrors => Self::SinkErrors,
            Signal::SinkLatency => Self::SinkLatency,
        }
    }
}

/// The watermarks of one signal. With neither `yellow` nor `red` it is shown and decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalMarks {
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

impl SignalMarks {
    fn marks(self) -> Marks {
        let permille = |share: Share| u32::from(share.permille());
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
        let permille = |share: Share| u32::from(share.permille());
        let Watermarks { yellow, red, recover, vault } = self.watermarks;
        let mut policy = Policy {
            dwell: self.dwell.0,
            is_observing: self.mode == SomaticMode::Observe,
            ..Policy::default()
        };
        let edge = Marks::new(Some(permille(yellow)), Some(permille(red)), permille(recover));
        policy.set(Sense::Edge, edge);
        // A vault counts as calm a little below its mark, so that the zone does not flap around it.
        let vault = permille(vault);
        policy.set(Sense::Vault, Marks::new(Some(vault), None, vault.saturating_sub(VAULT_SLACK)));
        for (signal, marks) in &self.signals {
            policy.set((*signal).into(), marks.marks());
        }
        policy
    }

    /// Returns what is wrong beyond types.
    pub(super) fn problems(&self) -> Vec<OptionProblem> {
        let Watermarks { yellow, red, recover, .. } = self.watermarks;
        let edge = SignalMarks { yellow: Some(yellow), red: Some(red), recover };
        let mut problems = Vec::new();
        let mut check = |place: &str, marks: SignalMarks| {
            for ((lower, low), (upper, high)) in marks.disorders() {
                let message = format!("{lower} ({low}) must be lower than {upper} ({high})");
                problems.push(OptionProblem::new(format!("somatic.{place}.{lower}"), message));
            }
        };
        check("watermarks", edge);
        for (signal, marks) in &self.signals {
            check(&format!("signals.{}", Sense::from(*signal)), *marks);
        }
        problems
    }
}

/// In thousandths.
const VAULT_SLACK: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_the_name_of_its_sense() {
        for sense in Sense::ALL {
            let signal = serde_json::from_value::<Signal>(sense.name().into());
            // These two are configured by `watermarks`.
            let is_elsewhere = matches!(sense, Sense::Edge | Sense::Vault);
            assert_eq!(signal.is_err(), is_elsewhere, "{sense}");
            assert!(signal.is_ok_and(|signal| Sense::from(signal) == sense) || is_elsewhere);
        }
    }

    #[test]
    fn the_default_configuration_is_the_default_policy() {
        assert_eq!(SomaticConfig::default().policy(), Policy::default());
    }
}
