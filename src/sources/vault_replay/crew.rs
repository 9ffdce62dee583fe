//! One reader for each sink: their cursors, and what all of them together are done with.
//!
//! ```text
//!   vault --- cursor of sink a ---> what a still needs
//!        \--- cursor of sink b ---> what b still needs, however far a is
//! ```
//!
//! The vault keeps a segment until every cursor has passed it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::retire::Former;
use crate::config::ComponentId;
use crate::event::Bucket;
use crate::event::Lanes;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Signal;
use crate::event::SinkId;
use crate::vault::CursorHandle;
use crate::vault::Log;
use crate::vault::Order;
use crate::vault::Reader;
use crate::vault::VaultError;

/// Between the id of the replay and that of the sink; no id has capitals.
const BETWEEN: &str = ".TO.";
/// The longest name of a cursor.
const NAME_LEN_MAX: usize = 64;
/// Of it, the part that names the replay.
const REPLAY_LEN_MAX: usize = 32;
/// 96 bits: no two of some dozen names have the same.
const FINGERPRINT_LEN: usize = 24;

/// The cursors of one replay.
pub(super) struct Crew {
    /// One for each sink, and for each that was one until it is let go of; the lock makes one of those
    /// that acknowledge a record the last.
    holders: Mutex<Vec<Holder>>,
    /// Requests stay unacknowledged in the vault that no reader gives out again.
    has_left: AtomicBool,
    /// They may be read again.
    again: AtomicBool,
}

/// A cursor that keeps records in the books.
struct Holder {
    cursor: CursorHandle,
    /// It needs nothing that is stored later.
    until: u64,
}

/// What reads for one sink.
pub(super) struct Member {
    pub(super) lane: Lanes,
    /// Its row in the books.
    pub(super) sink: SinkId,
    pub(super) reader: Reader,
}

/// All that read.
pub(super) struct Opened {
    pub(super) crew: Arc<Crew>,
    pub(super) members: Vec<Member>,
    /// Cursors of sinks that are there no more; to be let go of.
    pub(super) formers: Vec<Former>,
}

impl Crew {
    /// Opens a reader for each sink, each on a cursor of its own, which it keeps however many others come
    /// and go. A sink that is new begins where the slowest is. Blocks.
    pub(super) fn open(
        log: &Arc<Log>,
        replay: &ComponentId,
        sinks: &[(String, Lanes)],
        order: Order,
        ledgers: &Ledgers,
    ) -> Result<Opened, VaultError> {
        let own = own_cursors(log, replay);
        let slowest = log.slowest_of(&own);
        let mut members = Vec::new();
        for (sink, lane) in sinks {
            let name = cursor_name(replay, sink);
            if let Some(slowest) = &slowest {
                log.copy_cursor(slowest, &name)?;
            }
            let reader = Reader::open_in(log, &name, order)?;
            members.push(Member { lane: *lane, sink: ledgers.sink(sink), reader });
        }
        let is_old = |name: &&String| !members.iter().any(|member| member.reader.name() == **name);
        let mut formers = Vec::new();
        for name in own.iter().filter(is_old) {
            let (reader, until) = (Reader::open(log, name)?, log.durable_seq());
            formers.push(Former { reader, until });
        }
        let holders = members
            .iter()
            .map(|member| Holder { cursor: member.reader.handle(), until: u64::MAX })
            .chain(
                formers
                    .iter()
                    .map(|former| Holder { cursor: former.reader.handle(), until: former.until }),
            )
            .collect();
        let (has_left, again) = (AtomicBool::new(false), AtomicBool::new(false));
        let crew = Arc::new(Self { holders: Mutex::new(holders), has_left, again });
        Ok(Opened { crew, members, formers })
    }

    /// Acknowledges a record for one cursor; once all have it, the vault's copy leaves the books.
    pub(super) fn ack(
        &self,
        cursor: &CursorHandle,
        seq: u64,
        ledger: &Ledger,
        booked: (Signal, u64),
    ) {
        let (signal, records) = booked;
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        cursor.ack(seq);
        if holders.iter().all(|holder| holder.until < seq || holder.cursor.has(seq)) {
            ledger.withdraw(signal, Bucket::Vaulted, records);
        }
    }

    /// Waits no more for a former sink, which has passed all it had to.
    pub(super) fn dismiss(&self, cursor: &CursorHandle) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|holder| !holder.cursor.is_of(cursor));
    }

    /// A request that belongs into the dead-letter store stays in the vault, because that has no room.
    pub(super) fn leave(&self) {
        if !self.has_left.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "Dead-letter store takes nothing: what backends refuse for good stays in the vault."
            );
        }
    }

    /// The dead-letter store took something.
    pub(super) fn has_buried(&self) {
        if self.has_left.load(Ordering::Relaxed) {
            self.again.store(true, Ordering::Relaxed);
        }
    }

    /// Whether to open the readers again, which then give out what was left.
    pub(super) fn wants_again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }
}

/// The cursors that a replay has made: one for each sink. One that is named like the replay itself is
/// of a version that had no other for a sink that was alone.
fn own_cursors(log: &Log, replay: &ComponentId) -> Vec<String> {
    let prefix = prefix(replay);
    let is_own = |name: &String| name == replay.as_str() || name.starts_with(&prefix);
    log.cursors().into_iter().filter(is_own).collect()
}

/// The name of a sink's cursor; what would be too long becomes a fingerprint.
fn cursor_name(replay: &ComponentId, sink: &str) -> String {
    let prefix = prefix(replay);
    let room = NAME_LEN_MAX - prefix.len();
    format!("{prefix}{}", fitting(sink, room))
}

/// How the names of a replay's cursors begin.
fn prefix(replay: &ComponentId) -> String {
    format!("{}{BETWEEN}", fitting(replay.as_str(), REPLAY_LEN_MAX))
}

/// A text, or a fingerprint of it where it is longer than there is room.
fn fitting(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    blake3::hash(text.as_bytes()).to_hex().chars().take(room.min(FINGERPRINT_LEN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cursors_fit_and_are_told_apart() {
        let id = |text: &str| text.parse::<ComponentId>().unwrap();
        assert_eq!(cursor_name(&id("replay"), "backend"), "replay.TO.backend");
        let long = "b".repeat(64);
        let name = cursor_name(&id("replay"), &long);
        assert!(name.len() <= NAME_LEN_MAX && name.starts_with("replay.TO."), "{name}");
        assert_ne!(name, cursor_name(&id("replay"), &"c".repeat(64)));
        let longest = id(&"a".repeat(64));
        assert_ne!(cursor_name(&longest, "x"), cursor_name(&longest, "y"));
        assert!(cursor_name(&longest, &long).starts_with(&prefix(&longest)));
        assert!(cursor_name(&longest, &long).len() <= NAME_LEN_MAX);
    }
}
