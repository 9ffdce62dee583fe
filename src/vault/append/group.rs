//! The memory commit groups go through: put together here, written from here, digested from here.
//!
//! ```text
//!  | group | group | group being put together |  free  |
//!  0               start                      filled    capacity
//! ```
//!
//! Groups of one segment follow each other as they do in the file. A group that does not fit behind the
//! others begins a new buffer; the full one goes to the digest thread.

use std::io;
use std::sync::mpsc::Receiver;

use crate::vault::append::digest::Digested;
use crate::vault::append::digest::Digester;
use crate::vault::buffer::AlignedBuffer;
use crate::vault::format::BLOCK_LEN;
use crate::vault::fs::File;

/// A group ends before the record that would make it larger; a record that is larger is one alone.
pub(in crate::vault) const GROUP_BYTES_MAX: usize = 1 << 20;

/// A group and, before a segment's first one, the segment's header: one group is one write. Only a
/// record larger than a group takes several.
const BUFFER_BYTES: usize = GROUP_BYTES_MAX + BLOCK_LEN;

/// The buffer that is being filled, and where the full ones go.
pub(in crate::vault) struct GroupBuffer {
    digester: Digester,
    /// `None` only after the digest thread was lost.
    buffer: Option<AlignedBuffer>,
    start: usize,
    filled: usize,
    /// Where in the file `start` lies.
    offset: u64,
}

impl GroupBuffer {
    /// Maps the buffers and starts the digest thread.
    pub(in crate::vault) fn new(last_digest: [u8; 32]) -> io::Result<Self> {
        let (digester, buffer) = Digester::start(last_digest, BUFFER_BYTES)?;
        Ok(Self { digester, buffer: Some(buffer), start: 0, filled: 0, offset: 0 })
    }

    /// Begins a group of about this many bytes at a place of the file.
    pub(in crate::vault) fn begin(&mut self, offset: u64, group_bytes: u64) -> io::Result<()> {
        self.filled = self.start;
        self.offset = offset;
        if ((BUFFER_BYTES - self.start) as u64) < group_bytes {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Where in the file the next byte will lie.
    pub(in crate::vault) fn position(&self) -> u64 {
        self.offset + (self.filled - self.start) as u64
    }

    /// Adds bytes to the group; writes what there is of it when the buffer is full.
    pub(in crate::vault) fn push(&mut self, file: &dyn File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.filled == BUFFER_BYTES {
                self.write(file)?;
                self.hand_over()?;
            }
            let len = bytes.len().min(BUFFER_BYTES - self.filled);
            let filled = self.filled;
            self.bytes()?[filled..filled + len].copy_from_slice(&bytes[..len]);
            self.filled += len;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Writes the group, which ends at a block.
    pub(in crate::vault) fn write(&mut self, file: &dyn File) -> io::Result<()> {
        let (start, filled, offset) = (self.start, self.filled, self.offset);
        file.write_at(&self.bytes()?[start..filled], offset)?;
        self.offset += (filled - start) as u64;
        self.start = filled;
        Ok(())
    }

    /// The segment is complete: its digest will come.
    pub(in crate::vault) fn end_segment(&mut self) -> Receiver<Digested> {
        self.filled = self.start;
        // Without the digest thread no digest comes, and the segment is read back instead.
        drop(self.hand_over());
        self.digester.end_segment()
    }

    /// The segment failed.
    pub(in crate::vault) fn abandon_segment(&mut self) {
        (self.start, self.filled) = (0, 0);
        self.digester.abandon_segment();
    }

    fn bytes(&mut self) -> io::Result<&mut AlignedBuffer> {
        self.buffer.as_mut().ok_or_else(|| io::Error::other("the digest thread has ended"))
    }

    /// Exchanges the buffer for an empty one.
    fn hand_over(&mut self) -> io::Result<()> {
        if 0 < self.start
            && let Some(buffer) = self.buffer.take()
        {
            self.buffer = Some(self.digester.exchange(buffer, self.start)?);
        }
        (self.start, self.filled) = (0, 0);
        Ok(())
    }
}
