//! What a footer sums up of the records in front of it.

use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::IndexEntry;
use crate::format::RecordHeader;
use crate::format::Trailer;
use crate::segment::id::SegmentId;

/// A trailer before its first record.
pub(crate) fn empty_trailer(vault_id: u128, id: SegmentId, first_seq: u64) -> Trailer {
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
pub(crate) fn note_record(
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
