//! The brake: how long answers wait in Yellow, so that whoever sends one request after the other
//! sends fewer.
//!
//! ```text
//!   wait = max * p        p  how far the pressure is from its yellow mark to its red one, 0 to 1
//! ```
//!
//! Every kind has its own marks, and the highest p counts. A kind without a red mark is at its worst
//! at 100%, or at twice its yellow mark if that is higher. In Green nobody waits. In Red the vault
//! takes everything at once, so nobody waits either, unless what fills up is the vault or its disk.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::kind::PressureKind;
use super::policy::Policy;
use super::reading::Readings;
use super::zone::Zone;

const MILLION: u32 = 1_000_000;

/// Tells sources how long answers wait. Shared; reading it is one relaxed load.
#[derive(Debug, Default)]
pub struct Brake {
    /// How much answers are delayed, in millionths of the longest delay; 0 while the brake is off.
    severity: AtomicU32,
    /// The longest wait, in microseconds.
    max_micros: AtomicU64,
    is_released: AtomicBool,
}

impl Brake {
    /// Answers wait for at most this long from now on; with 0 not at all.
    pub fn configure(&self, max: Duration) {
        self.max_micros
            .store(u64::try_from(max.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if max.is_zero() {
            self.severity.store(0, Ordering::Relaxed);
        }
    }

    /// How much answers are delayed, as a share of the longest delay: from 0 to 1; none if not at all.
    #[must_use]
    pub fn severity(&self) -> Option<f64> {
        let severity = self.severity.load(Ordering::Relaxed);
        (severity != 0).then(|| f64::from(severity) / f64::from(MILLION))
    }

    /// How long an answer waits; none if not at all.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let severity = self.severity()?;
        Some(Duration::from_micros(self.max_micros.load(Ordering::Relaxed)).mul_f64(severity))
    }

    /// Lets go for ever: the process ends, and whoever waits should have his answer.
    pub fn release(&self) {
        self.is_released.store(true, Ordering::Relaxed);
        self.severity.store(0, Ordering::Relaxed);
    }

    /// Takes one look.
    pub fn look(&self, zone: Zone, policy: &Policy, readings: &Readings) {
        let is_off = self.max_micros.load(Ordering::Relaxed) == 0;
        if is_off || self.is_released.load(Ordering::Relaxed) {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1")]
        let millionths = (severity(zone, policy, readings) * f64::from(MILLION)) as u32;
        self.severity.store(millionths, Ordering::Relaxed);
    }
}

/// The formula above.
fn severity(zone: Zone, policy: &Policy, readings: &Readings) -> f64 {
    let counts = |kind: PressureKind| match zone {
        Zone::Green => false,
        Zone::Yellow => true,
        Zone::Red => matches!(kind, PressureKind::Vault | PressureKind::Disk),
    };
    let of = readings.iter().filter(|pressure| counts(pressure.kind));
    of.map(|pressure| policy.marks(pressure.kind).excess(pressure.permille)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::Place;

    fn wait(brake: &Brake, zone: Zone, numbers: &[(PressureKind, u32)]) -> Option<u128> {
        let mut readings = Readings::default();
        for (kind, permille) in numbers {
            readings.push(*kind, &Place::from("here"), *permille);
        }
        brake.look(zone, &Policy::default(), &readings);
        brake.wait().map(|wait| wait.as_millis())
    }

    #[test]
    fn the_wait_grows_from_the_yellow_mark_to_the_red_one_and_no_further() {
        let brake = Brake::default();
        brake.configure(Duration::from_secs(1));
        let edge = |permille| wait(&brake, Zone::Yellow, &[(PressureKind::Edge, permille)]);
        assert_eq!([edge(0), edge(600)], [None, None]);
        assert_eq!([edge(650), edge(725)], [Some(200), Some(500)]);
        assert_eq!([edge(850), edge(5000)], [Some(1000), Some(1000)]);
        let both =
            [(PressureKind::Edge, 650), (PressureKind::Vault, 850), (PressureKind::CpuStall, 1000)];
        assert_eq!(wait(&brake, Zone::Yellow, &both), Some(500), "the highest counts");
    }

    #[test]
    fn in_red_only_a_vault_that_fills_up_slows_senders() {
        let brake = Brake::default();
        brake.configure(Duration::from_secs(1));
        assert_eq!(wait(&brake, Zone::Red, &[(PressureKind::Edge, 1000)]), None);
        assert_eq!(
            wait(&brake, Zone::Red, &[(PressureKind::Edge, 1000), (PressureKind::Vault, 760)]),
            Some(200)
        );
        assert_eq!(wait(&brake, Zone::Green, &[(PressureKind::Vault, 1000)]), None);
    }

    #[test]
    fn nobody_waits_when_it_is_off_or_the_process_ends() {
        let (brake, high) = (Brake::default(), [(PressureKind::Edge, 840)]);
        assert_eq!(wait(&brake, Zone::Yellow, &high), None);
        brake.configure(Duration::from_secs(1));
        assert!(wait(&brake, Zone::Yellow, &high).is_some());
        brake.configure(Duration::ZERO);
        assert_eq!(brake.wait(), None);
        brake.configure(Duration::from_secs(1));
        brake.release();
        assert_eq!(wait(&brake, Zone::Yellow, &high), None);
    }
}
