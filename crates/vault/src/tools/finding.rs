//! What a verification can find, and what each means for the operator.

use std::path::PathBuf;

use crate::segment::fault::DamagedRange;
use crate::segment::fault::FaultKind;

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// A damaged range of a segment, or records that are missing between two.
    Fault(FaultKind),
    /// The index of a sealed segment.
    Index,
    /// The footer's counts and seqs are not those of its records.
    Facts,
    /// The segment's checksum is not the footer's, though every record is good.
    SegmentCrc,
    /// The segment's digest is not the footer's, though its checksum is.
    Digest,
    /// The footer names another predecessor's digest than the predecessor has.
    Chain,
    /// The header's facts about the predecessor are not the predecessor's.
    Predecessor,
    /// The file of a cursor.
    Cursor,
    /// The file with the vault's id.
    VaultId,
    /// A segment of another vault or an unknown version.
    Foreign,
    /// A segment lies in quarantine and nothing is wrong with it.
    Quarantined,
}

impl FindingKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault(kind) => kind.name(),
            Self::Index => "index",
            Self::Facts => "facts",
            Self::SegmentCrc => "segment_crc",
            Self::Digest => "digest",
            Self::Chain => "chain",
            Self::Predecessor => "predecessor",
            Self::Cursor => "cursor",
            Self::VaultId => "vault_id",
            Self::Foreign => "foreign",
            Self::Quarantined => "quarantined",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Fault(kind) => kind.meaning(),
            Self::Index => "the index is damaged; no request is lost, but seeking is slower",
            Self::Facts => {
                "the footer does not match the requests: the segment was written wrongly or altered"
            }
            Self::SegmentCrc => {
                "the checksum does not match the footer: the segment was altered after sealing"
            }
            Self::Digest => {
                "the digest does not match the footer, although the checksum does: the segment was \
                 altered on purpose"
            }
            Self::Chain => "the chain of digests is broken: a segment was altered or replaced",
            Self::Predecessor => {
                "the previous segment is not the one this segment was written after"
            }
            Self::Cursor => "the cursor is damaged; it restarts at the oldest request",
            Self::VaultId => "the file `vault_id` is damaged; the segments still contain the id",
            Self::Foreign => "this file belongs to another vault or a newer version",
            Self::Quarantined => "the quarantined segment is intact; `repair` restores it",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The segment's number, if it is about one.
    pub segment: Option<u64>,
    /// What kind.
    pub kind: FindingKind,
    /// The file.
    pub path: PathBuf,
    /// First byte of the range.
    pub start: u64,
    /// End of the range.
    pub end: u64,
    /// First and last seq that are lost by it.
    pub lost: Option<(u64, u64)>,
}

impl Finding {
    pub(crate) fn of_fault(fault: &DamagedRange, path: PathBuf) -> Self {
        let kind = FindingKind::Fault(fault.kind);
        let segment = Some(fault.segment.get());
        Self { segment, kind, path, start: fault.start, end: fault.end, lost: fault.lost }
    }
}
