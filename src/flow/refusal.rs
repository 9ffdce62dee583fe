//! What a request is refused with, and why there is no room for it.

use std::sync::Arc;
use std::time::Duration;

use super::table::Intake;
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
    /// The vault, where it was to go, did not take it.
    Vault,
    /// The vault has it and does not say that it is safe.
    Disk,
}

/// What became of a copy for the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// The vault has it, and it is safe there.
    Kept,
    /// There is no vault, or it has no room, or it cannot write.
    NotTaken,
    /// The vault has it, and its disk does not say in time that it is safe.
    Late,
}

/// Why a vault may have refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VaultState {
    /// It has room, and would write.
    Usable,
    /// It has nothing left.
    Full,
    /// Its disk fails.
    Failed,
}

impl VaultState {
    pub(super) fn of(vault: &dyn Intake) -> Self {
        match vault.fill_permille() {
            _ if vault.has_failed() => Self::Failed,
            FULL_PERMILLE.. => Self::Full,
            _ => Self::Usable,
        }
    }
}

impl Obstacle {
    /// Why a request is refused, in words; `vault` is that of the source, if it has one.
    pub(super) const fn words(self, vault: Option<VaultState>) -> &'static str {
        use VaultState::{Failed, Full, Usable};
        match (self, vault) {
            (Self::Queues, None) => {
                "the queues to the sinks are full, because a backend is slow or out, and the source has \
                 no vault"
            }
            (Self::Queues, Some(Full)) => "the sinks take no requests now, and the vault is full",
            (Self::Queues, Some(Usable)) => {
                "the sinks take no requests now, and neither does the vault"
            }
            (Self::Backends, None) => {
                "no sink delivered the request in time, and the source has no vault"
            }
            (Self::Backends, Some(Full)) => {
                "no sink delivered the request in time, and the vault is full"
            }
            (Self::Backends, Some(Usable)) => {
                "no sink delivered the request in time, and the vault did not take it"
            }
            (Self::Backends, Some(Failed)) => {
                "no sink delivered the request in time, and the vault cannot write to its disk now"
            }
            (Self::Vault, Some(Full)) => "the vault is full",
            (Self::Queues, Some(Failed)) | (Self::Vault, _) => {
                "the vault cannot write to its disk now"
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
        assert!(Obstacle::Backends.words(Some(VaultState::Full)).contains("vault is full"));
        assert!(!Obstacle::Queues.words(Some(VaultState::Usable)).contains("full"));
        assert!(Obstacle::Queues.words(None).contains("a backend is slow or out"));
        for vault in
            [None, Some(VaultState::Usable), Some(VaultState::Full), Some(VaultState::Failed)]
        {
            assert!(Obstacle::Disk.words(vault).contains("disk of the vault"));
            assert!(!Obstacle::Vault.words(vault).contains("sink"), "no sink was asked");
        }
    }
}
