//! What load is put on what.

use std::time::Duration;

use crate::schedule::SendSchedule;
use crate::target::LoadTarget;

/// What load is put on what.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where requests go, and how.
    pub target: LoadTarget,
    /// When they are due, and what is in them.
    pub schedule: SendSchedule,
    /// Connections to the target.
    pub connections: usize,
    /// Requests that a connection carries at the same time; over HTTP/1.1 there is only one.
    pub streams: usize,
    /// Requests that are due and not answered. One more is not sent.
    pub in_flight_max: usize,
    /// A request that was sent and has no answer for so long is given up, as are all requests this long after the end
    /// of the schedule.
    pub timeout: Duration,
}
