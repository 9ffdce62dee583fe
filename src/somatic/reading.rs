//! What is sensed: one number for each kind and place, all on the same scale.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::kind::PressureKind;

/// Numbers of one look that are kept without allocating again.
const READINGS_USUAL: usize = 64;

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
        self.kind.describe(&self.place, self.permille, formatter)
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

    /// The highest number of one kind.
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
