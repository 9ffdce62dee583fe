//! How long threads of the vault wait before they try or look again.

use std::time::Duration;
use std::time::Instant;

/// Longest sleep of the writer thread; bounds how late a segment is rotated by age.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(1);

/// The first wait for a disk that failed.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(200);
/// Each wait is twice the one before, up to this.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(10);
/// The next wait after this one.
pub(crate) fn longer(delay: Duration) -> Duration {
    (delay * 2).clamp(RETRY_MIN, RETRY_MAX)
}

/// Spares cannot be made, though there is room: since when, and how long the last wait was.
pub(crate) struct SpareTrouble {
    pub(super) began: Instant,
    pub(super) delay: Duration,
}
