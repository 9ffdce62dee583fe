//! Memory of one size, set aside beforehand: a record lies in a chain of slabs.
//!
//! A slab is pages of its own, which the system gives when they are first written. So a slab that was
//! used before goes first, and the memory in use is what was ever needed at once instead of all of it.

use std::io;

use crossbeam_queue::ArrayQueue;

use crate::buffer::AlignedBuffer;

/// What a slab holds: two pages.
pub(crate) const SLAB_DATA_BYTES: usize = 8192;

/// One slab, linked to the next of its record.
#[derive(Debug)]
struct Slab {
    next: Option<Box<Slab>>,
    data: AlignedBuffer,
}

/// The free slabs.
pub(crate) struct Slabs {
    used: ArrayQueue<Box<Slab>>,
    fresh: ArrayQueue<Box<Slab>>,
}

/// The slabs of one record, and how much is in them. Given back, not dropped.
#[derive(Debug, Default)]
pub(crate) struct SlabChain {
    first: Option<Box<Slab>>,
    len: usize,
}

impl Slabs {
    /// Sets aside as many as fit.
    ///
    /// # Errors
    ///
    /// The system has no address space for them.
    pub(crate) fn new(bytes: u64) -> io::Result<Self> {
        let count = usize::try_from(bytes / SLAB_DATA_BYTES as u64).unwrap_or(1).max(1);
        let (used, fresh) = (ArrayQueue::new(count), ArrayQueue::new(count));
        for _ in 0..count {
            let data = AlignedBuffer::new(SLAB_DATA_BYTES)?;
            let is_full = fresh.push(Box::new(Slab { next: None, data })).is_err();
            debug_assert!(!is_full, "the queue has room for each slab");
        }
        Ok(Self { used, fresh })
    }

    /// The bytes that all slabs hold.
    pub(crate) fn capacity(&self) -> usize {
        self.used.capacity() * SLAB_DATA_BYTES
    }

    /// The bytes that the free slabs hold.
    pub(crate) fn free(&self) -> usize {
        (self.used.len() + self.fresh.len()) * SLAB_DATA_BYTES
    }

    /// Copies attributes and payload into a chain, built from its last slab to its first.
    pub(crate) fn copy(&self, attrs: &[u8], payload: &[u8]) -> Option<SlabChain> {
        let len = attrs.len() + payload.len();
        let mut chain = SlabChain { first: None, len };
        for idx in (0..len.div_ceil(SLAB_DATA_BYTES)).rev() {
            let Some(mut slab) = self.used.pop().or_else(|| self.fresh.pop()) else {
                self.give_back(chain);
                return None;
            };
            let start = idx * SLAB_DATA_BYTES;
            let end = len.min(start + SLAB_DATA_BYTES);
            copy_part(attrs, payload, start, &mut slab.data[..end - start]);
            slab.next = chain.first.take();
            chain.first = Some(slab);
        }
        Some(chain)
    }

    /// Returns a chain slab by slab: a recursive drop could exhaust a small stack.
    pub(crate) fn give_back(&self, chain: SlabChain) {
        let mut next = chain.first;
        while let Some(mut slab) = next {
            next = slab.next.take();
            let is_full = self.used.push(slab).is_err();
            debug_assert!(!is_full, "a slab returns to its own place");
        }
    }
}

impl SlabChain {
    /// Hands the bytes to `take`, slab by slab.
    pub(crate) fn for_each<E>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut next, mut left) = (self.first.as_deref(), self.len);
        while let Some(slab) = next {
            let len = left.min(SLAB_DATA_BYTES);
            take(&slab.data[..len])?;
            left -= len;
            next = slab.next.as_deref();
        }
        Ok(())
    }
}

/// Copies the part of `attrs` followed by `payload` that starts at `start`.
fn copy_part(attrs: &[u8], payload: &[u8], start: usize, target: &mut [u8]) {
    let from_attrs = attrs.len().saturating_sub(start).min(target.len());
    if 0 < from_attrs {
        target[..from_attrs].copy_from_slice(&attrs[start..start + from_attrs]);
    }
    let rest = &mut target[from_attrs..];
    let start = (start + from_attrs) - attrs.len().min(start + from_attrs);
    rest.copy_from_slice(&payload[start..start + rest.len()]);
}
