//! [`Answer`]: what became of an attempt, in the engine's terms.

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
    /// Sending it again cannot help.
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
}
