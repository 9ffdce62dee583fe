//! Seals a segment: writes its crc and digest into a footer, gives it its final name.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::buffer::AlignedBuffer;
use crate::format;
use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::IndexEntry;
use crate::format::Trailer;
use crate::fs::File;
use crate::fs::FileSystem;
use crate::segment::id::EXTENSION_SEALED;
use crate::segment::id::SegmentId;
use crate::segment::id::segment_path;
use crate::segment::pieces::PieceReader;

/// A segment as it lies after sealing.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) path: PathBuf,
    pub(crate) file_bytes: u64,
    pub(crate) segment_crc: u32,
    pub(crate) digest: [u8; 32],
}

/// The segment before, as named in a header.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Predecessor {
    pub(crate) segment: u64,
    pub(crate) last_seq: u64,
    pub(crate) crc: u32,
}

/// Everything needed to write a footer.
pub(crate) struct SealJob {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) index: Vec<IndexEntry>,
    /// Complete but for crc and digests.
    pub(crate) trailer: Trailer,
    /// What its writer knows; nothing when it is found after a start.
    pub(crate) written: Option<Written>,
}

/// Crc and digest of what was written to a segment.
pub(crate) struct Written {
    pub(crate) crc: u32,
    pub(crate) digested: Receiver<Digested>,
}

/// The digest of a segment, and that of the segment it was made to follow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digested {
    pub(crate) prev_digest: [u8; 32],
    pub(crate) digest: [u8; 32],
}

/// A segment could not be sealed; it stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// What came back from the disk is not what was written.
    #[error("the disk returned crc {computed:#010x} for a segment written with {written:#010x}")]
    Mismatch { written: u32, computed: u32 },
    /// The disk refused.
    #[error("cannot seal segment: {0}")]
    Io(#[from] io::Error),
}

/// Seals one segment with the crc and digest its writer took; reads it back where there are none, or
/// where the digest follows another predecessor.
///
/// Whether the disk kept what was written is looked at later, see [`crate::append::scrub`].
pub(crate) fn seal(
    files: &dyn FileSystem,
    dir: &Path,
    mut job: SealJob,
    prev_digest: [u8; 32],
) -> Result<Sealed, SealError> {
    let (segment_crc, digest) = match job.written.take() {
        None => read_back(&job, prev_digest)?,
        Some(Written { crc, digested }) => match digested.recv() {
            Ok(digested) if digested.prev_digest == prev_digest => (crc, digested.digest),
            _ => {
                let (computed, digest) = read_back(&job, prev_digest)?;
                if computed != crc {
                    return Err(SealError::Mismatch { written: crc, computed });
                }
                (crc, digest)
            }
        },
    };
    job.trailer.segment_crc = segment_crc;
    job.trailer.prev_digest = prev_digest;
    job.trailer.digest = digest;
    job.trailer.index_entries = u32::try_from(job.index.len()).unwrap_or(u32::MAX);
    let file_bytes = write_footer(&job)?;
    let path = name_sealed(files, dir, &job);
    Ok(Sealed { path, file_bytes, segment_crc, digest })
}

/// Gives the segment its final name. With its footer it is sealed under either name: where the disk does
/// not do it now, the next start does.
fn name_sealed(files: &dyn FileSystem, dir: &Path, job: &SealJob) -> PathBuf {
    let path = segment_path(dir, job.id, EXTENSION_SEALED);
    if let Err(error) = files.rename(&job.path, &path) {
        tracing::warn!(
            %error, segment = %job.id,
            "Cannot rename a sealed segment; it keeps its old name."
        );
        return job.path.clone();
    }
    if let Err(error) = files.sync_dir(dir) {
        tracing::warn!(%error, segment = %job.id, "Cannot sync the name of a sealed segment.");
    }
    path
}

/// Writes index and trailer into blocks the segment already owns, and lets go of the rest.
fn write_footer(job: &SealJob) -> io::Result<u64> {
    let index = format::encode_index(&job.index);
    let index_len = index.len().next_multiple_of(BLOCK_LEN);
    let mut footer = AlignedBuffer::new(index_len + BLOCK_LEN)?;
    footer[..index.len()].copy_from_slice(&index);
    job.trailer.encode(&mut footer[index_len..]);
    let data_end = job.trailer.data_end;
    let file_bytes = data_end + footer.len() as u64;
    // Cut first: the trailer is looked for in the file's last block.
    if file_bytes < job.file.bytes()? {
        job.file.truncate(file_bytes)?;
    }
    job.file.write_at(&footer, data_end)?;
    job.file.sync_all()?;
    Ok(file_bytes)
}

/// Reads the data of a segment back; returns its crc, and its digest after this predecessor.
pub(crate) fn read_back(job: &SealJob, prev_digest: [u8; 32]) -> io::Result<(u32, [u8; 32])> {
    let end = job.trailer.data_end;
    assert!(end.is_multiple_of(BLOCK_BYTES), "commit groups end at blocks");
    let mut pieces = PieceReader::new(Arc::clone(&job.file), end)?;
    let mut crc = crc32fast::Hasher::new();
    let mut digest = format::digest_after(&prev_digest);
    while let Some(piece) = pieces.next()? {
        crc.update(piece);
        digest.update(piece);
    }
    Ok((crc.finalize(), *digest.finalize().as_bytes()))
}
