//! Which kinds of records are to come: a client has 512 kinds, and its record number `n` is of kind `n % 512`.

use std::ops::Range;

use crate::records::SHAPES;

const WORDS: usize = SHAPES / 64;

/// A set of kinds, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; WORDS]);

/// What a backend is to get of a client's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What must arrive there.
    pub must: Kinds,
    /// What may arrive there, and all that must.
    pub may: Kinds,
}

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self([0; WORDS]);
    /// Every kind.
    pub const ALL: Self = Self([u64::MAX; WORDS]);
    /// How many there are.
    pub const LEN: u32 = 512;

    /// The numbers of one record of each kind; those of another `round` are others.
    #[must_use]
    pub const fn numbers(round: u32) -> Range<u32> {
        round * Self::LEN..(round + 1) * Self::LEN
    }

    /// Adds the kind of a record.
    pub fn insert(&mut self, seq: u32) {
        let kind = seq as usize % SHAPES;
        self.0[kind / 64] |= 1 << (kind % 64);
    }

    /// Whether the kind of a record is among them.
    #[must_use]
    pub fn has(&self, seq: u32) -> bool {
        let kind = seq as usize % SHAPES;
        self.0[kind / 64] & 1 << (kind % 64) != 0
    }

    /// The kinds in either.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }

    /// The kinds in both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
        self
    }

    /// How many kinds there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The kinds of the records of a word of [`Bits`](crate::Bits), a bit for each record.
    pub(crate) const fn word(&self, idx: usize) -> u64 {
        self.0[idx % WORDS]
    }
}

impl Expectation {
    /// Nothing comes.
    pub const NOTHING: Self = Self { must: Kinds::NONE, may: Kinds::NONE };
    /// Everything comes.
    pub const EVERYTHING: Self = Self { must: Kinds::ALL, may: Kinds::ALL };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_again_every_512_records() {
        let mut kinds = Kinds::NONE;
        for seq in [0, 63, 64, 511, 512, 575] {
            kinds.insert(seq);
        }
        assert_eq!(kinds.len(), 4);
        assert!([1024, 63 + 5120, 64].iter().all(|seq| kinds.has(*seq)));
        assert!(!kinds.has(65));
        assert_eq!((kinds.word(0), kinds.word(8)), (1 | 1 << 63, 1 | 1 << 63));
        assert_eq!((kinds.and(Kinds::NONE), kinds.or(Kinds::ALL)), (Kinds::NONE, Kinds::ALL));
    }
}
