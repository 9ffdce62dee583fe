//! How much arrives: whether compressing it would take a good part of a processor.

use std::time::Duration;
use std::time::Instant;

/// Up to this many bytes a second LZ4 takes less than a tenth of one processor.
const LIGHT_BYTES_PER_SECOND: u64 = 32 << 20;
/// What is counted together.
const WINDOW: Duration = Duration::from_millis(250);
/// More than this in one window is more than the rate above.
const WINDOW_BYTES: u64 = LIGHT_BYTES_PER_SECOND / 4;

/// Counts the bytes of a vault in windows of time, the newest of which decides.
pub(crate) struct IntakeRate {
    began: Instant,
    bytes: u64,
    is_heavy: bool,
}

impl IntakeRate {
    /// Begins with a vault that took nothing yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { began: now, bytes: 0, is_heavy: false }
    }

    /// Counts bytes, before compression; returns whether more arrives than is light.
    pub(crate) fn add(&mut self, now: Instant, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let elapsed = now.saturating_duration_since(self.began);
        if WINDOW <= elapsed {
            let light = u128::from(LIGHT_BYTES_PER_SECOND) * elapsed.as_nanos() / 1_000_000_000;
            self.is_heavy = light < u128::from(self.bytes);
            (self.began, self.bytes) = (now, 0);
        } else if WINDOW_BYTES < self.bytes {
            self.is_heavy = true;
        }
        self.is_heavy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said after bytes that come at these milliseconds.
    fn said(arriving: &[(u64, u64)]) -> Vec<bool> {
        let start = Instant::now();
        let mut rate = IntakeRate::new(start);
        let add = |&(millis, bytes)| rate.add(start + Duration::from_millis(millis), bytes);
        arriving.iter().map(add).collect()
    }

    #[test]
    fn the_rate_of_the_last_window_decides() {
        let mib = 1 << 20;
        assert_eq!(said(&[(100, mib), (300, 6 * mib), (600, 9 * mib)]), [false, false, false]);
        assert_eq!(said(&[(250, 9 * mib), (300, mib), (500, 6 * mib)]), [true, true, false]);
        assert_eq!(said(&[(10, 8 * mib), (20, 1)]), [false, true], "at once, not with the window");
        assert_eq!(said(&[(10, 9 * mib), (10_000, mib)]), [true, false], "a burst, then calm");
    }
}
