//! What a request is refused with, and why there is no room for it.

use std::sync::Arc;
use std::time::Duration;

use crate::event::ack::AckWaiter;
/// A vault that has nothing left.
const FULL_PERMILLE: u32 = 1000;

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has room; the sender may try again after this long.
    Busy {
        /// A hint, already jittered.
        retry_after: Duration,
        /// Why, in words.
        why: &'static str,
    },
    /// A backend refused it for good: sending it again cannot help.
    Rejected {
        /// How many of its records: fewer than it has if others were delivered, all of them if the others
        /// were filtered out at most.
        records: u64,
        /// What the backend said.
        reason: Option<Arc<str>>,
    },
}

impl Refusal {
    /// The refusal of a request of so many records whose outcome is that it was refused for good.
    pub(super) fn for_good(waiter: &AckWaiter, records: u64) -> Self {
        let (rejected, filtered) = (waiter.rejected(), waiter.filtered());
        let is_part = rejected.saturating_add(filtered) < records;
        Self::Rejected {
            records: if is_part { rejected } else { records },
            reason: waiter.reason(),
        }
    }
}

/// What was in the way of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Obstacle {
    /// The edges are full, or the zone or an operator keeps requests away from them.
    Queues,
    /// No sink has delivered it.
    Backends,
    /// The vault has it and does not say that it is safe.
    Disk,
}

impl Obstacle {
    /// Why a request is refused, in words; `vault` says how full the vault is, in thousandths, if the source
    /// has one.
    pub(super) fn words(self, vault: Option<u32>) -> &'static str {
        match (self, vault.map(|permille| FULL_PERMILLE <= permille)) {
            (Self::Queues, None) => "the queues to the sinks are full, and the source has no vault",
            (Self::Queues, Some(true)) => "the sinks take no requests now, and the vault is full",
            (Self::Queues, Some(false)) => {
                "the sinks take no requests now, and neither does the vault"
            }
            (Self::Backends, None) => {
                "no sink delivered the request in time, and the source has no vault"
            }
            (Self::Backends, Some(true)) => {
                "no sink delivered the request in time, and the vault is full"
            }
            (Self::Backends, Some(false)) => {
                "no sink delivered the request in time, and the vault did not take it"
            }
            (Self::Disk, _) => "the disk of the vault did not store the request in time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_told_what_is_in_the_way() {
        assert!(Obstacle::Backends.words(None).contains("no vault"));
        assert!(Obstacle::Backends.words(Some(1000)).contains("vault is full"));
        assert!(!Obstacle::Queues.words(Some(999)).contains("full"));
    }
}
