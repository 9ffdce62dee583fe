//! Page-aligned memory off the heap, as direct I/O wants it.

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
