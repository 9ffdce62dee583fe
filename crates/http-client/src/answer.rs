//! [`Answer`]: what became of an attempt, in terms of no protocol.

use std::time::Duration;

/// What an attempt came to. Who sends it judges, by the rules of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The backend has it, less the records that it says it rejected.
    Delivered {
        /// Records that it says it rejected.
        rejected: u64,
        /// What it says about them.
        message: String,
    },
    /// Sending it again may help.
    Retry {
        /// Not before this long, if the backend said so; who judges bounds it.
        after: Option<Duration>,
        /// Why, in words.
        reason: String,
    },
    /// The backend refuses, and does not say that it is for what is in the request: it does not know who
    /// asks, there is nothing where it was sent, or something in it is broken. It may take it later.
    Denied {
        /// Why, in words.
        reason: String,
    },
    /// The backend refuses what is in the request: sending it again cannot help.
    Rejected {
        /// Why, in words.
        reason: String,
    },
}

impl Answer {
    /// An attempt that got no answer.
    #[must_use]
    pub fn unanswered(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, reason: reason.into() }
    }
    /// The backend has all of it, and this is said about it.
    #[must_use]
    pub fn taken(message: impl Into<String>) -> Self {
        Self::Delivered { rejected: 0, message: message.into() }
    }

    /// The same, with other words for why, if it is no success.
    #[must_use]
    pub fn reworded(self, reword: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Delivered { .. } => self,
            Self::Retry { after, reason } => Self::Retry { after, reason: reword(reason) },
            Self::Denied { reason } => Self::Denied { reason: reword(reason) },
            Self::Rejected { reason } => Self::Rejected { reason: reword(reason) },
        }
    }
}
