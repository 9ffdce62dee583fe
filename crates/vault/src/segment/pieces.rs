//! The data of a segment as it lies on disk, read once from its begin to its end.

use std::io;
use std::sync::Arc;

use crate::buffer::ReadBuffer;
use crate::buffer::WINDOW_BYTES;
use crate::fs::File;

/// Reads a file in large pieces, one at a time.
pub(crate) struct PieceReader {
    file: Arc<dyn File>,
    buffer: ReadBuffer,
    offset: u64,
    end: u64,
}

impl PieceReader {
    /// Will read the bytes from 0 to `end`, a multiple of a block.
    pub(crate) fn new(file: Arc<dyn File>, end: u64) -> io::Result<Self> {
        Ok(Self { file, buffer: ReadBuffer::new()?, offset: 0, end })
    }

    /// Returns the next piece; `None` behind the last. A file that ends before `end` is an error.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(WINDOW_BYTES);
        if left == 0 {
            return Ok(None);
        }
        let piece = &mut self.buffer[..left.min(WINDOW_BYTES)];
        if self.file.read_at(piece, self.offset)? < piece.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += piece.len() as u64;
        Ok(Some(piece))
    }
}
