//! A set of small numbers, a bit each.

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

    /// Keeps what is in both.
    pub(crate) fn intersect(&mut self, other: &Self) {
        for (idx, word) in self.0.iter_mut().enumerate() {
            *word &= other.word(idx);
        }
    }

    /// How many numbers below `end` are here and not there.
    pub(crate) fn missing_in(&self, other: &Self, end: u32) -> u64 {
        let (full, rest) = (end as usize / 64, (1_u64 << (end % 64)) - 1);
        let lack = |idx: usize| self.word(idx) & !other.word(idx);
        let count = |word: u64| u64::from(word.count_ones());
        let whole: u64 = (0..full.min(self.0.len())).map(|idx| count(lack(idx))).sum();
        whole + count(lack(full) & rest)
    }

    /// The first runs of numbers that are here and not there, both ends included.
    pub(crate) fn runs_missing_in(&self, other: &Self, runs_max: usize) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let lacks = |number: &u32| {
            let lack = self.word(*number as usize / 64) & !other.word(*number as usize / 64);
            lack & (1 << (number % 64)) != 0
        };
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
        assert_eq!(sent.missing_in(&come, 1000), 107);
        assert_eq!(sent.missing_in(&come, 67), 3);
        assert_eq!(sent.missing_in(&come, 64), 0);
        assert_eq!(come.missing_in(&sent, 1000), 0);
        assert_eq!(sent.runs_missing_in(&come, 2), [(64, 69), (128, 128)]);
        let mut both = sent.clone();
        both.intersect(&come);
        assert_eq!(both.len(), 893);
    }
}
