//! What is sensed: one number per sense and place, all on the same scale.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// Numbers of one look that are kept without allocating again.
const READINGS_USUAL: usize = 64;

/// What a number is about. Each says what 1,000 thousandths are.
///
/// Those that configuration names have its form; edges and vaults have options of their own there.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[repr(usize)]
pub enum PressureKind {
    /// The edge in front of a component is full.
    #[serde(skip)]
    Edge,
    /// A share of the memory budget is used up.
    Memory,
    /// The process, its cgroup or the host has no memory left.
    Host,
    /// Somebody on this machine waits for memory all the time.
    MemoryStall,
    /// Somebody on this machine waits for a processor all the time.
    CpuStall,
    /// Somebody on this machine waits for a disk all the time.
    IoStall,
    /// A task runs 100 ms later than it should.
    Lag,
    /// A vault is full.
    #[serde(skip)]
    Vault,
    /// The disk of a vault is full.
    Disk,
    /// A commit of a vault takes a second.
    Commit,
    /// Every attempt of a sink fails.
    SinkErrors,
    /// A sink's backend answers at the end of the sink's time limit.
    SinkLatency,
    /// A sink's backend is out, all or nothing: its circuit is open, or it does not answer any more.
    Circuit,
}

impl PressureKind {
    /// Every sense, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Edge,
        Self::Memory,
        Self::Host,
        Self::MemoryStall,
        Self::CpuStall,
        Self::IoStall,
        Self::Lag,
        Self::Vault,
        Self::Disk,
        Self::Commit,
        Self::SinkErrors,
        Self::SinkLatency,
        Self::Circuit,
    ];

    /// The name, as in configuration, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Memory => "memory",
            Self::Host => "host",
            Self::MemoryStall => "memory_stall",
            Self::CpuStall => "cpu_stall",
            Self::IoStall => "io_stall",
            Self::Lag => "lag",
            Self::Vault => "vault",
            Self::Disk => "disk",
            Self::Commit => "commit",
            Self::SinkErrors => "sink_errors",
            Self::SinkLatency => "sink_latency",
            Self::Circuit => "circuit",
        }
    }
}

impl fmt::Display for PressureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where something was sensed: the id of a component, the name of a share or of a limit.
pub type Place = Arc<str>;

/// One number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// What it is about.
    pub kind: PressureKind,
    /// Where.
    pub place: Place,
    /// In thousandths of what [`PressureKind`] says; more than 1,000 is possible.
    pub permille: u32,
}

impl fmt::Display for Pressure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, place, permille } = self;
        let share = format_args!("{}.{}%", permille / 10, permille % 10);
        match kind {
            PressureKind::Edge => write!(formatter, "the edge of {place} is {share} full"),
            PressureKind::Memory => {
                write!(formatter, "the memory share of {place} is {share} used")
            }
            PressureKind::Host => write!(formatter, "the memory of the {place} is {share} used"),
            PressureKind::MemoryStall => {
                write!(formatter, "the {place} waits for memory {share} of the time")
            }
            PressureKind::CpuStall => {
                write!(formatter, "the {place} waits for a processor {share} of the time")
            }
            PressureKind::IoStall => {
                write!(formatter, "the {place} waits for a disk {share} of the time")
            }
            PressureKind::Lag => {
                write!(formatter, "tasks of the {place} are late by {share} of 100 ms")
            }
            PressureKind::Vault => write!(formatter, "the vault {place} is {share} full"),
            PressureKind::Disk => write!(formatter, "the disk of {place} is {share} full"),
            PressureKind::Commit => {
                write!(formatter, "commits of {place} take {share} of a second")
            }
            PressureKind::SinkErrors => {
                write!(formatter, "{share} of the attempts of {place} fail")
            }
            PressureKind::SinkLatency => {
                write!(formatter, "answers to {place} take {share} of its timeout")
            }
            PressureKind::Circuit if *permille == 0 => {
                write!(formatter, "{place} reaches its backend")
            }
            PressureKind::Circuit => write!(formatter, "the backend of {place} is out"),
        }
    }
}

/// The numbers of one look. Memory is kept from look to look.
#[derive(Clone, Debug)]
pub struct Readings(Vec<Pressure>);

impl Default for Readings {
    fn default() -> Self {
        Self(Vec::with_capacity(READINGS_USUAL))
    }
}

impl Readings {
    /// Forgets the numbers of the look before.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a number.
    pub fn push(&mut self, kind: PressureKind, place: &Place, permille: u32) {
        self.0.push(Pressure { kind, place: Arc::clone(place), permille });
    }

    /// Adds a share of a whole. A share that is no number, or of nothing, is left out: a sensor that
    /// does not know says nothing.
    pub fn push_share(&mut self, kind: PressureKind, place: &Place, part: f64, whole: f64) {
        if let Some(permille) = permille(part, whole) {
            self.push(kind, place, permille);
        }
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Pressure> {
        self.0.iter()
    }

    /// The highest number of one sense.
    #[must_use]
    pub fn highest(&self, kind: PressureKind) -> Option<&Pressure> {
        self.0.iter().filter(|pressure| pressure.kind == kind).max_by_key(|at| at.permille)
    }
}

/// A share of a whole in thousandths; none if it is no number, or negative.
pub(super) fn permille(part: f64, whole: f64) -> Option<u32> {
    let permille = part / whole * 1000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let clamped = permille.min(f64::from(u32::MAX)) as u32;
    (permille.is_finite() && 0.0 <= permille).then_some(clamped)
}

/// Reads numbers. A sensor that finds nothing to read adds nothing; it never fails and never waits.
pub trait Sensor: Send {
    /// Adds what it senses now. Allocates nothing after its first look.
    fn read(&mut self, now: Instant, readings: &mut Readings);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_out() {
        let (mut readings, place) = (Readings::default(), Place::from("here"));
        for (part, whole) in [(f64::NAN, 1.0), (1.0, 0.0), (0.0, 0.0), (-1.0, 1.0)] {
            readings.push_share(PressureKind::Lag, &place, part, whole);
        }
        assert_eq!(readings.iter().count(), 0);
        readings.push_share(PressureKind::Lag, &place, 0.5, 1.0);
        readings.push_share(PressureKind::Lag, &place, 1e300, 1.0);
        assert_eq!(readings.highest(PressureKind::Lag).map(|at| at.permille), Some(u32::MAX));
        assert_eq!(readings.highest(PressureKind::Edge), None);
    }

    #[test]
    fn senses_are_in_the_order_of_their_numbers() {
        for (number, kind) in PressureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
