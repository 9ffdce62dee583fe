//! What each byte of a segment file belongs to, read from the layout the format promises and not from
//! the vault's own code.

use std::ops::Range;

/// What a range of bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    SegmentHeader,
    /// Of the record with this id.
    RecordHeader(u64),
    /// Attributes and payload of the record with this id.
    Body(u64),
    /// A header without a record.
    Watermark,
    /// Zeros between records and groups.
    Padding,
    /// The index, and the zeros behind it.
    Index,
    Trailer,
    /// Behind everything, in a segment that is not sealed.
    Beyond,
}

/// Splits a segment file, from its first byte to its last.
pub(super) fn regions(bytes: &[u8]) -> Vec<(Range<usize>, Region)> {
    let mut regions = vec![(0..4096, Region::SegmentHeader)];
    let mut at = 4096;
    let u32_at = |at: usize| {
        let word = bytes[at..at + 4].try_into().expect("four bytes");
        usize::try_from(u32::from_le_bytes(word)).expect("fits")
    };
    while bytes.get(at..at + 4) == Some(b"GSR1") {
        let id = u64::from_le_bytes(bytes[at + 24..at + 32].try_into().expect("eight bytes"));
        let flags = bytes[at + 49];
        let is_watermark = flags & 4 != 0;
        let body = at + 64..at + 64 + u32_at(at + 36);
        let header = if is_watermark { Region::Watermark } else { Region::RecordHeader(id) };
        regions.push((at..body.start, header));
        let end = body.end;
        if !is_watermark {
            regions.push((body, Region::Body(id)));
        }
        at = end.next_multiple_of(if flags & 1 == 0 { 8 } else { 4096 });
        regions.push((end..at, Region::Padding));
    }
    if bytes.get(at..at + 8) == Some(b"GSVINDX1") {
        let trailer = bytes.len() - 4096;
        regions.push((at..trailer, Region::Index));
        regions.push((trailer..bytes.len(), Region::Trailer));
    } else {
        regions.push((at..bytes.len(), Region::Beyond));
    }
    regions.retain(|(range, _)| !range.is_empty());
    regions
}

/// Where the record with this id ends.
pub(super) fn end_of(regions: &[(Range<usize>, Region)], id: u64) -> usize {
    let is_it = |region| region == Region::Body(id) || region == Region::RecordHeader(id);
    regions
        .iter()
        .filter(|(_, region)| is_it(*region))
        .map(|(range, _)| range.end)
        .max()
        .unwrap_or(0)
}

/// The id of a record, where the region belongs to one.
pub(super) fn id_of(region: Region) -> Option<u64> {
    match region {
        Region::RecordHeader(id) | Region::Body(id) => Some(id),
        _ => None,
    }
}
