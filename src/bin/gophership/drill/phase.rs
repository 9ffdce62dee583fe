//! The parts of a drill.

/// A part of the drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    WarmUp,
    Outage,
    Return,
}

impl Phase {
    pub(super) const ALL: [Self; 3] = [Self::WarmUp, Self::Outage, Self::Return];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Outage => "outage",
            Self::Return => "return",
        }
    }
}
