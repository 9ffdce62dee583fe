//! Segments being made and being written.
//!
//! ```text
//!  .tmp --allocate, sync, rename, sync dir--> .open (spare, all zero)
//!       --first commit group carries the header--> .open (active)
//!       --footer, sync, rename, sync dir--> .gsv (sealed)          see seal.rs
//! ```
//!
//! Everything a spare needs on disk happens before it can take its first record, so a commit is one
//! write and one sync.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::vault::append::digest::Digested;
use crate::vault::append::group::GroupBuffer;
use crate::vault::append::spare::SegmentId;
use crate::vault::append::spare::Spare;
use crate::vault::append::staging::StagedRecord;
use crate::vault::format;
use crate::vault::format::BLOCK_BYTES;
use crate::vault::format::BLOCK_LEN;
use crate::vault::format::Codec;
use crate::vault::format::IndexEntry;
use crate::vault::format::RecordHeader;
use crate::vault::format::SegmentHeader;
use crate::vault::format::Trailer;
use crate::vault::fs::File;

/// The segment before, as named in a header.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vault) struct Predecessor {
    pub(in crate::vault) segment: u64,
    pub(in crate::vault) last_seq: u64,
    pub(in crate::vault) crc: u32,
}

/// What all records of one commit share.
#[derive(Debug, Clone, Copy)]
pub(in crate::vault) struct CommitStamp {
    pub(in crate::vault) first_seq: u64,
    pub(in crate::vault) durable_seq: u64,
    pub(in crate::vault) commit_no: u32,
}

/// The segment that takes records.
pub(in crate::vault) struct ActiveSegment {
    pub(in crate::vault) id: SegmentId,
    pub(in crate::vault) path: PathBuf,
    pub(in crate::vault) file: Arc<dyn File>,
    pub(in crate::vault) opened_at: Instant,
    header: SegmentHeader,
    is_fresh: bool,
    offset: u64,
    data_bytes_max: u64,
    hasher: crc32fast::Hasher,
    index: Vec<IndexEntry>,
    trailer: Trailer,
}

/// Everything needed to write a footer.
pub(in crate::vault) struct SealJob {
    pub(in crate::vault) id: SegmentId,
    pub(in crate::vault) path: PathBuf,
    pub(in crate::vault) file: Arc<dyn File>,
    pub(in crate::vault) index: Vec<IndexEntry>,
    /// Complete but for crc and digests.
    pub(in crate::vault) trailer: Trailer,
    /// What its writer knows; nothing when it is found after a start.
    pub(in crate::vault) written: Option<Written>,
}

/// Crc and digest of what was written to a segment.
pub(in crate::vault) struct Written {
    pub(in crate::vault) crc: u32,
    pub(in crate::vault) digested: Receiver<Digested>,
}

impl ActiveSegment {
    /// Turns a spare into the segment whose first record will be `first_seq`. Touches no file.
    pub(in crate::vault) fn activate(
        spare: Spare,
        vault_id: u128,
        first_seq: u64,
        prev: Predecessor,
        now: Instant,
    ) -> Self {
        let id = spare.id;
        let header = SegmentHeader {
            vault_id,
            segment: id.0,
            first_seq,
            created_unix_ns: unix_ns(),
            salt: format::salt(vault_id, id.0),
            alloc_bytes: spare.bytes,
            prev_segment: prev.segment,
            prev_last_seq: prev.last_seq,
            prev_crc: prev.crc,
        };
        Self {
            id,
            path: spare.path,
            file: spare.file,
            opened_at: now,
            header,
            is_fresh: true,
            offset: BLOCK_BYTES,
            data_bytes_max: spare.bytes.saturating_sub(format::footer_reserve_bytes(spare.bytes)),
            hasher: crc32fast::Hasher::new(),
            index: Vec::new(),
            trailer: empty_trailer(vault_id, id, first_seq),
        }
    }

    /// Whether a commit group of this many bytes fits before the footer's place.
    pub(in crate::vault) fn fits(&self, group_bytes: u64) -> bool {
        self.offset + format::align_block(group_bytes) <= self.data_bytes_max
    }

    /// Bytes that still fit.
    pub(in crate::vault) fn room_bytes(&self) -> u64 {
        self.data_bytes_max.saturating_sub(self.offset)
    }

    /// End of what was written, a multiple of a block.
    pub(in crate::vault) fn data_end(&self) -> u64 {
        self.offset
    }

    /// Whether it holds a record.
    pub(in crate::vault) fn has_records(&self) -> bool {
        0 < self.trailer.record_count
    }

    /// Time of creation, for the list of segments.
    pub(in crate::vault) fn created_unix_ns(&self) -> u64 {
        self.header.created_unix_ns
    }

    /// Puts one commit group together in the buffer, to be written from there; of a group that is larger
    /// than the buffer all but the end is written here. After an error the segment must not be used
    /// again.
    pub(in crate::vault) fn assemble(
        &mut self,
        buffer: &mut GroupBuffer,
        records: &[StagedRecord],
        stamp: CommitStamp,
    ) -> io::Result<()> {
        self.begin(buffer, records.iter().map(StagedRecord::span_bytes).sum())?;
        for (idx, record) in records.iter().enumerate() {
            let is_last = idx + 1 == records.len();
            let header = record_header(record, stamp, idx as u64, is_last);
            let offset = buffer.position();
            self.push(buffer, &header.encode(self.header.salt, offset))?;
            self.push_body(buffer, record)?;
            let body_end = offset + header.body_end_bytes();
            self.push_zeros(buffer, body_end.next_multiple_of(8))?;
            self.note(&header, offset);
        }
        self.end(buffer)
    }

    /// As [`ActiveSegment::assemble`], a watermark: a header without a record that tells what is durable.
    pub(in crate::vault) fn assemble_watermark(
        &mut self,
        buffer: &mut GroupBuffer,
        last_seq: u64,
        stamp: CommitStamp,
    ) -> io::Result<()> {
        self.begin(buffer, BLOCK_BYTES)?;
        let header = RecordHeader {
            header_len: 64,
            codec: Codec::Raw,
            seq: last_seq,
            durable_seq: stamp.durable_seq,
            received_unix_ns: 0,
            raw_len: 0,
            stored_len: 0,
            raw_crc: 0,
            stored_crc: 0,
            signal: 0,
            flags: format::FLAG_LAST_OF_COMMIT | format::FLAG_WATERMARK,
            attrs_len: 0,
            commit_no: stamp.commit_no,
        };
        self.push(buffer, &header.encode(self.header.salt, buffer.position()))?;
        self.end(buffer)
    }

    /// Hands over what a footer needs.
    pub(in crate::vault) fn into_seal_job(mut self, digested: Receiver<Digested>) -> SealJob {
        let written = Some(Written { crc: self.segment_crc(), digested });
        self.trailer.data_end = self.offset;
        SealJob {
            id: self.id,
            path: self.path,
            file: self.file,
            index: self.index,
            trailer: self.trailer,
            written,
        }
    }

    /// The crc of everything written so far.
    pub(in crate::vault) fn segment_crc(&self) -> u32 {
        self.hasher.clone().finalize()
    }

    fn begin(&mut self, buffer: &mut GroupBuffer, bytes: u64) -> io::Result<()> {
        if !self.is_fresh {
            return buffer.begin(self.offset, format::align_block(bytes));
        }
        buffer.begin(0, BLOCK_BYTES + format::align_block(bytes))?;
        let mut block = [0; BLOCK_LEN];
        self.header.encode(&mut block);
        self.push(buffer, &block)
    }

    fn end(&mut self, buffer: &mut GroupBuffer) -> io::Result<()> {
        let end = format::align_block(buffer.position());
        assert!(end <= self.data_bytes_max, "a group never reaches the footer's place");
        self.push_zeros(buffer, end)?;
        self.is_fresh = false;
        self.offset = end;
        Ok(())
    }

    fn push(&mut self, buffer: &mut GroupBuffer, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        buffer.push(&*self.file, bytes)
    }

    /// Adds a body, to the crc of the segment by its own crc: its bytes are not read once more.
    fn push_body(&mut self, buffer: &mut GroupBuffer, record: &StagedRecord) -> io::Result<()> {
        let len = u64::from(record.stored_len);
        self.hasher.combine(&crc32fast::Hasher::new_with_initial_len(record.stored_crc, len));
        record.body.for_each(|piece| buffer.push(&*self.file, piece))
    }

    fn push_zeros(&mut self, buffer: &mut GroupBuffer, end: u64) -> io::Result<()> {
        while buffer.position() < end {
            let len = usize::try_from(end - buffer.position()).unwrap_or(BLOCK_LEN).min(BLOCK_LEN);
            self.push(buffer, &[0; BLOCK_LEN][..len])?;
        }
        Ok(())
    }

    /// Keeps index and sums for the footer.
    fn note(&mut self, header: &RecordHeader, offset: u64) {
        note_record(&mut self.trailer, &mut self.index, header, offset);
    }
}

/// A trailer before its first record.
pub(in crate::vault) fn empty_trailer(vault_id: u128, id: SegmentId, first_seq: u64) -> Trailer {
    Trailer {
        vault_id,
        segment: id.0,
        segment_crc: 0,
        record_count: 0,
        first_seq,
        last_seq: first_seq.saturating_sub(1),
        data_end: BLOCK_BYTES,
        index_entries: 0,
        bad_record_count: 0,
        raw_bytes: 0,
        stored_bytes: 0,
        first_received_unix_ns: 0,
        last_received_unix_ns: 0,
        prev_digest: [0; 32],
        digest: [0; 32],
    }
}

/// Adds one record to the sums of a trailer and, where due, to the index.
pub(in crate::vault) fn note_record(
    trailer: &mut Trailer,
    index: &mut Vec<IndexEntry>,
    header: &RecordHeader,
    offset: u64,
) {
    let is_due = index.last().is_none_or(|last| {
        format::INDEX_EVERY_BYTES <= offset - last.offset
            || format::INDEX_EVERY_RECORDS <= header.seq - last.seq
    });
    if is_due {
        index.push(IndexEntry {
            seq: header.seq,
            offset,
            stored_len: header.stored_len,
            raw_len: header.raw_len,
        });
    }
    if trailer.record_count == 0 {
        trailer.first_received_unix_ns = header.received_unix_ns;
    }
    trailer.last_received_unix_ns = header.received_unix_ns;
    trailer.record_count += 1;
    trailer.last_seq = header.seq;
    trailer.raw_bytes += u64::from(header.raw_len);
    trailer.stored_bytes += u64::from(header.stored_len);
}

fn record_header(
    record: &StagedRecord,
    stamp: CommitStamp,
    idx: u64,
    is_last: bool,
) -> RecordHeader {
    let last = if is_last { format::FLAG_LAST_OF_COMMIT } else { 0 };
    let attrs = if record.attrs_len == 0 { 0 } else { format::FLAG_ATTRS };
    RecordHeader {
        header_len: 64,
        codec: record.codec,
        seq: stamp.first_seq + idx,
        durable_seq: stamp.durable_seq,
        received_unix_ns: record.received_unix_ns,
        raw_len: record.raw_len,
        stored_len: record.stored_len,
        raw_crc: record.raw_crc,
        stored_crc: record.stored_crc,
        signal: record.signal,
        flags: last | attrs,
        attrs_len: record.attrs_len,
        commit_no: stamp.commit_no,
    }
}

/// The wall clock, for information only.
pub(in crate::vault) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
