//! Pure decisions of recovery: torn, lost, or written again elsewhere.

use std::collections::VecDeque;

use crate::format;
use crate::log::view::SegmentInfo;
use crate::segment::examine::Examined;
use crate::segment::examine::SegmentVerdict;
use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentState;

/// First seq of each segment that is no spare, 0 where unknown.
pub(crate) fn first_seqs(examined: &[Examined]) -> VecDeque<u64> {
    let used = examined.iter().filter(|one| one.verdict != SegmentVerdict::Blank);
    used.map(|one| one.trailer.first_seq).collect()
}

/// Tells torn tails, loss and what was written again elsewhere from each other.
pub(crate) fn judge(one: &mut Examined, durable_seq: u64, next_first_seq: Option<u64>) {
    let segment = one.candidate.id;
    let end = one.candidate.bytes;
    // The rest of the file was set aside in advance and never written.
    let used_end = one.used_end;
    // Records from there on were written again in the next segment, and that copy counts.
    let limit = next_first_seq.unwrap_or(u64::MAX);
    one.faults.retain(|fault| fault.lost.is_none_or(|(first, _)| first < limit));
    let mut torn_start = one.is_torn.then_some(one.trailer.data_end);
    if let Some(bad) = one.bad_tail
        && (durable_seq < bad.header.seq || limit <= bad.header.seq)
    {
        one.faults.retain(|fault| fault.start < bad.offset);
        torn_start = Some(bad.offset);
    } else if let Some(bad) = one.bad_tail {
        // Acknowledged records with bad bodies at the end: they are counted, and stay in reach.
        one.trailer.last_seq = one.trailer.last_seq.max(bad.header.seq);
        one.trailer.data_end = bad.offset + bad.header.body_end_bytes();
        torn_start = one.is_torn.then_some(one.trailer.data_end);
    }
    let expected = next_first_seq.map_or(durable_seq, |first| first - 1);
    if one.trailer.last_seq < expected {
        let lost = Some((one.trailer.last_seq + 1, expected));
        let start = one.trailer.data_end;
        one.faults.push(DamagedRange { segment, kind: FaultKind::Tail, start, end, lost });
    } else if let Some(start) = torn_start {
        let end = used_end.max(start);
        one.faults.push(DamagedRange {
            segment,
            kind: FaultKind::TornTail,
            start,
            end,
            lost: None,
        });
    }
}

/// Describes a segment for the list, before anything is done about it.
pub(crate) fn describe(one: &Examined) -> SegmentInfo {
    let trailer = &one.trailer;
    let is_sealed = one.verdict == SegmentVerdict::Sealed;
    SegmentInfo {
        id: one.candidate.id,
        state: if is_sealed { SegmentState::Sealed } else { SegmentState::Closed },
        path: one.candidate.path.clone(),
        first_seq: trailer.first_seq,
        last_seq: trailer.last_seq,
        records: trailer.record_count,
        raw_bytes: trailer.raw_bytes,
        stored_bytes: trailer.stored_bytes,
        data_end: format::align_block(trailer.data_end),
        file_bytes: one.candidate.bytes,
        created_unix_ns: one.header.map_or(0, |header| header.created_unix_ns),
        segment_crc: is_sealed.then_some(trailer.segment_crc),
        digest: is_sealed.then_some(trailer.digest),
    }
}
