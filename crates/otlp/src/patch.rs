//! A list of changes to a request, applied in one copy.
//!
//! Everything between two changes is copied as one range, whatever it holds. The lengths of the
//! messages around a change are changes too: [`Patches::open`] keeps a place in the list for the
//! length before the changes inside a message are known, [`Patches::close`] fills it.
//!
//! A few bytes on the wire can ask for a change each, and a change takes more memory than they do. So a
//! list has room for so many bytes, its result included, and beyond that it fails.

use std::ops::Range;

use bytes::Bytes;

use super::error::{LocatedFault, WireError, WireFaultKind};
use super::locate::malformed;
use super::signal::Signal;
use super::wire::{Field, put_varint, varint_len};
use crate::scratch;

/// A vector that grows moves from its old place into one twice as large: for a moment it has three bytes
/// for each that is used.
pub(super) const GROWTH: usize = 3;

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
    /// What it may take, in bytes.
    room: usize,
    /// What is used beside it, at most.
    beside: usize,
    /// It would take more: whatever else comes is not noted.
    is_over: bool,
}

/// A place in the list kept for the length of a message.
#[derive(Debug)]
pub(super) struct LengthSlot(usize);

impl Patches {
    /// Replaces `span` by what `write` appends; returns by how many bytes the request grows.
    pub(super) fn replace(
        &mut self,
        span: Range<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> isize {
        if self.is_over {
            return 0;
        }
        let start = self.arena.len();
        write(&mut self.arena);
        let insert = start..self.arena.len();
        let delta = difference(insert.len(), span.len());
        self.push(Patch { at: span.start, remove: span.len(), insert });
        delta
    }

    fn push(&mut self, patch: Patch) {
        self.list.push(patch);
        self.is_over |= self.room < self.bytes();
    }

    /// What it may take at its largest.
    fn bytes(&self) -> usize {
        let used = self.list.len() * size_of::<Patch>() + self.arena.len() + self.beside;
        used.saturating_mul(GROWTH)
    }

    /// Counts something of so many bytes that is used beside the list.
    pub(super) fn count_beside(&mut self, bytes: usize) {
        self.beside = self.beside.max(bytes);
        self.is_over |= self.room < self.bytes();
    }

    /// Keeps a place for the length of the message in `field`.
    pub(super) fn open(&mut self, field: &Field) -> LengthSlot {
        let at = field.key_end;
        let insert = self.arena.len()..self.arena.len();
        if !self.is_over {
            self.push(Patch { at, remove: 0, insert });
        }
        LengthSlot(self.list.len() - 1)
    }

    /// Ends the message in `field`, whose content grew by `delta`; returns by how many bytes the
    /// whole field grows.
    pub(super) fn close(&mut self, slot: &LengthSlot, field: &Field, delta: isize) -> isize {
        if self.is_over {
            return 0;
        }
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
    pub(super) fn remove_instead(&mut self, slot: &LengthSlot, field: &Field) -> isize {
        if self.is_over {
            return 0;
        }
        self.list.truncate(slot.0);
        self.replace(field.start..field.end, |_| ())
    }

    /// Begins a list that has room for so many bytes, its result included.
    pub(super) fn begin(&mut self, room: usize) {
        (self.room, self.beside, self.is_over) = (room, 0, false);
    }

    /// The request after a pass over it, with all changes made; the very same bytes when there are none.
    /// Forgets the changes, and keeps a little of the memory.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] for a fault that the pass found, [`WireError::NoRoom`].
    pub(super) fn finish(
        &mut self,
        signal: Signal,
        source: &Bytes,
        pass: Result<(), LocatedFault>,
    ) -> Result<Bytes, WireError> {
        let no_room = WireError::NoRoom { room_bytes: self.room };
        let result = match pass {
            Err(LocatedFault { kind: WireFaultKind::NoRoom, .. }) => Err(no_room),
            _ if self.is_over => Err(no_room),
            Err(fault) => Err(malformed(signal, source, fault)),
            Ok(()) => self.apply(source).ok_or(no_room),
        };
        scratch::reset(&mut self.list);
        scratch::reset(&mut self.arena);
        result
    }

    fn apply(&mut self, source: &Bytes) -> Option<Bytes> {
        if self.list.is_empty() {
            return Some(source.clone());
        }
        // A resource or scope behind its children is handled before them.
        if !self.list.is_sorted_by_key(|patch| patch.at) {
            self.list.sort_by_key(|patch| patch.at);
        }
        let inserted: usize = self.list.iter().map(|patch| patch.insert.len()).sum();
        let removed: usize = self.list.iter().map(|patch| patch.remove).sum();
        let len = source.len() + inserted - removed;
        if self.room < self.bytes().saturating_add(len) {
            return None;
        }
        let mut out = Vec::with_capacity(len);
        let mut at = 0;
        for patch in &self.list {
            out.extend_from_slice(&source[at..patch.at]);
            out.extend_from_slice(&self.arena[patch.insert.clone()]);
            at = patch.at + patch.remove;
        }
        out.extend_from_slice(&source[at..]);
        Some(out.into())
    }
}

fn difference(new: usize, old: usize) -> isize {
    new.cast_signed() - old.cast_signed()
}
