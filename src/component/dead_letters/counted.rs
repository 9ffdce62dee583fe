//! Sums over dead letters.

use std::collections::BTreeMap;

use super::letter::Letter;
use crate::event::Signal;

/// Letters and their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterTotals {
    /// Letters.
    pub letters: u64,
    /// Their records.
    pub records: u64,
}

impl LetterTotals {
    /// One letter.
    #[must_use]
    pub const fn of(records: u64) -> Self {
        Self { letters: 1, records }
    }

    /// The sum.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { letters: self.letters + other.letters, records: self.records + other.records }
    }
}

/// What was found of the letters that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterScan {
    /// All of them.
    pub tally: LetterTotals,
    /// The number of the last letter that was looked at, be it meant or not; 0 if there was none.
    pub last_seq: u64,
    /// Their records as the ledger has them, by source and signal.
    pub booked: BTreeMap<(String, Signal), u64>,
}

impl LetterScan {
    /// Adds a letter.
    pub(super) fn add(&mut self, letter: &Letter) {
        self.tally = self.tally.and(LetterTotals::of(letter.records));
        // Where the signal is unknown the ledger has logs.
        let signal = letter.signal.unwrap_or(Signal::Logs);
        *self.booked.entry((letter.source.clone(), signal)).or_default() += letter.records;
    }
}
