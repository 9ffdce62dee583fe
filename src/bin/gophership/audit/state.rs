//! How the process stood that wrote the books.

use gophership::ledger::Standing;

use super::look::AuditView;

/// How the process stands that wrote the last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessState {
    /// It runs, and records move.
    Moving,
    /// It runs, and nothing moves.
    Quiet,
    /// It ended in order.
    Ended,
    /// It was killed, and none was started since.
    Killed,
}

impl ProcessState {
    pub(super) fn of(look: &AuditView) -> Self {
        match look.snapshot.standing {
            Standing::Ended => Self::Ended,
            _ if !look.is_kept => Self::Killed,
            Standing::Quiet => Self::Quiet,
            Standing::Moving => Self::Moving,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Quiet => "quiet",
            Self::Ended => "ended",
            Self::Killed => "killed",
        }
    }
}
