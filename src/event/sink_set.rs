//! Which sinks a copy of a request is for: one lane for each sink of the process.
//!
//! ```text
//!   source --- all lanes ---> edge of sink a   lane a
//!                         \-> edge of sink b   lane b --- full, or its backend is out
//!                         \-> vault            lane b     <-- what only b still needs
//! ```
//!
//! The vault keeps names, not numbers: a lane is a matter of one process.

use std::sync::Arc;
use std::sync::OnceLock;

/// Lanes of their own. Sinks beyond share the last lane, and are never told apart.
const OWN_LANES: usize = 63;

/// A set of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SinkSet(u64);

impl SinkSet {
    /// Whoever there is.
    pub const ALL: Self = Self(u64::MAX);
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// The one that sinks beyond the 63rd share.
    pub const SHARED: Self = Self(1 << OWN_LANES);

    /// Whether no lane is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lanes in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The lanes in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The lanes in this set only.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether some lane is in both sets.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// Which sink has which lane; a sink keeps its lane as long as the process lives, also under another
/// name. Takes no lock.
#[derive(Debug)]
pub struct SinkTable([OnceLock<Name>; OWN_LANES]);

/// A name, and what the sink was called after that.
#[derive(Debug)]
struct Name {
    text: Arc<str>,
    later: OnceLock<Box<Self>>,
}

impl Name {
    fn new(sink: &str) -> Self {
        Self { text: sink.into(), later: OnceLock::new() }
    }

    /// The last of its names.
    fn last(&self) -> &Self {
        let mut name = self;
        while let Some(later) = name.later.get() {
            name = later;
        }
        name
    }

    fn is(&self, sink: &str) -> bool {
        *self.last().text == *sink
    }
}

impl Default for SinkTable {
    fn default() -> Self {
        Self([const { OnceLock::new() }; OWN_LANES])
    }
}

impl SinkTable {
    /// The lane of a sink, which it gets now if it has none.
    #[must_use]
    pub fn lane(&self, sink: &str) -> SinkSet {
        let has = |slot: &OnceLock<Name>| slot.get_or_init(|| Name::new(sink)).is(sink);
        let found = self.find(sink);
        found.unwrap_or_else(|| self.0.iter().position(has).map_or(SinkSet::SHARED, nth))
    }

    /// The lane of a sink that has one of its own.
    #[must_use]
    pub fn find(&self, sink: &str) -> Option<SinkSet> {
        let has = |slot: &OnceLock<Name>| slot.get().is_some_and(|name| name.is(sink));
        self.0.iter().position(has).map(nth)
    }

    /// Gives a sink that has no lane the one that it had under another name: what is on its way for that
    /// name comes to it from now on. Does nothing if the other name has no lane.
    pub fn rename(&self, former: &str, sink: &str) {
        if self.find(sink).is_some() {
            return;
        }
        let name = self.0.iter().filter_map(OnceLock::get).find(|name| name.is(former));
        if let Some(name) = name {
            // Reloads come one after the other, so nobody else gives it a name now.
            let _given = name.last().later.set(Box::new(Name::new(sink)));
        }
    }

    /// The sinks of a set of lanes.
    pub fn names(&self, sink_set: SinkSet) -> impl Iterator<Item = &str> + Clone {
        let mut left = sink_set.0;
        let own = std::iter::from_fn(move || {
            let idx = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(self.0.get(idx))
        });
        own.flatten().filter_map(|slot| slot.get().map(|name| &*name.last().text))
    }
}

const fn nth(idx: usize) -> SinkSet {
    SinkSet(1 << idx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sink_keeps_a_lane_of_its_own_as_long_as_there_are_some() {
        let table = SinkTable::default();
        let (a, b) = (table.lane("a"), table.lane("b"));
        assert!(!a.meets(b) && table.lane("a") == a && table.find("b") == Some(b));
        assert_eq!(table.names(a.or(b)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(table.names(SinkSet::ALL.without(a)).collect::<Vec<_>>(), ["b"]);
        for sink in 2..OWN_LANES {
            assert_ne!(table.lane(&sink.to_string()), SinkSet::SHARED);
        }
        assert_eq!((table.lane("more"), table.find("more")), (SinkSet::SHARED, None));
        assert_eq!(table.lane("a"), a);
    }

    #[test]
    fn a_sink_keeps_its_lane_under_another_name() {
        let table = SinkTable::default();
        let (a, b) = (table.lane("a"), table.lane("b"));
        table.rename("a", "c");
        table.rename("c", "d");
        assert_eq!((table.find("a"), table.find("c"), table.find("d")), (None, None, Some(a)));
        assert_eq!(table.names(a.or(b)).collect::<Vec<_>>(), ["d", "b"]);
        table.rename("d", "b");
        assert_eq!((table.lane("b"), table.lane("d")), (b, a), "b has one");
        assert!(!table.lane("a").meets(a.or(b)), "who is called that later is another");
        table.rename("nobody", "e");
        assert_eq!(table.find("e"), None);
    }
}
