//! Seals a segment: writes its crc and digest into a footer, gives it its final name.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::vault::append::segment::SealJob;
use crate::vault::append::segment::Written;
use crate::vault::append::spare::EXTENSION_SEALED;
use crate::vault::append::spare::segment_path;
use crate::vault::buffer::AlignedBuffer;
use crate::vault::format;
use crate::vault::format::BLOCK_BYTES;
use crate::vault::format::BLOCK_LEN;
use crate::vault::fs::FileSystem;
use crate::vault::read::pieces::Pieces;

/// A segment as it lies after sealing.
#[derive(Debug, Clone)]
pub(in crate::vault) struct Sealed {
    pub(in crate::vault) path: PathBuf,
    pub(in crate::vault) file_bytes: u64,
    pub(in crate::vault) segment_crc: u32,
    pub(in crate::vault) digest: [u8; 32],
}

/// A segment could not be sealed; it stays as it is.
#[derive(Debug, thiserror::Error)]
pub(in crate::vault) enum SealError {
    /// What came back from the disk is not what was written.
    #[error("segment reads back with crc {computed:#010x}, written with {written:#010x}")]
    Mismatch { written: u32, computed: u32 },
    /// The disk refused.
    #[error("cannot seal segment")]
    Io(#[from] io::Error),
}

/// Seals one segment with the crc and digest its writer took; reads it back where there are none, or
/// where the digest follows another predecessor.
///
/// Whether the disk kept what was written is looked at later, see [`crate::vault::append::scrub`].
pub(in crate::vault) fn seal(
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
    let path = segment_path(dir, job.id, EXTENSION_SEALED);
    files.rename(&job.path, &path)?;
    files.sync_dir(dir)?;
    Ok(Sealed { path, file_bytes, segment_crc, digest })
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
pub(in crate::vault) fn read_back(
    job: &SealJob,
    prev_digest: [u8; 32],
) -> io::Result<(u32, [u8; 32])> {
    let end = job.trailer.data_end;
    assert!(end.is_multiple_of(BLOCK_BYTES), "commit groups end at blocks");
    let mut pieces = Pieces::new(Arc::clone(&job.file), end)?;
    let mut crc = crc32fast::Hasher::new();
    let mut digest = format::digest_after(&prev_digest);
    while let Some(piece) = pieces.next()? {
        crc.update(piece);
        digest.update(piece);
    }
    Ok((crc.finalize(), *digest.finalize().as_bytes()))
}
