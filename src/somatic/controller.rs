//! The controller: a pure state machine from readings to zones.
//!
//! ```text
//!            >= yellow              >= red
//!   Green ------------> Yellow ------------> Red        at once, skipping Yellow if need be
//!     ^                  | ^                  |
//!     +--- < recover ----+ +---- < recover ---+          one zone per dwell
//! ```

use std::time::Duration;
use std::time::Instant;

use super::zone::Zone;

/// Where the zones begin, in thousandths. `recover < yellow < red`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// At or above it: at least Yellow.
    pub yellow_permille: u32,
    /// At or above it: Red.
    pub red_permille: u32,
    /// Below it for a dwell: one zone calmer.
    pub recover_permille: u32,
    /// A store (a vault) filled to this or more: at least Yellow, and never more than that, for Red
    /// would fill it faster.
    pub store_permille: u32,
}

/// One look at the process: the highest occupancy and where it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Occupancy of the fullest edge, in thousandths.
    pub occupancy_permille: u32,
    /// What was fullest.
    pub place: String,
    /// How much of the fullest store is used, in thousandths.
    pub store_permille: u32,
    /// Which store that is.
    pub store: String,
}

/// A change of zone with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The zone before.
    pub from: Zone,
    /// The zone from now on.
    pub to: Zone,
    /// Why, in words for the operator.
    pub reason: String,
}

/// A store counts as calm this far below its mark, so that the zone does not flap around it.
const STORE_SLACK_PERMILLE: u32 = 50;

/// Decides the zone from readings. Override is an input, not a second path.
#[derive(Clone, Debug)]
pub struct Controller {
    watermarks: Watermarks,
    dwell: Duration,
    /// The zone that the readings ask for.
    sensed: Zone,
    /// Since when readings have been below the recover mark.
    calm_since: Option<Instant>,
    /// The zone in force.
    zone: Zone,
    /// Whether the zone in force is the operator's.
    is_forced: bool,
}

impl Controller {
    /// Makes a controller in Green.
    #[must_use]
    pub const fn new(watermarks: Watermarks, dwell: Duration) -> Self {
        Self {
            watermarks,
            dwell,
            sensed: Zone::Green,
            calm_since: None,
            zone: Zone::Green,
            is_forced: false,
        }
    }

    /// Replaces the options; the zone stays.
    pub const fn configure(&mut self, watermarks: Watermarks, dwell: Duration) {
        self.watermarks = watermarks;
        self.dwell = dwell;
    }

    /// The zone in force.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// Takes a reading and the operator's override, if any, and returns the change they cause.
    pub fn step(
        &mut self,
        now: Instant,
        reading: &Reading,
        forced: Option<Zone>,
    ) -> Option<Transition> {
        self.sense(now, reading);
        let to = forced.unwrap_or(self.sensed);
        let was_forced = std::mem::replace(&mut self.is_forced, forced.is_some());
        if to == self.zone {
            return None;
        }
        let reason = match forced {
            Some(_) => "operator override".to_owned(),
            None if was_forced => "operator override ended".to_owned(),
            None if to < self.zone => "pressure is gone".to_owned(),
            None => self.cause(reading),
        };
        let from = std::mem::replace(&mut self.zone, to);
        Some(Transition { from, to, reason })
    }

    /// What made the zone rise, in words.
    fn cause(&self, reading: &Reading) -> String {
        let is_store = reading.occupancy_permille < self.watermarks.yellow_permille;
        let (place, permille) = if is_store {
            (&reading.store, reading.store_permille)
        } else {
            (&reading.place, reading.occupancy_permille)
        };
        format!("{place} is {:.1}% full", f64::from(permille) / 10.0)
    }

    fn sense(&mut self, now: Instant, reading: &Reading) {
        let permille = reading.occupancy_permille;
        let is_store_high = reading.store_permille >= self.watermarks.store_permille;
        let asked = if permille >= self.watermarks.red_permille {
            Zone::Red
        } else if permille >= self.watermarks.yellow_permille || is_store_high {
            Zone::Yellow
        } else {
            Zone::Green
        };
        if asked > self.sensed {
            self.sensed = asked;
        }
        let is_store_calm =
            reading.store_permille + STORE_SLACK_PERMILLE < self.watermarks.store_permille;
        // A store that is still high holds Yellow, not Red.
        let may_fall = is_store_calm || self.sensed == Zone::Red;
        if permille >= self.watermarks.recover_permille || !may_fall {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if self.sensed > Zone::Green && now.saturating_duration_since(since) >= self.dwell {
            self.sensed = self.sensed.calmer();
            self.calm_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATERMARKS: Watermarks = Watermarks {
        yellow_permille: 600,
        red_permille: 850,
        recover_permille: 200,
        store_permille: 700,
    };

    /// Feeds `(second, permille)` readings and returns the zone after each.
    fn zones(readings: &[(u64, u32)], forced: Option<Zone>) -> Vec<Zone> {
        let start = Instant::now();
        let mut controller = Controller::new(WATERMARKS, Duration::from_secs(5));
        let step = |&(second, occupancy_permille): &(u64, u32)| {
            let reading = Reading { occupancy_permille, ..Reading::default() };
            controller.step(start + Duration::from_secs(second), &reading, forced);
            controller.zone()
        };
        readings.iter().map(step).collect()
    }

    use Zone::{Green, Red, Yellow};

    #[test]
    fn rises_at_once_and_falls_one_zone_per_dwell() {
        assert_eq!(
            zones(&[(0, 100), (1, 1000), (2, 0), (6, 0), (7, 0), (8, 0), (12, 0), (13, 0)], None),
            [Green, Red, Red, Red, Yellow, Yellow, Green, Green],
        );
    }

    #[test]
    fn between_recover_and_yellow_the_zone_stays() {
        assert_eq!(
            zones(
                &[(0, 900), (10, 300), (20, 300), (21, 100), (25, 300), (26, 100), (31, 100)],
                None
            ),
            [Red, Red, Red, Red, Red, Red, Yellow],
        );
    }

    #[test]
    fn a_store_that_fills_turns_yellow_and_no_further() {
        let start = Instant::now();
        let mut controller = Controller::new(WATERMARKS, Duration::from_secs(5));
        let mut step = |second, occupancy_permille, store_permille| {
            let reading = Reading { occupancy_permille, store_permille, ..Reading::default() };
            let now = start + Duration::from_secs(second);
            let reason = controller.step(now, &reading, None).map(|change| change.reason);
            (controller.zone(), reason)
        };
        let (zone, reason) = step(0, 0, 700);
        assert_eq!((zone, reason.as_deref()), (Yellow, Some(" is 70.0% full")));
        assert_eq!(step(10, 0, 1000).0, Yellow);
        assert_eq!(step(11, 900, 1000).0, Red);
        assert_eq!(step(12, 0, 1000).0, Red);
        assert_eq!(step(17, 0, 1000).0, Yellow);
        assert_eq!(step(30, 0, 660).0, Yellow);
        assert_eq!(step(31, 0, 640).0, Yellow);
        assert_eq!(step(36, 0, 640).0, Green);
    }

    #[test]
    fn an_override_wins_over_every_reading() {
        assert_eq!(zones(&[(0, 1000), (1, 0)], Some(Green)), [Green, Green]);
        assert_eq!(zones(&[(0, 0)], Some(Red)), [Red]);
    }
}
