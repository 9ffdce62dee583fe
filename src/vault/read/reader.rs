//! Follows a vault from a durable cursor: every durable record, at least once, oldest first or newest
//! segment first (`newest.rs`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::vault::append::spare;
use crate::vault::append::spare::EXTENSION_OPEN;
use crate::vault::append::spare::EXTENSION_SEALED;
use crate::vault::append::spare::SegmentId;
use crate::vault::append::spare::SegmentState;
use crate::vault::error::VaultError;
use crate::vault::fs::Access;
use crate::vault::fs::File;
use crate::vault::log::Backlog;
use crate::vault::log::Log;
use crate::vault::log::SegmentInfo;
use crate::vault::log::TailView;
use crate::vault::read::cursor;
use crate::vault::read::cursor::Acks;
use crate::vault::read::cursor::CURSOR_DIR;
use crate::vault::read::cursor::Cursor;
use crate::vault::read::cursor::CursorHandle;
use crate::vault::read::cursor::OUTSTANDING_MAX;
use crate::vault::read::newest::Span;
use crate::vault::read::scan::FaultKind;
use crate::vault::read::scan::Found;
use crate::vault::read::scan::Located;
use crate::vault::read::scan::Scanner;
use crate::vault::read::stored;
use crate::vault::read::stored::StoredRecord;
use crate::vault::recover::examine;
use crate::vault::recover::examine::Candidate;
use crate::vault::recover::quarantine::QUARANTINE_DIR;
use crate::vault::state::lock;

/// A buffer above this size is not kept between records.
const BODY_KEPT_BYTES_MAX: usize = 4 << 20;

/// Which records come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they were appended.
    #[default]
    OldestFirst,
    /// The newest segment first; inside a segment as they were appended.
    NewestFirst,
}

/// Reads the records of a vault that its cursor has not acknowledged.
pub struct Reader {
    pub(in crate::vault) log: Arc<Log>,
    pub(in crate::vault) cursor: Arc<Cursor>,
    order: Order,
    pub(in crate::vault) current: Option<(SegmentId, Scanner)>,
    /// Oldest first: seq of the next record to look at.
    next_seq: u64,
    /// Oldest first: a record found but not yet allowed, as too many are outstanding.
    held: Option<Located>,
    /// Newest first: what is being read.
    pub(in crate::vault) span: Option<Span>,
    body: Vec<u8>,
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
        Self::open_in(log, name, Order::OldestFirst)
    }

    /// As [`Reader::open`], in the order asked for. A cursor may be read in another order each time.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn open_in(log: &Arc<Log>, name: &str, order: Order) -> Result<Self, VaultError> {
        cursor::check_name(name)?;
        let known = lock(&log.state).cursors.get(name).cloned();
        let cursor = match known {
            Some(cursor) => cursor,
            None => register(log, name)?,
        };
        if cursor.is_open.swap(true, Ordering::AcqRel) {
            return Err(VaultError::CursorInUse { name: name.to_owned() });
        }
        let next_seq = lock(&cursor.acks).low() + 1;
        let log = Arc::clone(log);
        let (current, held, span, body) = (None, None, None, Vec::new());
        Ok(Self { log, cursor, order, current, next_seq, held, span, body })
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
            Order::OldestFirst => self.next_oldest(),
            Order::NewestFirst => self.next_newest(),
        }
    }

    fn next_oldest(&mut self) -> Result<Option<StoredRecord>, VaultError> {
        loop {
            if let Some(record) = self.held.take() {
                match self.take(record) {
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
            match scanner.next() {
                Found::Record(record) if record.header.seq < limit => {
                    self.held = (self.next_seq <= record.header.seq).then_some(record);
                }
                Found::Watermark(_) => {}
                Found::Fault(fault) => {
                    if fault.lost.is_none_or(|(first, _)| first < limit) {
                        self.log.report(fault);
                    }
                }
                Found::Record(_) | Found::End | Found::Torn => {
                    if !self.leave(id, &view, limit - 1)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits until more is durable, or the time is over. Returns whether more is durable.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let next_seq = match self.order {
            Order::OldestFirst => self.next_seq,
            Order::NewestFirst => self.newest_next_seq(),
        };
        self.log.wait_for(next_seq, timeout)
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

    /// Finds the segment to read in; `None` when there is none yet.
    fn enter(&mut self) -> Result<Option<(SegmentId, TailView)>, VaultError> {
        loop {
            let id = match &self.current {
                Some((id, _)) => *id,
                None => match self.log.segment_of(self.next_seq) {
                    Some(id) => {
                        self.open_segment(id)?;
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            match self.log.tail(id) {
                Some(view) => return Ok(Some((id, view))),
                // Deleted under us: every cursor had passed it, so nothing in it was ours.
                None => self.current = None,
            }
        }
    }

    fn open_segment(&mut self, id: SegmentId) -> Result<(), VaultError> {
        self.open_segment_at(id, self.next_seq)
    }

    /// Opens a segment near a seq; does nothing when it was deleted.
    pub(in crate::vault) fn open_segment_at(
        &mut self,
        id: SegmentId,
        seq: u64,
    ) -> Result<(), VaultError> {
        let Some(info) = self.log.info(id) else { return Ok(()) };
        let Some(file) = self.open_file(&info)? else { return Ok(()) };
        let before = info.first_seq.saturating_sub(1);
        let (vault_id, end) = (self.log.vault_id, info.data_end);
        let mut scanner = Scanner::new(Arc::clone(&file), id, vault_id, end, Some(before))
            .map_err(VaultError::io("read", &info.path))?;
        if info.first_seq < seq {
            seek(&mut scanner, &*file, &info, vault_id, seq);
        }
        self.current = Some((id, scanner));
        Ok(())
    }

    /// Opens a segment's file, which may be renamed meanwhile: it only ever goes from `.open` to `.gsv`
    /// and from the directory to quarantine, so trying these in order finds it. `None` when it was
    /// deleted.
    fn open_file(&self, info: &SegmentInfo) -> Result<Option<Arc<dyn File>>, VaultError> {
        let dir = &self.log.dir;
        let aside = dir.join(QUARANTINE_DIR);
        for folder in [dir, &aside] {
            for extension in [EXTENSION_OPEN, EXTENSION_SEALED] {
                let path = spare::segment_path(folder, info.id, extension);
                match self.log.files.open(&path, Access::Direct) {
                    Ok(file) => return Ok(Some(file.into())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(VaultError::io("open", &path)(error)),
                }
            }
        }
        if self.log.info(info.id).is_some() {
            return Err(VaultError::io("open", &info.path)(io::ErrorKind::NotFound.into()));
        }
        Ok(None)
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

    fn take(&mut self, record: Located) -> Taken {
        let seq = record.header.seq;
        {
            let mut acks = lock(&self.cursor.acks);
            if self.next_seq < seq {
                acks.pass(self.next_seq, seq - 1);
                self.next_seq = seq;
            }
            if acks.contains(seq) {
                self.next_seq = seq + 1;
                return Taken::Skipped;
            }
        }
        if OUTSTANDING_MAX <= self.cursor.outstanding() {
            return Taken::MustWait;
        }
        self.next_seq = seq + 1;
        lock(&self.cursor.given).insert_range(0, seq);
        self.body_of(&record).map_or(Taken::Skipped, Taken::Record)
    }

    /// Reads and checks a record; one that is damaged is reported and passed.
    pub(in crate::vault) fn body_of(&mut self, record: &Located) -> Option<StoredRecord> {
        let (_, scanner) = self.current.as_mut()?;
        let is_read = scanner.read_body(record, &mut self.body).is_ok();
        let decoded = if is_read { stored::decode(&record.header, &self.body) } else { None };
        if BODY_KEPT_BYTES_MAX < self.body.capacity() {
            self.body = Vec::new();
        }
        if decoded.is_none() {
            self.log.report(scanner.body_fault(record));
            lock(&self.cursor.acks).ack(record.header.seq);
        }
        decoded
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let acknowledged = lock(&self.cursor.acks).as_set();
        *lock(&self.cursor.given) = acknowledged;
        self.cursor.is_open.store(false, Ordering::Release);
    }
}

fn register(log: &Arc<Log>, name: &str) -> Result<Arc<Cursor>, VaultError> {
    let oldest = lock(&log.state).segments.values().next().map(|listed| listed.info.first_seq - 1);
    let low = oldest.unwrap_or_else(|| log.durable_seq());
    let files = Arc::clone(&log.files);
    let cursor = Arc::new(Cursor::create(files, &log.dir, name, log.vault_id, Acks::new(low))?);
    let mut state = lock(&log.state);
    Ok(Arc::clone(state.cursors.entry(name.to_owned()).or_insert(cursor)))
}

/// Uses the footer's index, where there is one, to start near a seq.
fn seek(scanner: &mut Scanner, file: &dyn File, info: &SegmentInfo, vault_id: u128, seq: u64) {
    if info.state == SegmentState::Open || info.state == SegmentState::Closed {
        return;
    }
    let Ok(bytes) = file.bytes() else { return };
    let candidate = Candidate {
        id: info.id,
        path: info.path.clone(),
        bytes,
        extension: String::new(),
        is_quarantined: false,
    };
    let trailer = examine::read_trailer(file, &candidate, vault_id);
    let index = trailer.and_then(|trailer| examine::read_index(file, &trailer));
    let entry = index.unwrap_or_default().into_iter().rfind(|entry| entry.seq <= seq);
    if let Some(entry) = entry {
        scanner.seek(entry.offset, entry.seq - 1);
    }
}
