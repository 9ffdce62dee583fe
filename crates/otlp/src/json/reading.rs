//! What all readers of one JSON request share: its limit, and what they have to say beside the result.

use std::cell::{Cell, RefCell};

use serde::de::Error;

use super::super::schema::{FieldSchema, Kind, Message, Presence};
use super::super::signal::Signal;
use super::super::unknown::unknown_key;

/// A request that is being read.
pub(super) struct Reading {
    signal: Signal,
    limit_bytes: u64,
    /// The size that was too large: an error of a reader cannot say what it is.
    refused: Cell<Option<u64>>,
    /// Records that cannot be read are passed over.
    salvages: bool,
    counts: Cell<Counts>,
    /// What to say of the first key around the records that is not known.
    unknown: RefCell<Option<String>>,
}

/// Records so far; counted only where some may be passed over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    kept: u64,
    rejected: u64,
}

impl Counts {
    /// Whether all records since then were rejected, and there were some.
    pub(super) const fn is_emptied_since(self, before: Self) -> bool {
        self.kept == before.kept && before.rejected < self.rejected
    }
}

impl Reading {
    pub(super) fn new(signal: Signal, limit_bytes: u64, salvages: bool) -> Self {
        Self {
            signal,
            limit_bytes,
            refused: Cell::default(),
            salvages,
            counts: Cell::default(),
            unknown: RefCell::default(),
        }
    }

    /// Refuses a result that has `more` bytes more than `out`.
    pub(super) fn check<E: Error>(&self, out: &[u8], more: usize) -> Result<(), E> {
        let bytes = out.len() as u64 + more as u64;
        if bytes <= self.limit_bytes {
            return Ok(());
        }
        self.refused.set(Some(bytes));
        Err(E::custom("the request is too large"))
    }

    /// The size that was too large.
    pub(super) const fn refused(&self) -> Option<u64> {
        self.refused.get()
    }

    /// The message of a list whose elements are to be read for themselves.
    pub(super) fn salvaged(&self, field: &FieldSchema) -> Option<Message> {
        match field.kind {
            Kind::Message(message)
                if self.salvages
                    && field.presence == Presence::Repeated
                    && (message.is_record() || message.has_records()) =>
            {
                Some(message)
            }
            _ => None,
        }
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Counts a record that could be read.
    pub(super) fn keep(&self) {
        let Counts { kept, rejected } = self.counts.get();
        self.counts.set(Counts { kept: kept + 1, rejected });
    }

    /// Takes back what was counted since then, and counts records as rejected.
    pub(super) fn reject(&self, before: Counts, records: u64) {
        let rejected = before.rejected + records;
        self.counts.set(Counts { kept: before.kept, rejected });
    }

    /// Records that were rejected.
    pub(super) const fn rejected(&self) -> u64 {
        self.counts.get().rejected
    }

    /// Notes a key that is ignored, if it is the first around the records.
    pub(super) fn note_unknown(&self, message: Message, key: &str) {
        if message.has_records() {
            let mut unknown = self.unknown.borrow_mut();
            unknown.get_or_insert_with(|| unknown_key(self.signal, message, key));
        }
    }

    /// What to say of the first unknown key around the records.
    pub(super) fn unknown(&self) -> Option<String> {
        self.unknown.take()
    }
}
