//! Which records need not be there any more: those that every cursor has passed or that were dropped.

use std::path::Path;
use std::sync::Arc;

use crate::error::VaultError;
use crate::fs::FileSystem;
use crate::log::cursor::Acks;
use crate::log::dropped::Dropped;

/// What need not be there any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct AckedRanges {
    /// What each cursor has acknowledged.
    acks: Vec<Acks>,
    /// Every seq up to here may have been dropped on purpose.
    dropped_through: u64,
}

impl AckedRanges {
    /// Reads the mark of what was dropped.
    pub(crate) fn load(
        files: &Arc<dyn FileSystem>,
        dir: &Path,
        vault_id: u128,
        acks: Vec<Acks>,
    ) -> Result<Self, VaultError> {
        let dropped = Dropped::load(files, dir, vault_id)
            .map_err(VaultError::io("read the count of dropped records of", dir))?;
        Ok(Self { acks, dropped_through: dropped.through() })
    }

    /// Whether every cursor has passed `first..=last`; never without a cursor.
    pub(crate) fn covers(&self, first: u64, last: u64) -> bool {
        !self.acks.is_empty() && self.acks.iter().all(|acks| acks.covers(first, last))
    }

    /// Whether one cursor, by its place in the list, has passed `first..=last`.
    pub(crate) fn covers_for(&self, cursor_idx: usize, first: u64, last: u64) -> bool {
        self.acks.get(cursor_idx).is_some_and(|acks| acks.covers(first, last))
    }

    /// How many of `first..=last` the slowest cursor has not passed; all without a cursor.
    pub(crate) fn left_in(&self, first: u64, last: u64) -> u64 {
        let count = (last + 1).saturating_sub(first);
        let passed = self.acks.iter().map(|acks| acks.count_in(first, last)).min();
        count - passed.unwrap_or(0).min(count)
    }

    /// What of a hole is a loss: neither passed nor dropped.
    pub(crate) fn lost_in(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let first = first.max(self.dropped_through + 1);
        if last < first || self.covers(first, last) {
            return None;
        }
        let low = self.acks.iter().map(Acks::low).min().unwrap_or(0);
        Some((first.max(low + 1), last))
    }
}
