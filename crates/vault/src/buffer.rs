//! Page-aligned memory off the heap, as direct I/O wants it.

use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::ops::DerefMut;

use memmap2::MmapMut;
use memmap2::MmapOptions;

/// A fixed, zeroed, page-aligned buffer.
#[derive(Debug)]
pub(super) struct AlignedBuffer {
    map: MmapMut,
}

impl AlignedBuffer {
    /// Maps `bytes` of anonymous memory.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        Ok(Self { map: MmapMut::map_anon(bytes)? })
    }

    /// As [`AlignedBuffer::new`], with every page touched now rather than on first use.
    pub(super) fn new_touched(bytes: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(bytes).populate().map_anon()? })
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

/// So much is read at once where a segment is read from begin to end.
pub(super) const WINDOW_BYTES: usize = 256 * 1024;
/// Windows that a thread keeps for the next time: a start looks into thousands of segments.
const KEPT_MAX: usize = 4;

thread_local! {
    static KEPT: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// A page-aligned buffer of [`WINDOW_BYTES`] to read into, that may have been used before: its
/// content is any.
#[derive(Debug)]
pub(super) struct ReadBuffer(Option<AlignedBuffer>);

impl ReadBuffer {
    /// Takes one that this thread has kept, or maps one.
    pub(super) fn new() -> io::Result<Self> {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        let buffer = kept.map_or_else(|| AlignedBuffer::new(WINDOW_BYTES), Ok)?;
        Ok(Self(Some(buffer)))
    }
}

impl Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let Some(buffer) = self.0.take() else { return };
        // A thread that ends has none any more.
        let _ended = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_again_by_its_thread() {
        let mut first = ReadBuffer::new().unwrap();
        first[WINDOW_BYTES - 1] = 7;
        let at = first.as_ptr();
        drop(first);
        let (again, other) = (ReadBuffer::new().unwrap(), ReadBuffer::new().unwrap());
        assert_eq!((again.as_ptr(), again[WINDOW_BYTES - 1]), (at, 7));
        assert_eq!((other.len(), other[WINDOW_BYTES - 1]), (WINDOW_BYTES, 0));
    }
}
