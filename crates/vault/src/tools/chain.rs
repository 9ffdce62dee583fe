//! What ties the segments of a vault to each other: the chain of digests, what each header says of
//! the segment before it, and that no segment is missing.

use std::path::PathBuf;

use crate::format::BLOCK_BYTES;
use crate::format::SegmentHeader;
use crate::format::Trailer;
use crate::segment::examine::Examined;
use crate::segment::fault::FaultKind;
use crate::segment::id::SegmentId;
use crate::tools::finding::Finding;
use crate::tools::finding::FindingKind;
use crate::tools::passed::AckedRanges;

/// What is kept of a segment for the checks between segments.
pub(crate) struct ChainedSegment {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file_bytes: u64,
    pub(crate) header: Option<SegmentHeader>,
    /// The footer, where it is intact.
    pub(crate) footer: Option<Trailer>,
    /// The open or damaged segment, for judgement.
    pub(crate) scanned: Option<Box<Examined>>,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) is_quarantined: bool,
    pub(crate) records: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) durable_seq: u64,
    pub(crate) findings: Vec<Finding>,
}

/// Checks all segments, oldest first, against those before them. What was passed or dropped need not
/// be there.
pub(crate) fn check(kept: &mut [ChainedSegment], passed: &AckedRanges) {
    for idx in 0..kept.len() {
        let (before, rest) = kept.split_at_mut(idx);
        let Some(one) = rest.first_mut() else { return };
        if let Some(kind) = check_digest(before, one) {
            push(one, kind, one.file_bytes.saturating_sub(BLOCK_BYTES), one.file_bytes, None);
        }
        let Some(header) = one.header else { continue };
        let is_there = |id: u64| before.iter().find(|kept| kept.id.get() == id);
        match is_there(header.prev_segment) {
            Some(previous) => {
                let footer = previous.footer.filter(|_| !previous.is_quarantined);
                let is_other = footer.is_some_and(|footer| {
                    footer.last_seq != header.prev_last_seq
                        || (header.prev_crc != 0 && footer.segment_crc != header.prev_crc)
                });
                if is_other {
                    push(one, FindingKind::Predecessor, 0, BLOCK_BYTES, None);
                }
            }
            None if 0 < header.prev_segment => {
                let seen = before.iter().map(|kept| kept.last_seq).max().unwrap_or(0);
                let lost = passed.lost_in(seen + 1, header.prev_last_seq);
                if lost.is_some() {
                    push(one, FindingKind::Fault(FaultKind::Hole), 0, 0, lost);
                    if let Some(finding) = one.findings.last_mut() {
                        finding.segment = Some(header.prev_segment);
                    }
                }
            }
            None => {}
        }
    }
}

/// Compares the digest that a footer names with the predecessor's.
fn check_digest(before: &[ChainedSegment], one: &ChainedSegment) -> Option<FindingKind> {
    let footer = one.footer?;
    let Some(previous) = before.iter().rev().find_map(|kept| kept.footer) else {
        // What was before was deleted; a first segment has no predecessor to name.
        let is_first = one.header.is_some_and(|header| header.prev_segment == 0);
        return (is_first && footer.prev_digest != [0; 32]).then_some(FindingKind::Chain);
    };
    // The predecessor was deleted, and one before it was held: nothing here can be compared.
    let is_gap = one.header.is_some_and(|header| {
        let is_there = before.iter().any(|kept| kept.id.get() == header.prev_segment);
        !is_there && header.prev_last_seq != previous.last_seq
    });
    if is_gap {
        return None;
    }
    let is_fork = |previous: &Trailer| {
        // Both were sealed while the one between was not: after a start on a full disk.
        previous.prev_digest == footer.prev_digest && {
            let prev = one.header.map(|header| (header.prev_segment, header.prev_last_seq));
            prev == Some((previous.segment, previous.last_seq))
        }
    };
    let is_linked = footer.prev_digest == previous.digest || is_fork(&previous);
    // A damaged predecessor without a footer stood between: it was the one that was named.
    let is_between = before.last().is_some_and(|kept| kept.footer.is_none());
    (!is_linked && !is_between).then_some(FindingKind::Chain)
}

fn push(
    one: &mut ChainedSegment,
    kind: FindingKind,
    start: u64,
    end: u64,
    lost: Option<(u64, u64)>,
) {
    let (segment, path) = (Some(one.id.get()), one.path.clone());
    one.findings.push(Finding { segment, kind, path, start, end, lost });
}
