//! Damage, and what is lost by it.

use crate::segment::id::SegmentId;

/// What kind of damage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The segment's header block is damaged; its records may still be good.
    SegmentHeader,
    /// The footer of a sealed segment is damaged; it was read record by record instead.
    Footer,
    /// Bytes that hold no valid record header, between valid records.
    RecordHeader,
    /// A record whose body does not match its checksum or cannot be decompressed.
    Body,
    /// Bytes that must be zero are not; no record is lost.
    Padding,
    /// The disk could not read these bytes.
    Unreadable,
    /// The end of a segment was damaged, and what stood there was acknowledged.
    Tail,
    /// The end of a segment was never completed nor acknowledged.
    TornTail,
    /// Records are missing between two segments.
    Hole,
}

impl FaultKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SegmentHeader => "segment_header",
            Self::Footer => "footer",
            Self::RecordHeader => "request_header",
            Self::Body => "body",
            Self::Padding => "padding",
            Self::Unreadable => "unreadable",
            Self::Tail => "tail",
            Self::TornTail => "torn_tail",
            Self::Hole => "missing",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::SegmentHeader => "the header block is damaged; all requests are still readable",
            Self::Footer => "the footer is damaged; all requests are still readable",
            Self::RecordHeader => {
                "bytes between requests are damaged; requests in this range are lost"
            }
            Self::Body => "the bytes of a request are damaged; this request is lost",
            Self::Padding => "unused bytes are not zero; no request is lost",
            Self::Unreadable => "the disk cannot read these bytes; requests in this range are lost",
            Self::Tail => {
                "the end of the segment is damaged or cut off; acknowledged requests are lost"
            }
            Self::TornTail => "a crash left an incomplete end; no acknowledged request is lost",
            Self::Hole => "a segment is missing that some cursor had not passed",
        }
    }
}

/// One damaged range of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment.
    pub segment: SegmentId,
    /// The kind of damage.
    pub kind: FaultKind,
    /// First byte of the range.
    pub start: u64,
    /// End of the range.
    pub end: u64,
    /// First and last lost seq; `None` when no record was lost.
    pub lost: Option<(u64, u64)>,
}
