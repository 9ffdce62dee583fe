//! A map of bounded size that forgets what was not used for longest, in two generations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keeps values by key, at least the `len_max / 2` used last and never more than `len_max`,
/// which is at least 2.
///
/// When the younger generation is full it becomes the older one, and the older is forgotten; what
/// is used moves to the younger.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_len_max: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Makes an empty map; memory is taken as it fills.
    pub(crate) fn new(len_max: usize) -> Self {
        let generation_len_max = (len_max / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), generation_len_max }
    }

    /// The value of a key, made if there is none.
    pub(crate) fn use_or_make(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.generation_len_max {
            std::mem::swap(&mut self.young, &mut self.old);
            // The key may have just become old: what was forgotten cannot be it.
            let kept = self.old.remove(&key).or_else(|| self.young.remove(&key));
            self.young.clear();
            return self.young.entry(key).or_insert_with(|| kept.unwrap_or_else(make));
        }
        let old = &mut self.old;
        match self.young.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let value = old.remove(entry.key()).unwrap_or_else(make);
                entry.insert(value)
            }
        }
    }

    /// How many values are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut recent = Recent::new(10);
        *recent.use_or_make(u64::MAX, || 0) = 7;
        for key in 0..1_000_u64 {
            recent.use_or_make(key, || 1);
            assert!(recent.len() <= 10, "{}", recent.len());
            assert_eq!(*recent.use_or_make(u64::MAX, || 0), 7, "after {key}");
        }
        let mut is_forgotten = false;
        recent.use_or_make(0, || {
            is_forgotten = true;
            1
        });
        assert!(is_forgotten);
    }

    #[test]
    fn what_is_used_when_the_generations_change_keeps_its_value() {
        let mut recent = Recent::new(4);
        for key in ['a', 'b', 'c', 'd'] {
            recent.use_or_make(key, || key);
        }
        assert_eq!(*recent.use_or_make('a', || 'x'), 'a');
        assert_eq!(*recent.use_or_make('b', || 'y'), 'y', "forgotten when the generations changed");
    }

    #[test]
    fn the_half_used_last_is_there() {
        for len_max in [1, 2, 3, 10] {
            let mut recent = Recent::new(len_max);
            for key in 0..100_usize {
                recent.use_or_make(key, || key);
                for known in (key + 1).saturating_sub(len_max / 2)..=key {
                    assert_eq!(recent.young.get(&known).or(recent.old.get(&known)), Some(&known));
                }
            }
        }
    }
}
