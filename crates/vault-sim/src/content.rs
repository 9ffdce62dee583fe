//! The bytes of one file in shared blocks: a copy costs pointers, a change one block.

use std::sync::Arc;

const BLOCK_LEN: usize = 4096;
/// What a device writes at once, or not at all.
pub(super) const SECTOR_LEN: usize = 512;

type Block = Arc<[u8; BLOCK_LEN]>;

/// The bytes of one file; blocks never written are zero and take no memory.
#[derive(Debug, Clone, Default)]
pub(super) struct FileContent {
    len: usize,
    blocks: Vec<Option<Block>>,
}

impl FileContent {
    /// A file with these bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(bytes, 0);
        content
    }

    /// All bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether both hold the same bytes; shared blocks are not looked into.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same_block = |(left, right): (&Option<Block>, &Option<Block>)| match (left, right) {
            (None, None) => true,
            (Some(left), Some(right)) => Arc::ptr_eq(left, right) || left == right,
            (Some(block), None) | (None, Some(block)) => block.iter().all(|byte| *byte == 0),
        };
        self.len == other.len && self.blocks.iter().zip(&other.blocks).all(is_same_block)
    }

    /// Reads up to the buffer's or the file's end; returns the bytes read.
    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> usize {
        let end = self.len.min(offset.saturating_add(buffer.len()));
        let mut at = offset;
        while at < end {
            let (block, from) = (at / BLOCK_LEN, at % BLOCK_LEN);
            let len = (BLOCK_LEN - from).min(end - at);
            let target = &mut buffer[at - offset..at - offset + len];
            match &self.blocks[block] {
                Some(bytes) => target.copy_from_slice(&bytes[from..from + len]),
                None => target.fill(0),
            }
            at += len;
        }
        end.saturating_sub(offset)
    }

    /// Writes, lengthening the file if need be.
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        self.set_len(self.len.max(offset + bytes.len()));
        let mut at = 0;
        while at < bytes.len() {
            let (block, from) = ((offset + at) / BLOCK_LEN, (offset + at) % BLOCK_LEN);
            let len = (BLOCK_LEN - from).min(bytes.len() - at);
            let block = self.blocks[block].get_or_insert_with(|| Arc::new([0; BLOCK_LEN]));
            Arc::make_mut(block)[from..from + len].copy_from_slice(&bytes[at..at + len]);
            at += len;
        }
    }

    /// Cuts or lengthens the file; new bytes are zero.
    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.len {
            let from = len % BLOCK_LEN;
            if let Some(Some(block)) = self.blocks.get_mut(len / BLOCK_LEN) {
                Arc::make_mut(block)[from..].fill(0);
            }
        }
        self.blocks.resize(len.div_ceil(BLOCK_LEN), None);
        self.len = len;
    }
}
