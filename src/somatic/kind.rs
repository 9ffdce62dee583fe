//! What pressure there is: each kind with its name, what a number of it means, and its watermarks.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::marks::Marks;

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
    /// At every moment a task on this machine waits for memory.
    MemoryStall,
    /// At every moment a task on this machine waits for a processor.
    CpuStall,
    /// At every moment a task on this machine waits for a disk.
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
    /// Every kind, in the order of their numbers.
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

    /// Says what a number of this kind means at a place, as a clause without a full stop.
    pub(super) fn describe(
        self,
        place: &str,
        permille: u32,
        formatter: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let share = format_args!("{}.{}%", permille / 10, permille % 10);
        match self {
            Self::Edge => write!(formatter, "the edge of {place} is {share} full"),
            Self::Memory => {
                write!(formatter, "the memory share of {place} is {share} used")
            }
            Self::Host => write!(formatter, "the memory of the {place} is {share} used"),
            Self::MemoryStall => {
                write!(formatter, "the {place} waits for memory {share} of the time")
            }
            Self::CpuStall => {
                write!(formatter, "the {place} waits for a processor {share} of the time")
            }
            Self::IoStall => {
                write!(formatter, "the {place} waits for a disk {share} of the time")
            }
            Self::Lag => {
                write!(formatter, "tasks of the {place} are late by {share} of 100 ms")
            }
            Self::Vault => write!(formatter, "the vault {place} is {share} full"),
            Self::Disk => write!(formatter, "the disk of {place} is {share} full"),
            Self::Commit => {
                write!(formatter, "commits of {place} take {share} of a second")
            }
            Self::SinkErrors => {
                write!(formatter, "{share} of the attempts of {place} fail")
            }
            Self::SinkLatency => {
                write!(formatter, "answers to {place} take {share} of its timeout")
            }
            Self::Circuit if permille == 0 => {
                write!(formatter, "{place} reaches its backend")
            }
            Self::Circuit => write!(formatter, "the backend of {place} is out"),
        }
    }

    /// The marks of this kind unless the configuration has others.
    ///
    /// Red fills the vault and spares memory, so only a want of room in memory leads there. A store or
    /// a disk that fills, and a slow one, turn Yellow, which makes room for emptying it; Red would fill
    /// it faster. Waiting for a disk or a processor is what a busy machine does all the time, and the
    /// vault's own syncs are waits: that decides how fast background work goes, not the zone. A backend
    /// that fails shows in the edges in front of it, and Yellow would not help it.
    #[must_use]
    pub const fn usual_marks(self) -> Marks {
        match self {
            Self::Edge => Marks::new(Some(600), Some(850), 200),
            Self::Memory => Marks::new(Some(700), Some(850), 500),
            Self::Host => Marks::new(Some(850), Some(950), 800),
            Self::MemoryStall => Marks::new(Some(100), Some(400), 50),
            Self::Vault => Marks::new(Some(700), None, 650),
            Self::Disk => Marks::new(Some(950), None, 930),
            Self::Lag => Marks::new(Some(1000), None, 300),
            Self::Commit => Marks::new(Some(500), None, 200),
            Self::CpuStall
            | Self::IoStall
            | Self::SinkErrors
            | Self::SinkLatency
            | Self::Circuit => Marks::OFF,
        }
    }
}

impl fmt::Display for PressureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

// Watermarks and readings are found by the number of their kind.
const _: () = {
    let mut idx = 0;
    while idx < PressureKind::ALL.len() {
        assert!(PressureKind::ALL[idx] as usize == idx, "ALL is in the order of the enum");
        idx += 1;
    }
};
