//! A set of seqs, kept as ranges: small as long as its members lie together.

use std::collections::BTreeMap;

/// Seqs as disjoint ranges that do not touch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeqSet {
    /// First and last seq of each range.
    ranges: BTreeMap<u64, u64>,
    len: u64,
}

impl SeqSet {
    /// Adds one seq; returns whether it was new.
    pub fn insert(&mut self, seq: u64) -> bool {
        let is_new = !self.contains(seq);
        if is_new {
            self.insert_range(seq, seq);
        }
        is_new
    }

    /// Adds `first..=last`; nothing when `last < first`.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        let next = last.saturating_add(1);
        while let Some((&start, &end)) = self.ranges.range(..=next).next_back() {
            if end.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&start);
            self.len -= end - start + 1;
            first = first.min(start);
            last = last.max(end);
        }
        self.len += last - first + 1;
        self.ranges.insert(first, last);
    }

    /// Takes out everything up to `last`.
    pub fn remove_through(&mut self, last: u64) {
        while let Some((&start, &end)) = self.ranges.first_key_value() {
            if last < start {
                return;
            }
            self.ranges.remove(&start);
            self.len -= end.min(last) - start + 1;
            if last < end {
                self.ranges.insert(last + 1, end);
            }
        }
    }

    /// Whether a seq is in the set.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.range_of(seq).is_some()
    }

    /// The range a seq lies in.
    #[must_use]
    pub fn range_of(&self, seq: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.ranges.range(..=seq).next_back()?;
        (seq <= last).then_some((first, last))
    }

    /// The highest run of missing seqs within `first..=last`.
    #[must_use]
    pub fn last_gap(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let mut end = last;
        if let Some((start, _)) = self.range_of(end) {
            end = start.checked_sub(1)?;
        }
        if end < first {
            return None;
        }
        let below = self.ranges.range(..=end).next_back();
        let start = below.map_or(first, |(_, &below)| first.max(below + 1));
        Some((start, end))
    }

    /// How many of `first..=last` are in the set.
    #[must_use]
    pub fn count_in(&self, first: u64, last: u64) -> u64 {
        let from = self.range_of(first).map_or(first, |(start, _)| start);
        let ranges = self.ranges.range(from..=last.max(from));
        ranges.map(|(&start, &end)| (end.min(last) + 1).saturating_sub(start.max(first))).sum()
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(&first, &last)| (first, last))
    }

    /// Number of ranges: what the set costs in memory.
    #[must_use]
    pub fn ranges_len(&self) -> usize {
        self.ranges.len()
    }

    /// Number of seqs.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The highest seq.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, &last)| last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = SeqSet::default();
        for seq in [5, 3, 9, 4] {
            assert!(set.insert(seq));
        }
        assert!(!set.insert(4));
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(3, 5), (9, 9)]);
        assert_eq!((set.last_gap(1, 20), set.last_gap(1, 9)), (Some((10, 20)), Some((6, 8))));
        assert_eq!((set.last_gap(3, 5), set.last_gap(0, 4)), (None, Some((0, 2))));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Range(u64, u64),
        Remove(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u64..100).prop_map(Step::Insert),
            3 => (0_u64..100, 0_u64..20).prop_map(|(first, len)| Step::Range(first, first + len)),
            1 => (0_u64..60).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set(steps in prop::collection::vec(step(), 0..60), at in 0_u64..130) {
            let (mut set, mut model) = (SeqSet::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(seq) => prop_assert_eq!(set.insert(seq), model.insert(seq)),
                    Step::Range(first, last) => {
                        set.insert_range(first, last);
                        model.extend(first..=last);
                    }
                    Step::Remove(last) => {
                        set.remove_through(last);
                        model.retain(|seq| last < *seq);
                    }
                }
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.last(), model.last().copied());
            prop_assert_eq!(set.contains(at), model.contains(&at));
            prop_assert_eq!(set.count_in(20, at), model.iter().filter(|seq| (20..=at).contains(*seq)).count() as u64);
            let all: Vec<u64> = set.ranges().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
            let end = (10..=at).rev().find(|seq| !model.contains(seq));
            let gap = end.map(|end| {
                let below = model.range(..end).next_back();
                (below.map_or(10, |below| 10.max(below + 1)), end)
            });
            prop_assert_eq!(set.last_gap(10, at), gap);
        }
    }
}
