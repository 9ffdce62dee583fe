//! The governor: how much of the time background work may run, so that ingest always comes first.
//!
//! A worker that ran for a time `t` rests for `t (1 - w) / w` before it goes on, so that it has a share
//! `w` of the time:
//!
//! ```text
//!   w = z * max(1 - s * a, 1/16)
//!
//!   z  1 in Green, 1/4 in Yellow, 0 in Red (background work pauses)
//!   s  the share of the time in which somebody on this machine waited for a processor
//!   a  the share of the looks of the last second or so between which live requests came in
//! ```
//!
//! Who asks: replay, reading back what was sealed, letting go of sinks, and from processes of their own,
//! over the control socket, `gophership vault verify` and `export`. `w` is each worker's share of the
//! processor that it works on.
//!
//! What only computes (the compression of segments for a bucket) has `w (1 - 15/16 a)` of it: it uses all of a
//! processor while it runs, and requests feel that even where one is to spare, because processors share caches,
//! and often come in pairs that share a core.
//!
//! One thing goes on in Red: the replay of a vault that is nearly full. Red sends everything to the vault, and
//! the sensors see the senders that wait for room in it, so that a vault which only filled up would keep the
//! zone red, and refuse its senders, for as long as they come. A Red that an operator holds is kept.
//!
//! With processors to spare (`s` = 0), or with nobody to yield to (`a` = 0), work runs at the speed of
//! its zone. With both busy all the time it keeps a sixteenth, so that it comes to an end.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::zone::Zone;

/// What is left to background work when processors are wanted all the time.
const FLOOR: f64 = 1.0 / 16.0;
/// What is left to computing when live requests come all the time.
const COMPUTING_BESIDE_LIVE: f64 = 1.0 / 16.0;
/// The weight of the newest look in the share of looks with live requests.
const NEWEST: f64 = 0.02;
/// No rest is longer, so that a worker notices soon when it may go on.
const REST_MAX: Duration = Duration::from_millis(500);
/// From here on a vault is nearly full.
const NEARLY_FULL_PERMILLE: u32 = 900;

/// Processors are short from this share of waits on, in thousandths, until it is below the other one.
const SHORT_FROM_PERMILLE: u32 = 100;
const SHORT_BELOW_PERMILLE: u32 = 50;

/// Tells background workers how much they may do. Shared; reading it is one relaxed load.
#[derive(Debug)]
pub struct Governor {
    /// The share, in millionths.
    share: AtomicU32,
    /// The share of computing, in millionths.
    computing: AtomicU32,
    are_processors_short: AtomicBool,
    /// An operator has paused all replays.
    is_replay_paused: AtomicBool,
    /// An operator holds the zone.
    is_zone_held: AtomicBool,
}

impl Default for Governor {
    fn default() -> Self {
        Self {
            share: AtomicU32::new(Self::ALL),
            computing: AtomicU32::new(Self::ALL),
            are_processors_short: AtomicBool::new(false),
            is_replay_paused: AtomicBool::new(false),
            is_zone_held: AtomicBool::new(false),
        }
    }
}

impl Governor {
    /// All of the time, in millionths.
    pub const ALL: u32 = 1_000_000;

    /// The share of the time that background work has, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.millionths()) / f64::from(Self::ALL)
    }

    /// Whether requests wait for processors, so that work should be left out that only saves something
    /// else.
    #[must_use]
    pub fn are_processors_short(&self) -> bool {
        self.are_processors_short.load(Ordering::Relaxed)
    }

    /// Pauses all replays, or lets them go on.
    pub fn pause_replay(&self, is_paused: bool) {
        self.is_replay_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Whether an operator has paused all replays.
    #[must_use]
    pub fn is_replay_paused(&self) -> bool {
        self.is_replay_paused.load(Ordering::Relaxed)
    }

    /// Whether replays may send: not in Red, and not while an operator has paused them.
    #[must_use]
    pub fn may_replay(&self, zone: Zone) -> bool {
        zone != Zone::Red && !self.is_replay_paused()
    }

    /// Says whether an operator holds the zone.
    pub fn hold_zone(&self, is_held: bool) {
        self.is_zone_held.store(is_held, Ordering::Relaxed);
    }

    /// Whether the replay of a vault may send that is so full, in thousandths: also in Red while the vault
    /// is nearly full, but not in a Red that an operator holds, and not while one has paused all replays.
    #[must_use]
    pub fn may_drain(&self, zone: Zone, fill_permille: u32) -> bool {
        let is_full = NEARLY_FULL_PERMILLE <= fill_permille;
        let is_urgent = is_full && !self.is_zone_held.load(Ordering::Relaxed);
        (zone != Zone::Red || is_urgent) && !self.is_replay_paused()
    }

    /// How long to rest after so much work; `None` means until the zone changes.
    #[must_use]
    pub fn rest_after(&self, worked: Duration) -> Option<Duration> {
        rest(self.share(), worked)
    }

    /// As [`Governor::rest_after`], for work that only computes.
    #[must_use]
    pub fn rest_after_computing(&self, worked: Duration) -> Option<Duration> {
        rest(f64::from(self.computing.load(Ordering::Relaxed)) / f64::from(Self::ALL), worked)
    }

    /// The share in millionths, as another process takes it over.
    #[must_use]
    pub fn millionths(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    /// Takes over the share that the governor of another process gives, in millionths.
    pub fn follow(&self, millionths: u32) {
        self.share.store(millionths.min(Self::ALL), Ordering::Relaxed);
    }

    fn set(&self, share: f64, computing: f64) {
        self.follow(in_millionths(share));
        self.computing.store(in_millionths(computing), Ordering::Relaxed);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1")]
fn in_millionths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(Governor::ALL)) as u32
}

fn rest(share: f64, worked: Duration) -> Option<Duration> {
    (0.0 < share).then(|| worked.mul_f64((1.0 - share) / share).min(REST_MAX))
}

/// What the share is computed from, look by look.
#[derive(Debug, Default)]
pub struct Weights {
    /// The running share of looks with live requests.
    activity: f64,
}

impl Weights {
    /// Takes one look: the zone in force, the share of processor waits in thousandths, and whether live
    /// requests came in since the look before.
    pub fn look(&mut self, governor: &Governor, zone: Zone, stall_permille: u32, is_live: bool) {
        self.activity += (f64::from(u8::from(is_live)) - self.activity) * NEWEST;
        let were_short = governor.are_processors_short();
        let limit = if were_short { SHORT_BELOW_PERMILLE } else { SHORT_FROM_PERMILLE };
        governor.are_processors_short.store(limit <= stall_permille, Ordering::Relaxed);
        let share = share(zone, f64::from(stall_permille.min(1000)) / 1000.0, self.activity);
        governor.set(share, share * (1.0 - (1.0 - COMPUTING_BESIDE_LIVE) * self.activity));
    }
}

/// The formula above.
fn share(zone: Zone, stall: f64, activity: f64) -> f64 {
    let zone = match zone {
        Zone::Green => 1.0,
        Zone::Yellow => 0.25,
        Zone::Red => 0.0,
    };
    zone * (1.0 - stall * activity).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_follows_zone_processors_and_live_requests() {
        let governor = Governor::default();
        let mut weights = Weights::default();
        let mut after = |looks, zone, stall, is_live| {
            for _ in 0..looks {
                weights.look(&governor, zone, stall, is_live);
            }
            governor.millionths() / 100
        };
        assert_eq!(after(1, Zone::Green, 1000, false), 10_000, "nobody to yield to");
        assert_eq!(after(1000, Zone::Green, 0, true), 10_000, "processors to spare");
        assert_eq!(after(1, Zone::Green, 500, true), 5_000);
        assert_eq!(after(1, Zone::Green, u32::MAX, true), 625, "the floor");
        assert_eq!(after(1, Zone::Yellow, 500, true), 1_250);
        assert_eq!(after(1, Zone::Red, 0, false), 0);
    }

    #[test]
    fn computing_has_a_sixteenth_of_it_while_live_requests_come() {
        let governor = Governor::default();
        let mut weights = Weights::default();
        let mut rest = |looks, zone, is_live| {
            for _ in 0..looks {
                weights.look(&governor, zone, 0, is_live);
            }
            governor.rest_after_computing(Duration::from_millis(8)).map(|rest| rest.as_millis())
        };
        assert_eq!(rest(1, Zone::Green, false), Some(0));
        assert_eq!(rest(1000, Zone::Green, true), Some(120));
        assert_eq!(rest(1, Zone::Yellow, true), Some(500));
        assert_eq!(rest(1, Zone::Red, true), None);
        assert_eq!(rest(1000, Zone::Green, false), Some(0));
    }

    #[test]
    fn a_vault_that_is_nearly_full_is_drained_in_red_unless_an_operator_says_otherwise() {
        let governor = Governor::default();
        let zones = [Zone::Green, Zone::Yellow, Zone::Red];
        assert_eq!(zones.map(|zone| governor.may_drain(zone, 899)), [true, true, false]);
        assert_eq!(zones.map(|zone| governor.may_drain(zone, 900)), [true; 3]);
        assert_eq!(zones.map(|zone| governor.may_replay(zone)), [true, true, false]);
        governor.hold_zone(true);
        assert_eq!(zones.map(|zone| governor.may_drain(zone, 1000)), [true, true, false]);
        governor.hold_zone(false);
        governor.pause_replay(true);
        assert_eq!(zones.map(|zone| governor.may_drain(zone, 1000)), [false; 3]);
    }

    #[test]
    fn processors_are_short_from_a_mark_until_well_below_it() {
        let governor = Governor::default();
        let mut weights = Weights::default();
        let mut after = |stall| {
            weights.look(&governor, Zone::Green, stall, true);
            governor.are_processors_short()
        };
        assert_eq!(
            [99, 100, 70, 50, 49, 99].map(&mut after),
            [false, true, true, true, false, false]
        );
    }

    #[test]
    fn who_has_a_quarter_of_the_time_rests_three_quarters() {
        let governor = Governor::default();
        assert_eq!(governor.rest_after(Duration::from_secs(1)), Some(Duration::ZERO));
        governor.set(0.25, 0.25);
        let rest = governor.rest_after(Duration::from_millis(10)).unwrap();
        assert!((29..=31).contains(&rest.as_millis()), "{rest:?}");
        assert_eq!(governor.rest_after(Duration::from_secs(10)), Some(REST_MAX));
        governor.set(0.0, 0.0);
        assert_eq!(governor.rest_after(Duration::from_millis(1)), None);
    }
}
