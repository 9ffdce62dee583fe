//! From the file of a sealed segment to the object that is uploaded, in constant memory.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use gophership_vault::SealedSegment;
use rustix::fs::Advice;

use crate::error::ArchiveError;
use crate::frame::FrameOptions;
use crate::hex::crc_text;
use crate::sums::Summing;
use crate::sums::SummingWriter;
use crate::sums::Sums;

/// The file is read in pieces of this size; between them others have their turn.
const PIECE_BYTES: usize = 128 * 1024;
/// Nothing compresses to more than this beside its own length.
const OVERHEAD_BYTES: u64 = 1 << 20;

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// The segment file.
    pub raw: Sums,
    /// The object.
    pub object: Sums,
}

/// Writes the object of a segment to `target`, a file in the spool that is made anew, and checks the segment
/// on the way: its bytes must be those that its footer was made of. Blocks.
///
/// `between` is called before each piece of 128 KiB: it may rest, or break to stop.
///
/// # Errors
///
/// [`ArchiveError::Damaged`] when the segment is not what its footer says, [`ArchiveError::Stopped`], or
/// [`ArchiveError::Io`]. The target is incomplete then.
pub fn encode(
    segment: &SealedSegment,
    target: &Path,
    options: FrameOptions,
    mut between: impl FnMut() -> ControlFlow<()>,
) -> Result<Encoded, ArchiveError> {
    let path = &segment.path;
    let mut source = File::open(path).map_err(ArchiveError::io("open", path))?;
    let mut open = OpenOptions::new();
    let file = open.write(true).create(true).truncate(true).open(target);
    let file = file.map_err(ArchiveError::io("make", target))?;
    let limit = segment.file_bytes.saturating_add(segment.file_bytes / 64 + OVERHEAD_BYTES);
    let writer = SummingWriter::new(BufWriter::new(file), limit);
    let mut encoder = options
        .encoder(Some(segment.file_bytes), writer)
        .map_err(ArchiveError::io("compress", target))?;
    let mut check = Check::new(segment);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if between().is_break() {
            return Err(ArchiveError::Stopped);
        }
        let count = source.read(&mut piece).map_err(ArchiveError::io("read", path))?;
        if count == 0 {
            break;
        }
        check.update(&piece[..count]);
        if segment.file_bytes < check.all.bytes() {
            break;
        }
        encoder.write_all(&piece[..count]).map_err(ArchiveError::io("write", target))?;
    }
    let raw = check.finish()?;
    let mut writer = encoder.finish().map_err(ArchiveError::io("write", target))?;
    writer.flush().map_err(ArchiveError::io("write", target))?;
    // Best effort: what was read once must not displace what is read often.
    let _told = rustix::fs::fadvise(&source, 0, None, Advice::DontNeed);
    Ok(Encoded { raw, object: writer.summing.sums() })
}

/// Compares what is read with what the footer says.
struct Check<'a> {
    segment: &'a SealedSegment,
    all: Summing,
    records: crc32fast::Hasher,
    chain: blake3::Hasher,
}

impl<'a> Check<'a> {
    fn new(segment: &'a SealedSegment) -> Self {
        let mut chain = blake3::Hasher::new();
        chain.update(&segment.previous_digest);
        Self { segment, all: Summing::default(), records: crc32fast::Hasher::new(), chain }
    }

    fn update(&mut self, piece: &[u8]) {
        let left = self.segment.data_end.saturating_sub(self.all.bytes());
        let left = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        self.records.update(&piece[..left]);
        self.chain.update(&piece[..left]);
        self.all.update(piece);
    }

    fn finish(self) -> Result<Sums, ArchiveError> {
        let Self { segment, all, records, chain } = self;
        let damaged =
            |problem: String| Err(ArchiveError::Damaged { path: segment.path.clone(), problem });
        if all.bytes() != segment.file_bytes {
            let expected = segment.file_bytes;
            return damaged(format!("it has {} bytes instead of {expected}", all.bytes()));
        }
        let crc = records.finalize();
        if crc != segment.segment_crc {
            let (found, expected) = (crc_text(crc), crc_text(segment.segment_crc));
            return damaged(format!("its records have checksum {found} instead of {expected}"));
        }
        if *chain.finalize().as_bytes() != segment.digest {
            return damaged("its records do not have the digest of its footer".to_owned());
        }
        Ok(all.sums())
    }
}
