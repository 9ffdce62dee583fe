//! Watermarks: at which numbers of one kind of pressure the zone changes.

use super::zone::Zone;

/// The marks of one kind, in thousandths. `recover < yellow < red`, where there are any.
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
    /// A kind that is shown and decides nothing.
    pub const OFF: Self = Self { yellow: None, red: None, recover: 0 };

    /// Marks in thousandths.
    #[must_use]
    pub const fn new(yellow: Option<u32>, red: Option<u32>, recover: u32) -> Self {
        Self { yellow, red, recover }
    }

    /// The zone that a number asks for.
    pub(super) fn asked(self, permille: u32) -> Zone {
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
    pub(super) fn held(self, permille: u32) -> Zone {
        let highest = match (self.yellow, self.red) {
            (_, Some(_)) => Zone::Red,
            (Some(_), None) => Zone::Yellow,
            (None, None) => Zone::Green,
        };
        if permille < self.recover { Zone::Green } else { highest }
    }
}
