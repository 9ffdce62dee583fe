//! What the controller is told to do: the watermarks of each kind of pressure, and how it uses them.

use std::time::Duration;

use super::kind::PressureKind;
use super::marks::Marks;
use super::reading::Pressure;
use super::zone::Zone;

/// What the controller is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The marks of each kind, by its number.
    pub marks: [Marks; PressureKind::ALL.len()],
    /// How long readings stay low before the zone falls by one.
    pub dwell: Duration,
    /// Decide and tell, and leave Green in force.
    pub is_observing: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            marks: PressureKind::ALL.map(PressureKind::usual_marks),
            dwell: Duration::from_secs(2),
            is_observing: false,
        }
    }
}

impl Policy {
    /// The marks of a kind.
    #[must_use]
    pub const fn marks(&self, kind: PressureKind) -> Marks {
        self.marks[kind as usize]
    }

    /// Changes the marks of a kind.
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
