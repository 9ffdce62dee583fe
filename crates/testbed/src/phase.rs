//! The parts of a drill.

/// A part of the drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The backend takes everything.
    #[default]
    WarmUp,
    /// The backend is out.
    Outage,
    /// The backend takes everything again.
    Return,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::WarmUp, Self::Outage, Self::Return];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Outage => "outage",
            Self::Return => "return",
        }
    }
}
