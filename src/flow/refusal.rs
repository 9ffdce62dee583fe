//! Why a request was not accepted.

use std::sync::Arc;
use std::time::Duration;

use crate::event::ack::AckWaiter;

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has room; the sender may try again after this long.
    Busy {
        /// A hint, already jittered.
        retry_after: Duration,
    },
    /// A backend refused it for good: sending it again cannot help.
    Rejected {
        /// How many of its records; fewer than it has if a part of it was accepted.
        records: u64,
        /// What the backend said.
        reason: Option<Arc<str>>,
    },
}

impl Refusal {
    /// The refusal of a request whose outcome is that it was refused for good.
    pub(super) fn for_good(waiter: &AckWaiter) -> Self {
        Self::Rejected { records: waiter.rejected(), reason: waiter.reason() }
    }
}
