//! The dynamic table of HPACK: the newest fields that a peer wants to be remembered, in bounded memory.
//!
//! Source: RFC 7541, sections 2.3.2 and 4.

use std::collections::VecDeque;

/// What each entry counts beside its name and value.
const ENTRY_BYTES: usize = 32;

/// The newest fields, at most `bytes_max` of them as the standard counts.
#[derive(Debug)]
pub(super) struct DynamicTable {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    changes: u64,
}

/// A name, and its value behind it.
#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    name_len: usize,
}

impl DynamicTable {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max, changes: 0 }
    }

    /// Counts everything that may change the meaning of an index.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry with this index, 0 for the newest.
    pub(super) fn get(&self, idx: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(idx)?;
        Some(entry.text.split_at(entry.name_len))
    }

    /// Adds an entry, and removes the oldest until it has room; one that is larger than the table empties
    /// it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        self.changes += 1;
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        if self.bytes_max < bytes {
            self.evict_to(0);
            return;
        }
        self.evict_to(self.bytes_max - bytes);
        let text = [name, value].concat().into_boxed_slice();
        self.entries.push_front(Entry { text, name_len: name.len() });
        self.bytes += bytes;
    }

    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.changes += 1;
        self.bytes_max = bytes_max;
        self.evict_to(bytes_max);
    }

    fn evict_to(&mut self, bytes: usize) {
        while bytes < self.bytes {
            let Some(entry) = self.entries.pop_back() else { break };
            self.bytes -= entry.text.len() + ENTRY_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let mut table = DynamicTable::new(100);
        table.insert(b"a", b"1");
        table.insert(b"b", b"2");
        assert_eq!(table.bytes(), 68);
        table.insert(b"c", b"3");
        assert_eq!(table.get(0), Some((&b"c"[..], &b"3"[..])));
        assert_eq!(table.get(1), Some((&b"b"[..], &b"2"[..])));
        assert_eq!(table.get(2), None);
        table.resize(40);
        assert_eq!((table.bytes(), table.get(1)), (34, None));
        table.insert(&[b'n'; 100], b"");
        assert_eq!((table.bytes(), table.get(0)), (0, None), "larger than the table");
    }
}
