//! Walks the records of one segment, past damage, without ever believing an unchecked byte.
//!
//! At each position stands either a record of exactly this place (magic, place-bound header crc,
//! plausible seq), or damage. Past damage the scan looks for the next valid header at every multiple
//! of eight; what lies between is reported as a [`DamagedRange`].

use std::io;
use std::sync::Arc;

use crate::buffer::ReadBuffer;
use crate::buffer::WINDOW_BYTES;
use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::INDEX_MAGIC;
use crate::format::RECORD_HEADER_BYTES;
use crate::format::RECORD_MAGIC;
use crate::format::RecordHeader;
use crate::fs::File;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;

/// A record header and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) header: RecordHeader,
    pub(crate) offset: u64,
}

/// The next thing in a segment.
#[derive(Debug)]
pub(crate) enum ScanItem {
    /// A record with a valid header; its body is not checked yet.
    Record(Located),
    /// A watermark.
    Watermark(RecordHeader),
    /// Damage that was passed.
    Fault(DamagedRange),
    /// Nothing follows: the end, or only zeros or a footer. The scan stays here.
    End,
    /// Damage without a valid record behind it, up to the end. The scan stays here.
    Torn,
}

/// A body does not match its checksum, or cannot be read to its end.
#[derive(Debug)]
pub(crate) struct BadBody;

/// A position in a segment and the window it is read through.
pub(crate) struct Scanner {
    file: Arc<dyn File>,
    segment: SegmentId,
    salt: u64,
    offset: u64,
    end: u64,
    last_seq: Option<u64>,
    padding_from: Option<u64>,
    /// Behind it there are only zeros, as far as was looked.
    used_end: u64,
    /// The disk could not read something since [`Scanner::take_error`].
    error: Option<io::Error>,
    window: ReadBuffer,
    window_start: u64,
    window_len: usize,
}

impl Scanner {
    /// Starts behind the header of a segment. `end` is where trustworthy bytes end; `last_seq` the seq
    /// before the segment's first, if known.
    pub(crate) fn new(
        file: Arc<dyn File>,
        segment: SegmentId,
        vault_id: u128,
        end: u64,
        last_seq: Option<u64>,
    ) -> io::Result<Self> {
        Ok(Self {
            file,
            segment,
            salt: format::salt(vault_id, segment.get()),
            offset: BLOCK_BYTES,
            end,
            last_seq,
            padding_from: None,
            used_end: BLOCK_BYTES,
            error: None,
            window: ReadBuffer::new()?,
            window_start: 0,
            window_len: 0,
        })
    }

    /// Current position.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The last seq seen.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// The block up to which something was found; behind it there are only zeros. Known at the end.
    pub(crate) fn used_end(&self) -> u64 {
        self.used_end.max(format::align_block(self.offset)).min(self.end)
    }

    /// What kept the disk from reading something since the last call: the damage may not be there the
    /// next time.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Moves to a record's place, taken from an index; `last_seq` is the seq before it.
    pub(crate) fn seek(&mut self, offset: u64, last_seq: u64) {
        self.offset = offset;
        self.last_seq = Some(last_seq);
        self.padding_from = None;
    }

    /// More bytes became trustworthy.
    pub(crate) fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Gives up everything up to the end, as the caller knows which seq stood last there.
    pub(crate) fn skip_to_end(&mut self, last_seq: u64) {
        self.offset = self.end;
        self.last_seq = Some(last_seq);
        self.padding_from = None;
    }

    /// Finds the next thing.
    pub(crate) fn next(&mut self) -> ScanItem {
        if let Some(fault) = self.check_padding() {
            return ScanItem::Fault(fault);
        }
        if self.end < self.offset + RECORD_HEADER_BYTES {
            return ScanItem::End;
        }
        let offset = self.offset;
        match self.header_at(offset) {
            Ok(Some(header)) if self.follows(&header) => self.accept(header, offset),
            Ok(_) => self.resynchronise(offset + 8, false),
            Err(_) => self.resynchronise(next_block(offset), true),
        }
    }

    /// Reads a record's stored bytes into `body` and checks them.
    pub(crate) fn read_body(
        &mut self,
        record: &Located,
        body: &mut Vec<u8>,
    ) -> Result<(), BadBody> {
        body.clear();
        self.for_body(record, |piece| body.extend_from_slice(piece))
    }

    /// Checks a record's stored bytes and keeps the attributes in front of them.
    pub(crate) fn read_attrs(
        &mut self,
        record: &Located,
        attrs: &mut Vec<u8>,
    ) -> Result<(), BadBody> {
        attrs.clear();
        let len = usize::from(record.header.attrs_len);
        self.for_body(record, |piece| {
            let left = len.saturating_sub(attrs.len()).min(piece.len());
            attrs.extend_from_slice(&piece[..left]);
        })
    }

    /// Checks a record's stored bytes without keeping them.
    pub(crate) fn check_body(&mut self, record: &Located) -> Result<(), BadBody> {
        self.for_body(record, |_| ())
    }

    /// Describes a record whose body is bad.
    pub(crate) fn body_fault(&self, record: &Located) -> DamagedRange {
        let end = record.offset + record.header.body_end_bytes();
        let seq = record.header.seq;
        self.fault(FaultKind::Body, record.offset, end, Some((seq, seq)))
    }

    /// Describes what lies between the scan's position and its end.
    pub(crate) fn tail_fault(&self, kind: FaultKind, lost: Option<(u64, u64)>) -> DamagedRange {
        self.fault(kind, self.offset, self.end, lost)
    }

    fn for_body(&mut self, record: &Located, mut take: impl FnMut(&[u8])) -> Result<(), BadBody> {
        let mut at = record.offset + u64::from(record.header.header_len);
        let end = record.offset + record.header.body_end_bytes();
        let mut hasher = crc32fast::Hasher::new();
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(WINDOW_BYTES);
            let piece = self.slice(at, left).map_err(|_| BadBody)?;
            if piece.is_empty() {
                return Err(BadBody);
            }
            hasher.update(piece);
            take(piece);
            at += piece.len() as u64;
        }
        if hasher.finalize() == record.header.stored_crc { Ok(()) } else { Err(BadBody) }
    }

    /// A valid header is believed only if it goes on from what was seen and its body has room.
    fn follows(&self, header: &RecordHeader) -> bool {
        let body_end = self.offset.saturating_add(header.body_end_bytes());
        let is_new = header.is_watermark() || self.last_seq.is_none_or(|last| last < header.seq);
        body_end <= self.end && is_new
    }

    fn accept(&mut self, header: RecordHeader, offset: u64) -> ScanItem {
        let body_end = offset + header.body_end_bytes();
        self.padding_from = Some(body_end);
        self.offset = if header.is_last_of_commit() {
            format::align_block(body_end)
        } else {
            body_end.next_multiple_of(8)
        };
        if header.is_watermark() {
            return ScanItem::Watermark(header);
        }
        self.last_seq = Some(header.seq);
        ScanItem::Record(Located { header, offset })
    }

    fn check_padding(&mut self) -> Option<DamagedRange> {
        let start = self.padding_from.take()?;
        let end = self.offset.min(self.end);
        let mut at = start;
        while at < end {
            let left = usize::try_from(end - at).unwrap_or(WINDOW_BYTES);
            // An unreadable or missing end is found by what reads there next.
            let piece = self.slice(at, left).unwrap_or_default();
            if !format::is_zero(piece) {
                return Some(self.fault(FaultKind::Padding, start, end, None));
            }
            at += (piece.len() as u64).max(1);
        }
        None
    }

    /// Looks for the next valid header from `from` on; the scan's own offset is the damage's start.
    fn resynchronise(&mut self, from: u64, mut is_unreadable: bool) -> ScanItem {
        let start = self.offset;
        let mut is_blank = !is_unreadable && self.is_blank(start);
        let mut at = from;
        self.used_end = next_block(start);
        while at + RECORD_HEADER_BYTES <= self.end {
            if at.is_multiple_of(BLOCK_BYTES) && self.is_zero_block(at) {
                at += BLOCK_BYTES;
                continue;
            }
            self.used_end = next_block(at);
            match self.header_at(at) {
                Ok(Some(header)) if self.may_follow_damage(&header, start, at) => {
                    return self.pass_damage(&header, start, at, is_unreadable);
                }
                Ok(_) => {
                    is_blank = is_blank && self.is_blank(at);
                    at += 8;
                }
                Err(_) => {
                    is_unreadable = true;
                    at = next_block(at);
                }
            }
        }
        let is_rest_blank = self.end <= at
            || usize::try_from(self.end - at)
                .is_ok_and(|len| self.slice(at, len).is_ok_and(format::is_zero));
        if !is_rest_blank {
            self.used_end = self.end;
        }
        let is_footer = start.is_multiple_of(BLOCK_BYTES)
            && self.slice(start, 8).is_ok_and(|bytes| bytes == INDEX_MAGIC);
        if (is_blank && !is_unreadable) || is_footer {
            return ScanItem::End;
        }
        ScanItem::Torn
    }

    fn pass_damage(
        &mut self,
        header: &RecordHeader,
        start: u64,
        at: u64,
        is_unreadable: bool,
    ) -> ScanItem {
        let next = header.seq + u64::from(header.is_watermark());
        let lost = self.last_seq.and_then(|last| (last + 1 < next).then(|| (last + 1, next - 1)));
        self.offset = at;
        self.last_seq = Some(next - 1);
        let kind = if is_unreadable { FaultKind::Unreadable } else { FaultKind::RecordHeader };
        ScanItem::Fault(self.fault(kind, start, at, lost))
    }

    fn may_follow_damage(&self, header: &RecordHeader, start: u64, at: u64) -> bool {
        // Each lost record took at least a header's bytes.
        let lost_max = (at - start) / RECORD_HEADER_BYTES + 1;
        let in_range = self.last_seq.is_none_or(|last| {
            let least = last + u64::from(!header.is_watermark());
            least <= header.seq && header.seq - last <= lost_max
        });
        at.saturating_add(header.body_end_bytes()) <= self.end && in_range && 0 < header.seq
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        let salt = self.salt;
        let mut bytes = [0; 64];
        let first = self.slice(offset, bytes.len())?;
        if first.len() < 4 || first[..4] != RECORD_MAGIC {
            return Ok(None);
        }
        let first_len = first.len();
        bytes[..first_len].copy_from_slice(first);
        if first_len < bytes.len() {
            // The header straddles two windows.
            let rest = self.slice(offset + first_len as u64, bytes.len() - first_len)?;
            if first_len + rest.len() < bytes.len() {
                return Ok(None);
            }
            bytes[first_len..].copy_from_slice(rest);
        }
        Ok(RecordHeader::decode(&bytes, salt, offset))
    }

    /// Whether the eight bytes here are zero.
    fn is_blank(&mut self, at: u64) -> bool {
        self.slice(at, 8).is_ok_and(format::is_zero)
    }

    fn is_zero_block(&mut self, at: u64) -> bool {
        self.slice(at, BLOCK_LEN)
            .is_ok_and(|block| block.len() == BLOCK_LEN && format::is_zero(block))
    }

    /// Returns up to `len` bytes from `at`: fewer at the end of the window or file, none past the end.
    fn slice(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let window_end = self.window_start + self.window_len as u64;
        if at < self.window_start || window_end <= at {
            self.fill(at)?;
        }
        let window_end = self.window_start + self.window_len as u64;
        if window_end <= at {
            return Ok(&[]);
        }
        let from = usize::try_from(at - self.window_start).expect("inside the window");
        let to = self.window_len.min(from.saturating_add(len));
        Ok(&self.window[from..to])
    }

    /// Reads the window at the block of `at`, but never past what is trustworthy.
    fn fill(&mut self, at: u64) -> io::Result<()> {
        self.window_start = at - at % BLOCK_BYTES;
        self.window_len = 0;
        let left = format::align_block(self.end).saturating_sub(self.window_start);
        let len = usize::try_from(left).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
        let whole = self.file.read_at(&mut self.window[..len], self.window_start);
        self.window_len = if let Ok(count) = whole {
            count
        } else {
            // One bad sector must not take its whole neighbourhood with it.
            let block = &mut self.window[..len.min(BLOCK_LEN)];
            self.file.read_at(block, self.window_start).inspect_err(|error| {
                self.error = Some(same_error(error));
            })?
        };
        Ok(())
    }

    fn fault(
        &self,
        kind: FaultKind,
        start: u64,
        end: u64,
        lost: Option<(u64, u64)>,
    ) -> DamagedRange {
        DamagedRange { segment: self.segment, kind, start, end, lost }
    }
}

/// Errors of the system are not to be cloned.
fn same_error(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn next_block(offset: u64) -> u64 {
    format::align_block(offset + 1)
}
