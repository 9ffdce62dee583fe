//! The operator's word: a zone held whatever the sensors say, for a time and for a reason.

use std::time::Duration;
use std::time::Instant;

use super::zone::Zone;

/// A zone held by the operator. An input of the controller, not a second path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneHold {
    /// The zone.
    pub zone: Zone,
    /// When it ends by itself; `None` means when the operator says so.
    pub until: Option<Instant>,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
}

impl ZoneHold {
    /// Makes a lease from now on. A time that no clock can tell is one without end.
    #[must_use]
    pub fn new(zone: Zone, now: Instant, ttl: Option<Duration>, reason: String) -> Self {
        Self { zone, until: ttl.and_then(|ttl| now.checked_add(ttl)), reason }
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_valid(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
