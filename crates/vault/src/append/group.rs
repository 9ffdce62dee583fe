//! A commit group: records that become durable together, and the memory they are written from.
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
use std::time::Instant;

use crate::append::digest::Digester;
use crate::append::queue::QUEUE_RECORDS_MAX;
use crate::append::queue::Staged;
use crate::append::staging::StagedRecord;
use crate::buffer::AlignedBuffer;
use crate::format::BLOCK_LEN;
use crate::fs::File;
use crate::segment::seal::Digested;

/// Groups on their way at once: one that is written, and one that is ready when it is done.
pub(crate) const FLIGHTS_MAX: usize = 2;

/// Records that are written and synced together, and who waits for them.
pub(crate) struct CommitGroup<C> {
    pub(crate) records: Vec<StagedRecord>,
    pub(crate) waiting: Vec<C>,
    /// What the records take in a segment.
    pub(crate) bytes: u64,
    /// When it was on its way to the disk.
    pub(crate) started: Instant,
}

impl<C> CommitGroup<C> {
    /// An empty group with room for all that can be queued.
    pub(crate) fn new() -> Self {
        Self {
            records: Vec::with_capacity(QUEUE_RECORDS_MAX),
            waiting: Vec::with_capacity(QUEUE_RECORDS_MAX),
            bytes: 0,
            started: Instant::now(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn push(&mut self, staged: Staged<C>) {
        self.bytes += staged.record.span_bytes();
        self.records.push(staged.record);
        self.waiting.push(staged.done);
    }

    /// Gives the staged bytes back; returns how many there were.
    pub(crate) fn forget_records(&mut self) -> u64 {
        self.records.clear();
        std::mem::take(&mut self.bytes)
    }
}

/// A group in a buffer of its own, ready to be written.
pub(crate) struct GroupLoad {
    pub(crate) buffer: AlignedBuffer,
    /// Bytes before it are on disk already.
    start: usize,
    /// Bytes of the segment in the buffer.
    pub(crate) filled: usize,
    offset: u64,
}

impl GroupLoad {
    pub(crate) fn write(&self, file: &dyn File) -> io::Result<()> {
        file.write_at(&self.buffer[self.start..self.filled], self.offset)
    }
}

/// The buffer that is being filled, and where the full ones go.
pub(crate) struct GroupBuffer {
    digester: Digester,
    /// `None` only after the digest thread was lost.
    buffer: Option<AlignedBuffer>,
    /// A group and, before a segment's first one, the segment's header: one group is one write. Only a
    /// record larger than a group takes several.
    capacity: usize,
    start: usize,
    filled: usize,
    /// Where in the file `start` lies.
    offset: u64,
}

impl GroupBuffer {
    /// Maps the buffers, for groups of at most `group_bytes_max`, and starts the digest thread.
    pub(crate) fn new(last_digest: [u8; 32], group_bytes_max: u64) -> io::Result<Self> {
        let group = usize::try_from(group_bytes_max).map_err(io::Error::other)?;
        let capacity = group.next_multiple_of(BLOCK_LEN) + BLOCK_LEN;
        let (digester, buffer) = Digester::start(last_digest, capacity, FLIGHTS_MAX)?;
        Ok(Self { digester, buffer: Some(buffer), capacity, start: 0, filled: 0, offset: 0 })
    }

    /// Begins a group of about this many bytes at a place of the file.
    pub(crate) fn begin(&mut self, offset: u64, group_bytes: u64) -> io::Result<()> {
        self.filled = self.start;
        self.offset = offset;
        if ((self.capacity - self.start) as u64) < group_bytes {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Where in the file the next byte will lie.
    pub(crate) fn position(&self) -> u64 {
        self.offset + (self.filled - self.start) as u64
    }

    /// Adds bytes to the group; writes what there is of it when the buffer is full.
    pub(crate) fn push(&mut self, file: &dyn File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.filled == self.capacity {
                self.write(file)?;
                self.hand_over()?;
            }
            let len = bytes.len().min(self.capacity - self.filled);
            let filled = self.filled;
            self.bytes()?[filled..filled + len].copy_from_slice(&bytes[..len]);
            self.filled += len;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Writes the group, which ends at a block.
    pub(crate) fn write(&mut self, file: &dyn File) -> io::Result<()> {
        let (start, filled, offset) = (self.start, self.filled, self.offset);
        file.write_at(&self.bytes()?[start..filled], offset)?;
        self.offset += (filled - start) as u64;
        self.start = filled;
        Ok(())
    }

    /// Takes the group with its buffer, to be written elsewhere; the next one is put together in another
    /// buffer.
    pub(crate) fn detach(&mut self) -> io::Result<GroupLoad> {
        let (start, filled, offset) = (self.start, self.filled, self.offset);
        let buffer = self.buffer.take().ok_or_else(digest_thread_ended)?;
        (self.start, self.filled) = (0, 0);
        self.buffer = Some(self.digester.take_empty()?);
        Ok(GroupLoad { buffer, start, filled, offset })
    }

    /// Takes back a buffer that was detached, with as many bytes of the segment in it as are on disk.
    pub(crate) fn attach(&self, buffer: AlignedBuffer, len: usize) {
        // Without the digest thread no digest comes, and the segment is read back instead.
        drop(self.digester.give(buffer, len));
    }

    /// Adds buffers to those in turn, or none.
    pub(crate) fn add_buffers(&self, count: usize) -> io::Result<()> {
        let make = |_| AlignedBuffer::new_touched(self.capacity);
        let buffers: Vec<_> = (0..count).map(make).collect::<io::Result<_>>()?;
        buffers.into_iter().try_for_each(|buffer| self.digester.give(buffer, 0))
    }

    /// The segment is complete: its digest will come.
    pub(crate) fn end_segment(&mut self) -> Receiver<Digested> {
        self.filled = self.start;
        // Without the digest thread no digest comes, and the segment is read back instead.
        drop(self.hand_over());
        self.digester.end_segment()
    }

    /// The segment failed.
    pub(crate) fn abandon_segment(&mut self) {
        (self.start, self.filled) = (0, 0);
        self.digester.abandon_segment();
    }

    fn bytes(&mut self) -> io::Result<&mut AlignedBuffer> {
        self.buffer.as_mut().ok_or_else(digest_thread_ended)
    }

    /// Exchanges the buffer for an empty one.
    fn hand_over(&mut self) -> io::Result<()> {
        if 0 < self.start
            && let Some(buffer) = self.buffer.take()
        {
            self.digester.give(buffer, self.start)?;
            self.buffer = Some(self.digester.take_empty()?);
        }
        (self.start, self.filled) = (0, 0);
        Ok(())
    }
}

fn digest_thread_ended() -> io::Error {
    io::Error::other("the digest thread has ended")
}
