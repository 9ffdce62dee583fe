//! Bytes taken from a budget, until they are given back.

use std::sync::Arc;

use crate::pool::budget::Budget;

/// So many bytes of a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a grant gives its bytes back"]
pub struct Grant {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Grant {
    /// The bytes are booked already.
    pub(super) const fn new(budget: Arc<Budget>, bytes: u64) -> Self {
        Self { budget, bytes }
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more bytes if there is room; new grants that wait have no precedence.
    #[must_use]
    pub fn try_grow(&mut self, more: u64) -> bool {
        let is_grown = self.budget.try_grow(self.bytes, more);
        if is_grown {
            self.bytes += more;
        }
        is_grown
    }

    /// Takes more bytes, and waits for them. May be dropped half-way: the grant is then as it was.
    pub async fn grow(&mut self, more: u64) {
        self.budget.grow(self.bytes, more).await;
        self.bytes += more;
    }

    /// Gives back what is above so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.budget.give_back(excess);
    }

    /// Makes a grant of its own of so many of its bytes, or of all if it has fewer.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
