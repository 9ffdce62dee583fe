//! Follows a vault from a durable cursor: every durable record, at least once, oldest first or newest
//! segment first (`newest.rs`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::VaultError;
use crate::log::backlog::Backlog;
use crate::log::cursor;
use crate::log::cursor::CURSOR_DIR;
use crate::log::cursor::Cursor;
use crate::log::cursor::CursorHandle;
use crate::log::cursor::OUTSTANDING_MAX;
use crate::log::view::Log;
use crate::log::view::TailView;
use crate::read::span::Span;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::segment::scan::Located;
use crate::segment::scan::ScanItem;
use crate::segment::scan::Scanner;
use crate::segment::stored;
use crate::segment::stored::StoredRecord;
use crate::state::lock;

/// A buffer above this size is not kept between records.
const BODY_KEPT_BYTES_MAX: usize = 4 << 20;

/// Which records come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadOrder {
    /// As they were appended.
    #[default]
    OldestFirst,
    /// The newest segment first; inside a segment as they were appended.
    NewestFirst,
}

/// Reads the records of a vault that its cursor has not acknowledged.
pub struct Reader {
    pub(crate) log: Arc<Log>,
    pub(crate) cursor: Arc<Cursor>,
    order: ReadOrder,
    pub(crate) current: Option<(SegmentId, Scanner)>,
    /// Oldest first: seq of the next record to look at.
    pub(crate) next_seq: u64,
    /// Oldest first: a record found but not yet allowed, as too many are outstanding.
    held: Option<Located>,
    /// Newest first: what is being read.
    pub(crate) span: Option<Span>,
    body: Vec<u8>,
    /// Whether it no longer waits for anything.
    is_hurried: Arc<AtomicBool>,
}

/// Ends the waiting of one [`Reader`] for good, from any thread.
#[derive(Debug, Clone)]
pub struct WaitEnd {
    log: Arc<Log>,
    is_hurried: Arc<AtomicBool>,
}

impl WaitEnd {
    /// Lets [`Reader::wait`] return now, and from now on without waiting.
    pub fn end(&self) {
        self.is_hurried.store(true, Ordering::Release);
        self.log.wake_readers();
    }
}

/// What a record turned out to be.
enum Taken {
    Record(StoredRecord),
    Skipped,
    MustWait,
}

impl Reader {
    /// Opens a reader on a named cursor. A new name is made durably and starts at the oldest record;
    /// from then on it holds back deletion.
    ///
    /// # Errors
    ///
    /// [`VaultError::CursorName`], [`VaultError::CursorInUse`] or [`VaultError::Io`].
    pub fn open(log: &Arc<Log>, name: &str) -> Result<Self, VaultError> {
        Self::open_in(log, name, ReadOrder::OldestFirst)
    }

    /// As [`Reader::open`], in the order asked for. A cursor may be read in another order each time.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn open_in(log: &Arc<Log>, name: &str, order: ReadOrder) -> Result<Self, VaultError> {
        cursor::check_name(name)?;
        let known = lock(&log.state).cursors.get(name).cloned();
        let cursor = match known {
            Some(cursor) => cursor,
            None => log.register_cursor(name)?,
        };
        if cursor.is_open.swap(true, Ordering::AcqRel) {
            return Err(VaultError::CursorInUse { name: name.to_owned() });
        }
        let next_seq = lock(&cursor.acks).low() + 1;
        let log = Arc::clone(log);
        let (current, held, span, body) = (None, None, None, Vec::new());
        let is_hurried = Arc::default();
        Ok(Self { log, cursor, order, current, next_seq, held, span, body, is_hurried })
    }

    /// Returns the next record that is durable and not acknowledged, or `None` when there is none now,
    /// or while 4,096 wait for their acknowledgement. One that is never acknowledged is not in the
    /// way of those behind it.
    ///
    /// Damaged records are skipped, counted and reported: they are never returned and never block.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`] when a segment cannot be opened; the call may be repeated.
    #[expect(clippy::should_implement_trait, reason = "errors and later records fit no iterator")]
    pub fn next(&mut self) -> Result<Option<StoredRecord>, VaultError> {
        match self.order {
            ReadOrder::OldestFirst => self.next_oldest(),
            ReadOrder::NewestFirst => self.next_newest(),
        }
    }

    fn next_oldest(&mut self) -> Result<Option<StoredRecord>, VaultError> {
        loop {
            if let Some(record) = self.held.take() {
                match self.take(record)? {
                    Taken::Record(record) => return Ok(Some(record)),
                    Taken::Skipped => continue,
                    Taken::MustWait => {
                        self.held = Some(record);
                        return Ok(None);
                    }
                }
            }
            let Some((id, view)) = self.enter()? else { return Ok(None) };
            let Some((_, scanner)) = &mut self.current else { return Ok(None) };
            scanner.extend(view.data_end);
            let limit = view.next_first_seq.unwrap_or(u64::MAX).min(view.last_seq + 1);
            let found = scanner.next();
            self.bear_read_error()?;
            match found {
                ScanItem::Record(record) if record.header.seq < limit => {
                    self.held = (self.next_seq <= record.header.seq).then_some(record);
                }
                ScanItem::Watermark(_) => {}
                ScanItem::Fault(fault) => {
                    if fault.lost.is_none_or(|(first, _)| first < limit) {
                        self.log.report(fault);
                    }
                }
                ScanItem::Record(_) | ScanItem::End | ScanItem::Torn => {
                    if !self.leave(id, &view, limit - 1)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Returns what ends its waiting.
    #[must_use]
    pub fn wait_end(&self) -> WaitEnd {
        WaitEnd { log: Arc::clone(&self.log), is_hurried: Arc::clone(&self.is_hurried) }
    }

    /// Waits until more is durable, the time is over or [`WaitEnd::end`] is called. Returns whether more is
    /// durable.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let next_seq = match self.order {
            ReadOrder::OldestFirst => self.next_seq,
            ReadOrder::NewestFirst => self.newest_next_seq(),
        };
        self.log.wait_for(next_seq, timeout, &self.is_hurried)
    }

    /// Acknowledges one record, in any order; repeating it does nothing.
    pub fn ack(&mut self, seq: u64) {
        self.handle().ack(seq);
    }

    /// Returns the name of its cursor.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cursor.name
    }

    /// Returns a handle that acknowledges from any thread.
    #[must_use]
    pub fn handle(&self) -> CursorHandle {
        CursorHandle { cursor: Arc::clone(&self.cursor) }
    }

    /// Makes the acknowledgements so far durable, in place: needs no free space. Until then they are
    /// repeated after a crash and hold back deletion.
    ///
    /// # Errors
    ///
    /// [`VaultError::Io`]; the last saved state stays valid and the call may be repeated.
    pub fn save(&mut self) -> Result<(), VaultError> {
        let path = self.log.dir.join(CURSOR_DIR).join(&self.cursor.name);
        self.cursor.save().map_err(VaultError::io("save cursor", &path))
    }

    /// Returns the number of acknowledgements since the last [`Reader::save`]: what a crash now would
    /// repeat, beside what is not acknowledged.
    #[must_use]
    pub fn unsaved(&self) -> u64 {
        self.cursor.unsaved.load(Ordering::Relaxed)
    }

    /// Returns what is durable and not acknowledged.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.log.backlog_of(&self.cursor)
    }

    /// At the end of what can be read here: passes what is lost, and moves on if there is a next
    /// segment. Returns whether to look again.
    fn leave(&mut self, id: SegmentId, view: &TailView, last_seq: u64) -> Result<bool, VaultError> {
        let Some((_, scanner)) = &mut self.current else { return Ok(false) };
        let seen = scanner.last_seq().unwrap_or(0);
        if seen < last_seq {
            self.log.report(scanner.tail_fault(FaultKind::Tail, Some((seen + 1, last_seq))));
            scanner.skip_to_end(last_seq);
        }
        if self.next_seq <= last_seq {
            lock(&self.cursor.acks).pass(self.next_seq, last_seq);
            self.next_seq = last_seq + 1;
        }
        debug_assert!(view.first_seq <= last_seq + 1, "a segment ends after it starts");
        let next = if view.is_closed { self.log.next_after(id) } else { None };
        let Some(next) = next else { return Ok(false) };
        self.current = None;
        self.open_segment(next)?;
        Ok(true)
    }

    fn take(&mut self, record: Located) -> Result<Taken, VaultError> {
        let seq = record.header.seq;
        {
            let mut acks = lock(&self.cursor.acks);
            if self.next_seq < seq {
                acks.pass(self.next_seq, seq - 1);
                self.next_seq = seq;
            }
            if acks.contains(seq) {
                self.next_seq = seq + 1;
                return Ok(Taken::Skipped);
            }
        }
        if OUTSTANDING_MAX <= self.cursor.outstanding() {
            return Ok(Taken::MustWait);
        }
        let body = self.body_of(&record)?;
        self.next_seq = seq + 1;
        lock(&self.cursor.given).insert_range(0, seq);
        Ok(body.map_or(Taken::Skipped, Taken::Record))
    }

    /// Reads and checks a record; one that is damaged is reported and passed.
    pub(crate) fn body_of(&mut self, record: &Located) -> Result<Option<StoredRecord>, VaultError> {
        let Some((_, scanner)) = self.current.as_mut() else { return Ok(None) };
        let is_read = scanner.read_body(record, &mut self.body).is_ok();
        let fault = scanner.body_fault(record);
        self.bear_read_error()?;
        let decoded = if is_read { stored::decode(&record.header, &self.body) } else { None };
        if BODY_KEPT_BYTES_MAX < self.body.capacity() {
            self.body = Vec::new();
        }
        if decoded.is_none() {
            self.log.report(fault);
            lock(&self.cursor.acks).ack(record.header.seq);
        }
        Ok(decoded)
    }

    /// After a read: what the disk did not give is asked for again, from the next record on, until
    /// there is no patience left. Then it counts as damaged.
    pub(crate) fn bear_read_error(&mut self) -> Result<(), VaultError> {
        let Some((id, scanner)) = self.current.as_mut() else { return Ok(()) };
        let (id, Some(error)) = (*id, scanner.take_error()) else { return Ok(()) };
        if self.log.gives_up_on(id) {
            return Ok(());
        }
        (self.current, self.span) = (None, None);
        Err(VaultError::io("read a segment of", &self.log.dir)(error))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let acknowledged = lock(&self.cursor.acks).as_set();
        *lock(&self.cursor.given) = acknowledged;
        self.cursor.is_open.store(false, Ordering::Release);
    }
}
