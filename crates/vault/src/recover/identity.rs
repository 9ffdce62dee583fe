//! The vault's id: 128 random bits in a slot file, made once with the directory.

use std::io;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::buffer::ReadBuffer;
use crate::error::VaultError;
use crate::format::BLOCK_LEN;
use crate::format::SegmentHeader;
use crate::fs::Access;
use crate::fs::FileSystem;
use crate::segment::examine::Candidate;
use crate::slots::SlotFile;

const NAME: &str = "vault_id";

/// Reads the id; makes one for a new vault. A lost id is taken from the segments it is written in.
pub(crate) fn load_or_create(
    files: &Arc<dyn FileSystem>,
    dir: &Path,
    segments: &[Candidate],
) -> Result<u128, VaultError> {
    let path = dir.join(NAME);
    let stored = load(files, dir)?;
    if let Stored::Id(id) = stored {
        return Ok(id);
    }
    let id = match id_of_segments(&**files, segments) {
        Some(id) => id,
        None if stored == Stored::Nothing => {
            random().map_err(VaultError::io("create an id for", dir))?
        }
        None => {
            let problem =
                "the file `vault_id` is damaged, and no segment contains the id".to_owned();
            return Err(VaultError::Foreign { path, problem });
        }
    };
    // Made anew even when damaged: both slots are written and take the old file's name at once.
    SlotFile::create(Arc::clone(files), dir, NAME, &id.to_le_bytes())
        .map_err(VaultError::io("create", &path))?;
    Ok(id)
}

/// Makes the id's file again if it was taken away; returns whether it was.
pub(crate) fn put_back(files: &Arc<dyn FileSystem>, dir: &Path, id: u128) -> io::Result<bool> {
    match files.identity(&dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            SlotFile::create(Arc::clone(files), dir, NAME, &id.to_le_bytes())?;
            Ok(true)
        }
        Err(error) => Err(error),
        Ok(_) => Ok(false),
    }
}

/// What the id's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// There is no file.
    Nothing,
    /// Both slots are damaged.
    Damaged,
    /// The id.
    Id(u128),
}

/// Reads the id's file.
pub(crate) fn load(files: &Arc<dyn FileSystem>, dir: &Path) -> Result<Stored, VaultError> {
    let path = dir.join(NAME);
    match SlotFile::open(Arc::clone(files), &path) {
        Ok((_, payload)) => {
            let bytes = payload.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
            Ok(bytes.map_or(Stored::Damaged, |bytes| Stored::Id(u128::from_le_bytes(bytes))))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stored::Nothing),
        Err(error) => Err(VaultError::io("read", &path)(error)),
    }
}

/// Returns the id in the first intact segment header.
pub(crate) fn id_of_segments(files: &dyn FileSystem, segments: &[Candidate]) -> Option<u128> {
    let mut block = ReadBuffer::new().ok()?;
    segments.iter().find_map(|candidate| {
        let file = files.open(&candidate.path, Access::Direct).ok()?;
        let count = file.read_at(&mut block[..BLOCK_LEN], 0).ok()?;
        Some(SegmentHeader::decode(&block[..count]).ok()?.vault_id)
    })
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::system::SystemFileSystem;

    fn files() -> Arc<dyn FileSystem> {
        Arc::new(SystemFileSystem)
    }

    #[test]
    fn each_vault_has_an_id_of_its_own_and_keeps_it() {
        let (one, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let id = load_or_create(&files(), one.path(), &[]).expect("makes an id");
        assert_ne!(id, load_or_create(&files(), other.path(), &[]).expect("makes an id"));
        assert_eq!(load_or_create(&files(), one.path(), &[]).expect("reads it"), id);
        assert_eq!(load(&files(), one.path()).expect("reads it"), Stored::Id(id));
    }

    #[test]
    fn a_damaged_id_that_no_segment_contains_is_not_made_up() {
        let dir = tempfile::tempdir().expect("a folder");
        load_or_create(&files(), dir.path(), &[]).expect("makes an id");
        let path = dir.path().join(NAME);
        let len = fs::metadata(&path).expect("is there").len();
        fs::write(&path, vec![0xff; usize::try_from(len).expect("fits")]).expect("writes");
        assert_eq!(load(&files(), dir.path()).expect("reads"), Stored::Damaged);
        let refused = load_or_create(&files(), dir.path(), &[]);
        assert!(matches!(refused, Err(VaultError::Foreign { .. })), "{refused:?}");
    }

    #[test]
    fn only_an_id_that_is_gone_is_put_back() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(put_back(&files(), dir.path(), 7).expect("puts it back"));
        assert!(!put_back(&files(), dir.path(), 8).expect("it is there"));
        assert_eq!(load(&files(), dir.path()).expect("reads it"), Stored::Id(7));
        // A folder that is a file: the id is not gone, it cannot be asked for.
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("writes");
        let error = put_back(&files(), &file, 7).expect_err("there is no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert!(load(&files(), &file).is_err());
    }
}
