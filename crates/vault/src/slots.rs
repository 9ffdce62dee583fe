//! A fixed file of two slots, overwritten in turn: small state that survives a torn write.
//!
//! ```text
//!  slot (4,096 bytes; slot 0 at 0, slot 1 at 4,096; generation g goes to slot g mod 2)
//!   off size field
//!     0   8  magic GSVSLOT1
//!     8   8  generation, from 1
//!    16   4  payload length
//!    20   n  payload
//!   ...      zeros
//!  4092   4  crc of bytes 0..4092
//! ```
//!
//! The newest valid slot wins. Updates happen in place, so they need no new blocks on a full disk.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::BLOCK_BYTES;
use crate::format::BLOCK_LEN;
use crate::format::crc;
use crate::fs::Access;
use crate::fs::File;
use crate::fs::FileSystem;

const MAGIC: [u8; 8] = *b"GSVSLOT1";
const PAYLOAD_AT: usize = 20;
const CRC_AT: usize = BLOCK_LEN - 4;

/// Two slots on disk.
#[derive(Debug)]
pub(super) struct SlotFile {
    files: Arc<dyn FileSystem>,
    path: PathBuf,
    /// Closed after a failed sync: that descriptor's later answers are worth nothing.
    file: Option<Box<dyn File>>,
    generation: u64,
}

impl SlotFile {
    /// Makes the file durably, with this payload in both slots.
    pub(super) fn create(
        files: Arc<dyn FileSystem>,
        dir: &Path,
        name: &str,
        payload: &[u8],
    ) -> io::Result<Self> {
        let temporary = dir.join(format!("{name}.tmp"));
        let path = dir.join(name);
        match files.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = files.create(&temporary, Access::Buffered)?;
        for generation in 1..=2 {
            file.write_at(&encode(generation, payload), slot_offset(generation))?;
        }
        file.sync_all()?;
        files.rename(&temporary, &path)?;
        files.sync_dir(dir)?;
        Ok(Self { files, path, file: Some(file), generation: 2 })
    }

    /// Opens the file and returns the newest valid payload; `None` when both slots are damaged.
    pub(super) fn open(
        files: Arc<dyn FileSystem>,
        path: &Path,
    ) -> io::Result<(Self, Option<Vec<u8>>)> {
        let file = files.open(path, Access::Buffered)?;
        let mut newest: Option<(u64, Vec<u8>)> = None;
        for slot in 0..2 {
            let mut block = [0; BLOCK_LEN];
            // An unreadable slot counts as a damaged one.
            let is_read = file.read_at(&mut block, slot * BLOCK_BYTES).is_ok();
            if let Some(found) = decode(&block).filter(|_| is_read)
                && newest.as_ref().is_none_or(|(generation, _)| *generation < found.0)
            {
                newest = Some(found);
            }
        }
        let generation = newest.as_ref().map_or(0, |(generation, _)| *generation);
        let path = path.to_path_buf();
        Ok((Self { files, path, file: Some(file), generation }, newest.map(|(_, payload)| payload)))
    }

    /// Makes the file again with this payload if it is not under its name any more; returns whether it
    /// was not.
    pub(super) fn put_back(&mut self, payload: &[u8]) -> io::Result<bool> {
        let there = match self.files.identity(&self.path) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let ours = self.file.as_ref().map(|file| file.identity()).transpose()?;
        // One that is closed after a failed sync is opened by its name.
        if there.is_some() && (ours.is_none() || ours == there) {
            return Ok(false);
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dir = self.path.parent().unwrap_or(Path::new("."));
        *self = Self::create(Arc::clone(&self.files), dir, &name, payload)?;
        Ok(true)
    }

    /// Writes the payload to the older slot and makes it durable.
    pub(super) fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.files.open(&self.path, Access::Buffered)?,
        };
        let generation = self.generation + 1;
        file.write_at(&encode(generation, payload), slot_offset(generation))?;
        file.sync_data()?;
        self.file = Some(file);
        self.generation = generation;
        Ok(())
    }
}

fn slot_offset(generation: u64) -> u64 {
    generation % 2 * BLOCK_BYTES
}

fn encode(generation: u64, payload: &[u8]) -> [u8; BLOCK_LEN] {
    assert!(payload.len() <= CRC_AT - PAYLOAD_AT, "a slot's payload has a fixed, small size");
    let mut block = [0; BLOCK_LEN];
    block[..8].copy_from_slice(&MAGIC);
    block[8..16].copy_from_slice(&generation.to_le_bytes());
    block[16] = payload.len().to_le_bytes()[0];
    block[17] = payload.len().to_le_bytes()[1];
    block[PAYLOAD_AT..PAYLOAD_AT + payload.len()].copy_from_slice(payload);
    let sum = crc(&block[..CRC_AT]);
    block[CRC_AT..].copy_from_slice(&sum.to_le_bytes());
    block
}

fn decode(block: &[u8; BLOCK_LEN]) -> Option<(u64, Vec<u8>)> {
    let stored: [u8; 4] = block[CRC_AT..].try_into().ok()?;
    if block[..8] != MAGIC || u32::from_le_bytes(stored) != crc(&block[..CRC_AT]) {
        return None;
    }
    let generation = u64::from_le_bytes(block[8..16].try_into().ok()?);
    let len = usize::from(u16::from_le_bytes([block[16], block[17]]));
    Some((generation, block.get(PAYLOAD_AT..PAYLOAD_AT + len)?.to_vec()))
}
