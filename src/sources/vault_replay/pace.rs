//! How fast: when the next request may be read.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ReplayRate;
use super::VaultReplayConfig;
use crate::flow::worth;
use crate::somatic::Governor;
use crate::somatic::Zone;

/// How often a replay looks around that has nothing to send: nothing new is in the vault, or the zone is
/// red.
pub(super) const LOOK_AROUND_EVERY: Duration = Duration::from_millis(200);
/// How often one looks around that has delivered all it had, and saved that: nothing can change but by a new
/// request, which wakes it, and a stop, which does too. Idle replays would otherwise be half of what an idle process
/// costs.
pub(super) const LOOK_AROUND_AT_REST: Duration = Duration::from_secs(2);
/// From here on a vault is filling up: emptying it is what the zone asks for.
const FILLING_PERMILLE: u32 = 600;

/// No request is worth more, whatever its size.
const GAP_MAX: Duration = Duration::from_hours(1);

/// When the next request may be read.
pub(super) struct ReplayPacer {
    rate: ReplayRate,
    bytes_per_second: Option<u64>,
    governor: Arc<Governor>,
    next: Instant,
    /// When the turn of the request under way began.
    began: Instant,
}

impl ReplayPacer {
    pub(super) fn new(config: &VaultReplayConfig, governor: Arc<Governor>) -> Self {
        let bytes_per_second = config.rate_bytes.map(|bytes| bytes.0.max(1));
        let now = Instant::now();
        Self { rate: config.rate, bytes_per_second, governor, next: now, began: now }
    }

    /// Whether nothing of a vault is to be sent that is so full: in Red, unless it is nearly full, or because
    /// an operator says so.
    pub(super) fn is_held(&self, zone: Zone, fill_permille: u32) -> bool {
        !self.governor.may_drain(zone, fill_permille)
    }

    /// Whether nothing is to be sent that makes no room in a vault: in Red, or because an operator says so.
    pub(super) fn is_paused(&self, zone: Zone) -> bool {
        !self.governor.may_replay(zone)
    }

    /// Waits for the turn of the next request, or for a while if nothing is to be sent.
    pub(super) async fn wait(&mut self, is_paused: bool) {
        if is_paused {
            tokio::time::sleep(LOOK_AROUND_EVERY).await;
        } else if Instant::now() < self.next {
            // Only then: even a sleep that is over takes until the next tick of the timer, a
            // millisecond.
            tokio::time::sleep_until(self.next).await;
        }
        self.began = Instant::now();
    }

    /// Counts a request that is sent now: the next one waits as long as this one is worth.
    pub(super) fn spend(&mut self, fill_permille: u32, records: u64, bytes: usize) {
        let now = Instant::now();
        let worked = now.saturating_duration_since(self.began);
        let gap = self.gap(worked, fill_permille, records, bytes);
        self.next = self.next.max(now) + gap;
    }

    fn gap(&self, worked: Duration, fill_permille: u32, records: u64, bytes: usize) -> Duration {
        let is_filling = FILLING_PERMILLE <= fill_permille;
        let by_records = match self.rate {
            ReplayRate::PerSecond(rate) => worth(records, u64::from(rate)),
            ReplayRate::Auto if is_filling => Duration::ZERO,
            ReplayRate::Auto => self.governor.rest_after(worked).unwrap_or_default(),
        };
        let by_bytes =
            self.bytes_per_second.map_or(Duration::ZERO, |rate| worth(bytes as u64, rate));
        by_records.max(by_bytes).min(GAP_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::Weights;

    fn gap(rate: ReplayRate, bytes_per_second: Option<u64>, zone: Zone, fill: u32) -> Duration {
        let (now, governor) = (Instant::now(), Arc::new(Governor::default()));
        Weights::default().look(&governor, zone, 0, false);
        let pace = ReplayPacer { rate, bytes_per_second, governor, next: now, began: now };
        pace.gap(WORKED, fill, 100, 2_000_000)
    }

    const WORKED: Duration = Duration::from_millis(20);

    #[test]
    fn the_slower_of_both_limits_counts() {
        let second = Duration::from_secs(1);
        assert_eq!(gap(ReplayRate::PerSecond(200), None, Zone::Green, 0), second / 2);
        assert_eq!(gap(ReplayRate::PerSecond(200), Some(1_000_000), Zone::Yellow, 0), second * 2);
        assert_eq!(gap(ReplayRate::Auto, Some(4_000_000), Zone::Green, 0), second / 2);
        assert_eq!(gap(ReplayRate::Auto, Some(1), Zone::Green, 0), second * 3600);
    }

    /// The share of the time that a replay with no end of work has, when processors are wanted and live
    /// requests come in, both for so much of the time.
    fn share(stall_permille: u32, is_live: bool) -> f64 {
        let (now, governor) = (Instant::now(), Arc::new(Governor::default()));
        let mut weights = Weights::default();
        for _ in 0..1000 {
            weights.look(&governor, Zone::Green, stall_permille, is_live);
        }
        let bytes_per_second = None;
        let pace = ReplayPacer {
            rate: ReplayRate::Auto,
            bytes_per_second,
            governor,
            next: now,
            began: now,
        };
        let (mut worked, mut passed) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..1000_u32 {
            let work = Duration::from_micros(u64::from(turn % 7) * 100);
            worked += work;
            passed += work + pace.gap(work, 0, 1, 1000);
        }
        worked.as_secs_f64() / passed.as_secs_f64()
    }

    #[test]
    fn beside_live_requests_on_a_saturated_machine_replay_has_a_sixteenth_of_the_time() {
        assert!(share(1000, true) <= 1.001 / 16.0, "{}", share(1000, true));
        assert!((0.49..0.51).contains(&share(500, true)), "{}", share(500, true));
        assert!(0.999 < share(1000, false).min(share(0, true)), "nobody to yield to");
    }

    #[test]
    fn a_vault_that_fills_up_is_not_kept_waiting_by_yellow() {
        assert_eq!(gap(ReplayRate::Auto, None, Zone::Yellow, 0), WORKED * 3);
        assert_eq!(gap(ReplayRate::Auto, None, Zone::Yellow, 700), Duration::ZERO);
        assert_eq!(gap(ReplayRate::Auto, None, Zone::Green, 0), Duration::ZERO);
    }
}
