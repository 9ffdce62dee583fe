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

use crate::append::group::GroupBuffer;
use crate::append::staging::StagedRecord;
use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::Codec;
use crate::format::IndexEntry;
use crate::format::RecordHeader;
use crate::format::SegmentHeader;
use crate::format::Trailer;
use crate::fs::File;
use crate::segment::id::SegmentId;
use crate::segment::seal::Digested;
use crate::segment::seal::Predecessor;
use crate::segment::seal::SealJob;
use crate::segment::seal::Written;
use crate::segment::spare::Spare;
use crate::segment::sums;
use crate::system::unix_ns;

/// What all records of one commit share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitStamp {
    pub(crate) first_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) commit_no: u32,
}

/// The segment that takes records.
pub(crate) struct ActiveSegment {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) opened_at: Instant,
    header: SegmentHeader,
    is_fresh: bool,
    offset: u64,
    data_bytes_max: u64,
    hasher: crc32fast::Hasher,
    index: Vec<IndexEntry>,
    trailer: Trailer,
}

impl ActiveSegment {
    /// Turns a spare into the segment whose first record will be `first_seq`. Touches no file.
    pub(crate) fn activate(
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
            trailer: sums::empty_trailer(vault_id, id, first_seq),
        }
    }

    /// Whether a commit group of this many bytes fits before the footer's place.
    pub(crate) fn fits(&self, group_bytes: u64) -> bool {
        self.offset + format::align_block(group_bytes) <= self.data_bytes_max
    }

    /// Bytes that still fit.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.data_bytes_max.saturating_sub(self.offset)
    }

    /// End of what was written, a multiple of a block.
    pub(crate) fn data_end(&self) -> u64 {
        self.offset
    }

    /// Whether it holds a record.
    pub(crate) fn has_records(&self) -> bool {
        0 < self.trailer.record_count
    }

    /// Time of creation, for the list of segments.
    pub(crate) fn created_unix_ns(&self) -> u64 {
        self.header.created_unix_ns
    }

    /// Puts one commit group together in the buffer, to be written from there; of a group that is larger
    /// than the buffer all but the end is written here. After an error the segment must not be used
    /// again.
    pub(crate) fn assemble(
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
    pub(crate) fn assemble_watermark(
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
    pub(crate) fn into_seal_job(mut self, digested: Receiver<Digested>) -> SealJob {
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
    pub(crate) fn segment_crc(&self) -> u32 {
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
        sums::note_record(&mut self.trailer, &mut self.index, header, offset);
    }
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
