//! A list of changes to a request, applied in one copy.
//!
//! Everything between two changes is copied as one range, whatever it holds. The lengths of the
//! messages around a change are changes too: [`Patches::open`] keeps a place in the list for the
//! length before the changes inside a message are known, [`Patches::close`] fills it.

use std::ops::Range;

use bytes::Bytes;

use super::wire::{Field, put_varint, varint_len};

/// One change: `remove` bytes at `at` give way to a range of the arena.
#[derive(Debug)]
struct Patch {
    at: usize,
    remove: usize,
    insert: Range<usize>,
}

/// Changes to a request, in the order of their places unless `close` says otherwise.
#[derive(Debug, Default)]
pub(super) struct Patches {
    list: Vec<Patch>,
    /// The new bytes of all patches, one after another.
    arena: Vec<u8>,
}

/// A place in the list kept for the length of a message.
#[derive(Debug)]
pub(super) struct Slot(usize);

impl Patches {
    /// Replaces `span` by what `write` appends; returns by how many bytes the request grows.
    pub(super) fn replace(
        &mut self,
        span: Range<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> isize {
        let start = self.arena.len();
        write(&mut self.arena);
        let insert = start..self.arena.len();
        let delta = difference(insert.len(), span.len());
        self.list.push(Patch { at: span.start, remove: span.len(), insert });
        delta
    }

    /// Keeps a place for the length of the message in `field`.
    pub(super) fn open(&mut self, field: &Field) -> Slot {
        let at = field.key_end;
        let insert = self.arena.len()..self.arena.len();
        self.list.push(Patch { at, remove: 0, insert });
        Slot(self.list.len() - 1)
    }

    /// Ends the message in `field`, whose content grew by `delta`; returns by how many bytes the
    /// whole field grows.
    pub(super) fn close(&mut self, slot: &Slot, field: &Field, delta: isize) -> isize {
        if slot.0 + 1 == self.list.len() {
            self.list.pop();
            return 0;
        }
        if delta == 0 {
            return 0;
        }
        let old = field.value - field.key_end;
        let len = (field.span().len().saturating_add_signed(delta)) as u64;
        let start = self.arena.len();
        put_varint(&mut self.arena, len);
        let insert = start..self.arena.len();
        self.list[slot.0] = Patch { at: field.key_end, remove: old, insert };
        delta + difference(varint_len(len), old)
    }

    /// Forgets everything since `slot` was kept and removes the whole field instead.
    pub(super) fn remove_instead(&mut self, slot: &Slot, field: &Field) -> isize {
        self.list.truncate(slot.0);
        self.replace(field.start..field.end, |_| ())
    }

    /// Forgets all changes and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.arena.clear();
    }

    /// The request with all changes made; the very same bytes when there are none.
    pub(super) fn apply(&mut self, source: &Bytes) -> Bytes {
        if self.list.is_empty() {
            return source.clone();
        }
        // A resource or scope behind its children is handled before them.
        if !self.list.is_sorted_by_key(|patch| patch.at) {
            self.list.sort_by_key(|patch| patch.at);
        }
        let inserted: usize = self.list.iter().map(|patch| patch.insert.len()).sum();
        let removed: usize = self.list.iter().map(|patch| patch.remove).sum();
        let mut out = Vec::with_capacity(source.len() + inserted - removed);
        let mut at = 0;
        for patch in &self.list {
            out.extend_from_slice(&source[at..patch.at]);
            out.extend_from_slice(&self.arena[patch.insert.clone()]);
            at = patch.at + patch.remove;
        }
        out.extend_from_slice(&source[at..]);
        out.into()
    }
}

fn difference(new: usize, old: usize) -> isize {
    new.cast_signed() - old.cast_signed()
}
