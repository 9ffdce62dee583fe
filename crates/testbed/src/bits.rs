//! A set of small numbers, a bit each.

use crate::kinds::Kinds;

/// A set that grows with its largest number.
#[derive(Clone, Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; returns whether it is new.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Whether a number is in the set.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.word(number as usize / 64) & (1 << (number % 64)) != 0
    }

    fn word(&self, idx: usize) -> u64 {
        self.0.get(idx).copied().unwrap_or(0)
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many numbers of these kinds are here.
    pub(crate) fn len_of(&self, kinds: &Kinds) -> u64 {
        let words = self.0.iter().enumerate();
        words.map(|(idx, word)| u64::from((word & kinds.word(idx)).count_ones())).sum()
    }

    /// Adds what is in the other.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// What is in any of these.
    pub(crate) fn united<'b>(all: impl Iterator<Item = &'b Self>) -> Self {
        let mut united = Self::default();
        for one in all {
            united.unite(one);
        }
        united
    }

    /// Keeps what is in both, and what is not of these kinds.
    pub(crate) fn intersect(&mut self, other: &Self, kinds: &Kinds) {
        for (idx, word) in self.0.iter_mut().enumerate() {
            *word &= other.word(idx) | !kinds.word(idx);
        }
    }

    /// How many numbers of these kinds below `end` are here and not there.
    pub(crate) fn missing_in(&self, other: &Self, kinds: &Kinds, end: u32) -> u64 {
        let (full, rest) = (end as usize / 64, (1_u64 << (end % 64)) - 1);
        let lack = |idx: usize| self.word(idx) & !other.word(idx) & kinds.word(idx);
        let count = |word: u64| u64::from(word.count_ones());
        let whole: u64 = (0..full.min(self.0.len())).map(|idx| count(lack(idx))).sum();
        whole + count(lack(full) & rest)
    }

    /// The first runs of numbers of these kinds that are here and not there, both ends included.
    pub(crate) fn runs_missing_in(
        &self,
        other: &Self,
        kinds: &Kinds,
        runs_max: usize,
    ) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let lacks = |number: &u32| self.has(*number) && kinds.has(*number) && !other.has(*number);
        let end = u32::try_from(self.0.len() * 64).unwrap_or(u32::MAX);
        for number in (0..end).filter(lacks) {
            let len = runs.len();
            match runs.last_mut() {
                Some(run) if run.1 + 1 == number => run.1 = number,
                _ if len == runs_max => break,
                _ => runs.push((number, number)),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(numbers: impl IntoIterator<Item = u32>) -> Bits {
        let mut bits = Bits::default();
        for number in numbers {
            assert!(bits.insert(number));
            assert!(!bits.insert(number));
        }
        bits
    }

    #[test]
    fn what_is_missing_is_counted_and_told_in_runs() {
        let sent = bits(0..1000);
        let come = bits((0..64).chain(70..128).chain(129..900));
        assert_eq!((sent.len(), come.len()), (1000, 893));
        let all = &Kinds::ALL;
        assert_eq!(sent.missing_in(&come, all, 1000), 107);
        assert_eq!(sent.missing_in(&come, all, 67), 3);
        assert_eq!(sent.missing_in(&come, all, 64), 0);
        assert_eq!(come.missing_in(&sent, all, 1000), 0);
        assert_eq!(sent.runs_missing_in(&come, all, 2), [(64, 69), (128, 128)]);
        let mut both = sent.clone();
        both.intersect(&come, all);
        assert_eq!(both.len(), 893);
    }

    #[test]
    fn what_is_of_another_kind_is_not_missed() {
        let (sent, come) = (bits(0..1000), bits((0..64).chain(70..900)));
        let mut kinds = Kinds::NONE;
        (60..66).for_each(|seq| kinds.insert(seq));
        // 64, 65 are missing; of the second round 572 to 577 came.
        assert_eq!((sent.missing_in(&come, &kinds, 1000), sent.len_of(&kinds)), (2, 12));
        assert_eq!(sent.runs_missing_in(&come, &kinds, 9), [(64, 65)]);
        let mut both = sent.clone();
        both.intersect(&come, &kinds);
        assert_eq!(both.len(), 998);
    }
}
