//! A part of a list of dead letters: sums by vault, sink and reason, or the letters one by one. Pure.

use std::collections::BTreeMap;

use gophership_control::proto;

use super::wire_letter;
use crate::component::Letter;

/// Letters, or groups of letters, that one answer has.
const ITEMS_MAX: usize = 1000;
/// Letters that one answer goes through, and their bytes.
const PASSED_MAX: usize = 10_000;
const PASSED_BYTES_MAX: usize = 32 << 20;

/// A part that is being put together.
pub(super) struct PartBuilder {
    groups: BTreeMap<(String, String, String), proto::LetterGroup>,
    letters: Vec<proto::DeadLetter>,
    is_each: bool,
    items_max: usize,
    passed: usize,
    bytes: usize,
}

impl PartBuilder {
    /// Begins one, of letters one by one or of sums, with no more items than `limit` if that is not 0.
    pub(super) fn new(is_each: bool, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let items_max = if is_each && limit != 0 { limit.min(ITEMS_MAX) } else { ITEMS_MAX };
        let (groups, letters) = (BTreeMap::new(), Vec::new());
        Self { groups, letters, is_each, items_max, passed: 0, bytes: 0 }
    }

    /// Whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.items_max <= self.groups.len() + self.letters.len()
            || PASSED_MAX <= self.passed
            || PASSED_BYTES_MAX <= self.bytes
    }

    /// A letter was gone through.
    pub(super) fn pass(&mut self, letter: &Letter) {
        self.passed += 1;
        self.bytes += letter.wire.len();
    }

    /// Adds a letter.
    pub(super) fn add(&mut self, vault: &str, letter: &Letter) {
        if self.is_each {
            self.letters.push(wire_letter(vault, letter));
            return;
        }
        let key = (vault.to_owned(), letter.sink_names(), letter.reason.clone());
        let at = letter.refused_unix_ms;
        let group = self.groups.entry(key).or_insert_with_key(|(vault, sink, reason)| {
            let (vault, sink, reason) = (vault.clone(), sink.clone(), reason.clone());
            let (oldest_unix_ms, newest_unix_ms) = (at, at);
            let empty = proto::LetterGroup::default();
            proto::LetterGroup { vault, sink, reason, oldest_unix_ms, newest_unix_ms, ..empty }
        });
        group.letters += 1;
        group.records += letter.records;
        group.bytes += letter.wire.len() as u64;
        group.oldest_unix_ms = group.oldest_unix_ms.min(at);
        group.newest_unix_ms = group.newest_unix_ms.max(at);
    }

    /// The answer, which goes on behind `next`.
    pub(super) fn answer(self, next: String) -> proto::ListDeadLettersResponse {
        let (groups, letters) = (self.groups.into_values().collect(), self.letters);
        proto::ListDeadLettersResponse { groups, letters, next, ..Default::default() }
    }
}
