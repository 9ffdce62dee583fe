//! Newest first: a reader that takes the newest segment with unread records, reads those in order,
//! and looks again.
//!
//! After an outage the latest records are what an operator needs; the older ones follow. A segment is
//! the grain, because inside one the order of the file is the fast one.

use crate::error::VaultError;
use crate::log::cursor::Cursor;
use crate::log::cursor::OUTSTANDING_MAX;
use crate::read::reader::Reader;
use crate::read::span::Span;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::segment::scan::ScanItem;
use crate::segment::stored::StoredRecord;
use crate::state::lock;

impl Reader {
    /// The seq after the highest that was looked at, or will be.
    pub(crate) fn newest_next_seq(&self) -> u64 {
        let in_span = self.span.map_or(0, |span| span.last);
        lock(&self.cursor.given).last().unwrap_or(0).max(in_span) + 1
    }

    /// Returns the next record, newest segment first.
    pub(crate) fn next_newest(&mut self) -> Result<Option<StoredRecord>, VaultError> {
        loop {
            if OUTSTANDING_MAX <= self.cursor.outstanding() {
                return Ok(None);
            }
            let Some(span) = self.span else {
                if self.choose_span()? {
                    continue;
                }
                return Ok(None);
            };
            let Some((_, scanner)) = &mut self.current else {
                // Deleted under us: every cursor had passed it, or it was dropped on purpose.
                self.end_span(span);
                continue;
            };
            let found = scanner.next();
            self.bear_read_error()?;
            match found {
                ScanItem::Record(record) if record.header.seq <= span.last => {
                    if record.header.seq < span.next {
                        continue;
                    }
                    let body = self.body_of(&record)?;
                    self.pass_to(span, record.header.seq);
                    if let Some(record) = body {
                        return Ok(Some(record));
                    }
                }
                ScanItem::Watermark(_) => {}
                ScanItem::Fault(fault) => self.log.report(fault),
                ScanItem::Record(_) | ScanItem::End | ScanItem::Torn => {
                    if span.next <= span.last
                        && let Some((_, scanner)) = &self.current
                    {
                        let lost = Some((span.next, span.last));
                        self.log.report(scanner.tail_fault(FaultKind::Tail, lost));
                    }
                    self.end_span(span);
                }
            }
        }
    }

    /// Marks a record as handed out, and what is missing before it as passed.
    fn pass_to(&mut self, span: Span, seq: u64) {
        if span.next < seq {
            lock(&self.cursor.acks).pass(span.next, seq - 1);
        }
        lock(&self.cursor.given).insert_range(span.next, seq);
        self.span = (seq < span.last).then_some(Span { next: seq + 1, last: span.last });
    }

    /// Passes the rest of a span, which is not there.
    fn end_span(&mut self, span: Span) {
        if span.next <= span.last {
            lock(&self.cursor.acks).pass(span.next, span.last);
            lock(&self.cursor.given).insert_range(span.next, span.last);
        }
        self.span = None;
    }

    /// Finds the newest segment with unread records and opens it there; returns whether there is one.
    fn choose_span(&mut self) -> Result<bool, VaultError> {
        let Some((id, first, last)) = self.log.last_unread(&self.cursor) else {
            return Ok(false);
        };
        let is_there = matches!(&self.current, Some((current, scanner))
            if *current == id && scanner.last_seq() == Some(first - 1));
        if is_there {
            let view = self.log.tail(id);
            if let (Some((_, scanner)), Some(view)) = (&mut self.current, view) {
                scanner.extend(view.data_end);
            }
        } else {
            self.current = None;
            self.open_segment_at(id, first)?;
        }
        self.span = Some(Span { next: first, last });
        Ok(true)
    }
}

impl crate::log::view::Log {
    /// The highest run of durable seqs that were not handed out, and the segment it lies in.
    fn last_unread(&self, cursor: &Cursor) -> Option<(SegmentId, u64, u64)> {
        let state = lock(&self.state);
        let given = lock(&cursor.given);
        let mut limit = u64::MAX;
        for listed in state.segments.values().rev() {
            let info = &listed.info;
            // From the next segment's first seq on, records were written again there.
            let last = info.last_seq.min(limit - 1);
            limit = limit.min(info.first_seq);
            if let Some((first, last)) = given.last_gap(info.first_seq, last) {
                return Some((info.id, first, last));
            }
        }
        None
    }
}
