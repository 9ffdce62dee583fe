//! At which numbers the zone changes, sense by sense.

use std::time::Duration;

use super::reading::Pressure;
use super::reading::PressureKind;
use super::zone::Zone;

/// The marks of one sense, in thousandths. `recover < yellow < red`, where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// At or above it: at least Yellow.
    pub yellow: Option<u32>,
    /// At or above it: Red.
    pub red: Option<u32>,
    /// Below it for a dwell: one zone calmer. Between here and `yellow` the zone stays.
    pub recover: u32,
}

impl Marks {
    /// A sense that is shown and decides nothing.
    pub const OFF: Self = Self { yellow: None, red: None, recover: 0 };

    /// Marks in thousandths.
    #[must_use]
    pub const fn new(yellow: Option<u32>, red: Option<u32>, recover: u32) -> Self {
        Self { yellow, red, recover }
    }

    /// The zone that a number asks for.
    fn asked(self, permille: u32) -> Zone {
        let is_at = |mark: Option<u32>| mark.is_some_and(|mark| mark <= permille);
        if is_at(self.red) {
            Zone::Red
        } else if is_at(self.yellow) {
            Zone::Yellow
        } else {
            Zone::Green
        }
    }

    /// How far a number is from the yellow mark to the worst there is, from 0 to 1.
    pub(super) fn excess(self, permille: u32) -> f64 {
        let Some(yellow) = self.yellow.or(self.red) else { return 0.0 };
        let worst = self.red.unwrap_or(if yellow < 1000 { 1000 } else { yellow * 2 });
        if permille < yellow {
            0.0
        } else if worst <= permille {
            1.0
        } else {
            f64::from(permille - yellow) / f64::from(worst - yellow)
        }
    }

    /// The zone below which a number lets nobody fall: the highest it could have asked for, until it is
    /// below the recover mark.
    fn held(self, permille: u32) -> Zone {
        let highest = match (self.yellow, self.red) {
            (_, Some(_)) => Zone::Red,
            (Some(_), None) => Zone::Yellow,
            (None, None) => Zone::Green,
        };
        if permille < self.recover { Zone::Green } else { highest }
    }
}

/// What the controller is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The marks of each sense, by its number.
    pub marks: [Marks; PressureKind::ALL.len()],
    /// How long readings stay low before the zone falls by one.
    pub dwell: Duration,
    /// Decide and tell, and leave Green in force.
    pub is_observing: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            marks: PressureKind::ALL.map(Self::usual),
            dwell: Duration::from_secs(2),
            is_observing: false,
        }
    }
}

impl Policy {
    /// The marks of a sense that nobody changed.
    ///
    /// Red fills the vault and spares memory, so only a want of room in memory leads there. A store or
    /// a disk that fills, and a slow one, turn Yellow, which makes room for emptying it; Red would fill
    /// it faster. Waiting for a disk or a processor is what a busy machine does all the time, and the
    /// vault's own syncs are waits: that decides how fast background work goes, not the zone. A backend
    /// that fails shows in the edges in front of it, and Yellow would not help it.
    #[must_use]
    pub const fn usual(kind: PressureKind) -> Marks {
        match kind {
            PressureKind::Edge => Marks::new(Some(600), Some(850), 200),
            PressureKind::Memory => Marks::new(Some(700), Some(850), 500),
            PressureKind::Host => Marks::new(Some(850), Some(950), 800),
            PressureKind::MemoryStall => Marks::new(Some(100), Some(400), 50),
            PressureKind::Vault => Marks::new(Some(700), None, 650),
            PressureKind::Disk => Marks::new(Some(950), None, 930),
            PressureKind::Lag => Marks::new(Some(1000), None, 300),
            PressureKind::Commit => Marks::new(Some(500), None, 200),
            PressureKind::CpuStall
            | PressureKind::IoStall
            | PressureKind::SinkErrors
            | PressureKind::SinkLatency
            | PressureKind::Circuit => Marks::OFF,
        }
    }

    /// The marks of a sense.
    #[must_use]
    pub const fn marks(&self, kind: PressureKind) -> Marks {
        self.marks[kind as usize]
    }

    /// Changes the marks of a sense.
    pub const fn set(&mut self, kind: PressureKind, marks: Marks) {
        self.marks[kind as usize] = marks;
    }

    /// The zone that a number asks for.
    #[must_use]
    pub fn asked(&self, pressure: &Pressure) -> Zone {
        self.marks(pressure.kind).asked(pressure.permille)
    }

    /// The zone below which a number lets nobody fall.
    #[must_use]
    pub fn held(&self, pressure: &Pressure) -> Zone {
        self.marks(pressure.kind).held(pressure.permille)
    }
}
