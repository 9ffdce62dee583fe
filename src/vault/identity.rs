//! The vault's id: 128 random bits in a slot file, made once with the directory.

use std::io;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::vault::buffer::AlignedBuffer;
use crate::vault::error::VaultError;
use crate::vault::examine::Candidate;
use crate::vault::format::BLOCK_LEN;
use crate::vault::format::SegmentHeader;
use crate::vault::fs::Access;
use crate::vault::fs::FileSystem;
use crate::vault::slots::SlotFile;

const NAME: &str = "vault_id";

/// Reads the id; makes one for a new vault. A lost id is taken from the segments it is written in.
pub(super) fn load_or_create(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    segments: &[Candidate],
) -> Result<u128, VaultError> {
    let path = dir.join(NAME);
    let stored = load(files, dir)?;
    if let Some(Some(id)) = stored {
        return Ok(id);
    }
    let id = match (id_of_segments(&**files, segments), stored) {
        (Some(id), _) => id,
        (None, None) => random().map_err(VaultError::io("make an id for", dir))?,
        (None, Some(_)) => {
            let problem = "the vault's id is damaged and no segment tells it".to_owned();
            return Err(VaultError::Foreign { path, problem });
        }
    };
    // Made anew even when damaged: both slots are written and take the old file's name at once.
    SlotFile::create(Arc::clone(files), dir, NAME, &id.to_le_bytes())
        .map_err(VaultError::io("create", &path))?;
    Ok(id)
}

/// Reads the id: `None` when there is no file, `Some(None)` when it is damaged.
pub(super) fn load(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
) -> Result<Option<Option<u128>>, VaultError> {
    let path = dir.join(NAME);
    match SlotFile::open(Arc::clone(files), &path) {
        Ok((_, payload)) => {
            let bytes = payload.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            Ok(Some(bytes.map(u128::from_le_bytes)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VaultError::io("read", &path)(error)),
    }
}

/// Returns the id in the first intact segment header.
pub(super) fn id_of_segments(files: &dyn FileSystem, segments: &[Candidate]) -> Option<u128> {
    let mut block = AlignedBuffer::new(BLOCK_LEN).ok()?;
    segments.iter().find_map(|candidate| {
        let file = files.open(&candidate.path, Access::Direct).ok()?;
        let count = file.read_at(&mut block, 0).ok()?;
        Some(SegmentHeader::decode(&block[..count]).ok()?.vault_id)
    })
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
