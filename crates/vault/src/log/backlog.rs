//! What waits for delivery: the records that a cursor has not acknowledged.

use crate::log::cursor::Cursor;
use crate::log::cursor::CursorHandle;
use crate::log::cursor::is_copy_cursor;
use crate::log::view::Log;
use crate::log::view::LogState;
use crate::state::lock;

/// What a cursor, or the slowest cursor, has not acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Durable records not acknowledged.
    pub records: u64,
    /// Their bytes on disk, estimated from the segments they lie in.
    pub stored_bytes: u64,
}

impl Log {
    /// Returns the backlog of the slowest cursor that waits for delivery, or nothing when none exists.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let state = lock(&self.state);
        let durable = self.durable_seq();
        let waiting = state.cursors.iter().filter(|(name, _)| !is_copy_cursor(name));
        let backlogs = waiting.map(|(_, cursor)| backlog(&state, cursor, durable));
        backlogs.max_by_key(|backlog| backlog.records).unwrap_or_default()
    }

    /// Returns the bytes of all records before compression, and as they lie on disk, with their attributes.
    #[must_use]
    pub fn content_bytes(&self) -> [u64; 2] {
        let state = lock(&self.state);
        let infos = state.segments.values().map(|listed| &listed.info);
        infos.fold([0, 0], |[raw, stored], info| [raw + info.raw_bytes, stored + info.stored_bytes])
    }

    /// Returns when the oldest record was appended that a cursor waits for, in nanoseconds since 1970; `None` without
    /// a backlog. Estimated: the records of a segment are taken as spread evenly over its time, which ends with the
    /// next segment, or at `now_unix_ns`.
    #[must_use]
    pub fn oldest_waiting(&self, now_unix_ns: u64) -> Option<u64> {
        let state = lock(&self.state);
        let waiting = state.cursors.iter().filter(|(name, _)| !is_copy_cursor(name));
        let first = waiting.map(|(_, cursor)| lock(&cursor.acks).low() + 1).min()?;
        appended(&state, first, self.durable_seq(), now_unix_ns)
    }

    /// Returns the same for one cursor of this log.
    #[must_use]
    pub fn oldest_behind(&self, cursor: &CursorHandle, now_unix_ns: u64) -> Option<u64> {
        let state = lock(&self.state);
        let first = lock(&cursor.cursor.acks).low() + 1;
        appended(&state, first, self.durable_seq(), now_unix_ns)
    }

    /// Returns the backlog of one cursor of this log.
    #[must_use]
    pub fn backlog_behind(&self, cursor: &CursorHandle) -> Backlog {
        self.backlog_of(&cursor.cursor)
    }

    /// Returns the backlog of one cursor.
    pub(crate) fn backlog_of(&self, cursor: &Cursor) -> Backlog {
        backlog(&lock(&self.state), cursor, self.durable_seq())
    }
}

/// When a record was appended, estimated; `None` if it is not there or not durable.
fn appended(state: &LogState, first: u64, durable: u64, now_unix_ns: u64) -> Option<u64> {
    if durable < first {
        return None;
    }
    let mut segments = state.segments.values().map(|listed| &listed.info);
    let segment =
        segments.find(|info| first <= info.last_seq && info.first_seq <= info.last_seq)?;
    let end = segments.next().map_or(now_unix_ns, |next| next.created_unix_ns);
    let lasted = u128::from(end.saturating_sub(segment.created_unix_ns));
    let count = u128::from(segment.last_seq + 1 - segment.first_seq);
    let before = u128::from(first.saturating_sub(segment.first_seq));
    let after = u64::try_from(lasted * before / count).unwrap_or(0);
    Some(segment.created_unix_ns.saturating_add(after).min(now_unix_ns))
}

fn backlog(state: &LogState, cursor: &Cursor, durable_seq: u64) -> Backlog {
    let acks = lock(&cursor.acks);
    let mut stored_bytes = 0;
    for listed in state.segments.values() {
        let info = &listed.info;
        let count = (info.last_seq + 1).saturating_sub(info.first_seq);
        if count == 0 {
            continue;
        }
        let left = count - acks.count_in(info.first_seq, info.last_seq);
        let share = u128::from(info.stored_bytes) * u128::from(left) / u128::from(count);
        stored_bytes += u64::try_from(share).unwrap_or(info.stored_bytes);
    }
    let records = durable_seq.saturating_sub(acks.low()).saturating_sub(acks.above().len());
    Backlog { records, stored_bytes: if records == 0 { 0 } else { stored_bytes } }
}
