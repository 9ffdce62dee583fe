//! What is redacted in a request: texts by patterns, values by their keys.

use gophership_otlp::Fate;
use gophership_otlp::Position;
use gophership_otlp::Rewrite;
use gophership_otlp::scratch;
use prometheus::IntCounter;

use super::Action;
use super::RedactConfig;
use super::glob;
use super::hash::Hasher;
use super::pattern::Pattern;

/// Decides what is redacted, and counts it.
pub(super) struct Redactor {
    patterns: Vec<(Pattern, IntCounter)>,
    keys: Vec<String>,
    ignore_keys: Vec<String>,
    places: Vec<Position>,
    stand_in: StandIn,
    by_key: IntCounter,
    /// Where each pattern matched in one text, kept for its memory.
    found: Vec<(usize, usize, usize)>,
    /// So many places may be found in one text.
    found_max: usize,
    /// More were.
    is_over: bool,
    /// What was found in this request, by pattern and by key: counted once it is done.
    matches: Vec<u64>,
    matches_by_key: u64,
}

impl Redactor {
    pub(super) fn new(
        config: &RedactConfig,
        hasher: Option<Hasher>,
        patterns: Vec<(Pattern, IntCounter)>,
        by_key: IntCounter,
    ) -> Self {
        Self {
            matches: vec![0; patterns.len()],
            patterns,
            keys: config.keys.clone(),
            ignore_keys: config.ignore_keys.clone(),
            places: config.places.iter().map(|name| name.place()).collect(),
            stand_in: StandIn { action: config.action, mask: config.mask.clone(), hasher },
            by_key,
            found: Vec::new(),
            found_max: usize::MAX,
            is_over: false,
            matches_by_key: 0,
        }
    }

    /// Begins a request, with so much memory for what is found in one text.
    pub(super) fn begin(&mut self, room: usize) {
        // A vector that grows moves into one twice as large.
        let place_bytes = size_of::<(usize, usize, usize)>() * 3;
        (self.found_max, self.is_over) = (room / place_bytes, false);
        scratch::reset(&mut self.found);
        self.matches.fill(0);
        self.matches_by_key = 0;
    }

    /// Whether more was found than there was memory for.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// What was counted so far, by pattern and by key.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (Vec<u64>, u64) {
        let of = |(_, counter): &(Pattern, IntCounter)| counter.get();
        (self.patterns.iter().map(of).collect(), self.by_key.get())
    }

    /// The request is done: counts what was found.
    pub(super) fn count(&mut self) {
        scratch::reset(&mut self.found);
        self.by_key.inc_by(self.matches_by_key);
        for ((_, counter), matches) in self.patterns.iter().zip(&self.matches) {
            counter.inc_by(*matches);
        }
    }
}

/// What stands in the place of what was found.
struct StandIn {
    action: Action,
    mask: String,
    /// Set if the action is to hash.
    hasher: Option<Hasher>,
}

impl StandIn {
    fn put(&self, value: &[u8], out: &mut Vec<u8>) {
        match (self.action, &self.hasher) {
            (Action::Hash, Some(hasher)) => hasher.put(value, out),
            (Action::Remove, _) => {}
            (Action::Mask | Action::Hash, _) => out.extend_from_slice(self.mask.as_bytes()),
        }
    }
}

impl Rewrite for Redactor {
    fn enters(&self, place: Position) -> bool {
        self.places.contains(&place)
    }

    fn entry(&mut self, key: &[u8]) -> Fate {
        let is_in = |globs: &[String]| globs.iter().any(|glob| glob::matches(glob.as_bytes(), key));
        if is_in(&self.ignore_keys) {
            Fate::Leave
        } else if !is_in(&self.keys) {
            Fate::Look
        } else if self.stand_in.action == Action::Remove {
            self.matches_by_key += 1;
            Fate::Remove
        } else {
            Fate::Replace
        }
    }

    fn replace(&mut self, value: &[u8], out: &mut Vec<u8>) {
        self.matches_by_key += 1;
        self.stand_in.put(value, out);
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let Self { patterns, found, found_max, is_over, matches: counts, stand_in, .. } = self;
        found.clear();
        for (idx, (pattern, _)) in patterns.iter().enumerate() {
            pattern.find(text, |place| {
                if *found_max <= found.len() {
                    *is_over = true;
                } else if !place.is_empty() {
                    found.push((place.start, place.end, idx));
                }
            });
        }
        if found.is_empty() {
            return false;
        }
        found.sort_unstable();
        let (mut at, mut matches) = (0, found.iter().copied().peekable());
        while let Some((start, mut end, idx)) = matches.next() {
            // What overlaps is one place, found by the first: nothing of either may be left.
            while let Some((_, other_end, _)) = matches.next_if(|(other, _, _)| *other < end) {
                end = end.max(other_end);
            }
            out.extend_from_slice(&text[at..start]);
            stand_in.put(&text[start..end], out);
            if let Some(count) = counts.get_mut(idx) {
                *count += 1;
            }
            at = end;
        }
        out.extend_from_slice(&text[at..]);
        true
    }
}
