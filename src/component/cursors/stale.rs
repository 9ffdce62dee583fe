//! The cursor of a sink that is no longer on the path of its replay.

use std::time::Instant;

use super::name::BETWEEN;
use super::name::CursorOwner;
use super::name::names_sink;
use crate::component::id::ComponentId;

/// A cursor whose sink is no longer on the path of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleCursor {
    /// The name of the cursor.
    pub name: String,
    /// When that was noticed.
    pub since: Instant,
    /// Its sink needs nothing that is stored later.
    pub until: u64,
    /// Who gets what it has not passed.
    pub heir: Heir,
}

/// Who gets what a stale cursor has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heir {
    /// Its sink, if it comes back.
    Nobody,
    /// Its sink is there, with a cursor of its own: nothing is to be kept for this one.
    Itself,
    /// A sink that says it had the name before, and has a cursor of its own.
    Sink {
        /// Which replay leads to it.
        replay: ComponentId,
        /// Its id.
        sink: String,
    },
}

impl Heir {
    /// A sink that takes over.
    pub(super) fn sink(owner: &CursorOwner) -> Self {
        Self::Sink { replay: owner.replay.clone(), sink: owner.sink.clone() }
    }
}

impl StaleCursor {
    /// The sink's id, or a fingerprint of it where that is too long.
    #[must_use]
    pub fn sink(&self) -> &str {
        self.name.split_once(BETWEEN).map_or(self.name.as_str(), |(_, sink)| sink)
    }

    /// Whether the vault keeps a request for the sink of this cursor, given the sinks that need it;
    /// without any, all do.
    #[must_use]
    pub fn is_owed(&self, owed: &[String]) -> bool {
        owed.is_empty() || self.is_named(owed)
    }

    /// Whether the sink of this cursor is among those that need a request.
    #[must_use]
    pub fn is_named(&self, owed: &[String]) -> bool {
        owed.iter().any(|sink| names_sink(self.sink(), sink))
    }
}
