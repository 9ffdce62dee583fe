//! Page-aligned buffers by size class, and the pool that keeps them for the next one who needs one.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use memmap2::MmapMut;

use crate::pool::budget::Grant;

/// The smallest class: one page.
const CLASS_BYTES_MIN: usize = 4 << 10;
/// The largest class; what is larger is mapped for itself and unmapped when it is released.
const CLASS_BYTES_MAX: usize = 1 << 20;
/// 4KiB, 8KiB, .. 1MiB.
const CLASSES: usize = (CLASS_BYTES_MAX / CLASS_BYTES_MIN).ilog2() as usize + 1;
/// The longest list of free buffers of one class.
const FREE_LEN_MAX: usize = 256;
const PAGE_BYTES: usize = 4 << 10;

/// Page-aligned buffers, mapped off the heap.
///
/// It bounds what it keeps idle; what is in use is bounded by the budgets whose grants the buffers
/// hold.
#[derive(Debug)]
pub struct Pool {
    classes: [Class; CLASSES],
    idle_bytes: AtomicU64,
    idle_bytes_max: AtomicU64,
}

/// The free buffers of one size.
#[derive(Debug)]
struct Class {
    bytes: usize,
    free: ArrayQueue<MmapMut>,
    /// The fewest that were free since the last trim: so many nobody needed.
    fewest: AtomicUsize,
}

impl Pool {
    /// Makes an empty pool that keeps at most so many bytes for later.
    #[must_use]
    pub fn new(idle_bytes_max: u64) -> Arc<Self> {
        let class = |idx: usize| {
            let bytes = CLASS_BYTES_MIN << idx;
            let free_len_max = (idle_bytes_max / bytes as u64).clamp(1, FREE_LEN_MAX as u64);
            let free = ArrayQueue::new(usize::try_from(free_len_max).unwrap_or(FREE_LEN_MAX));
            Class { bytes, free, fewest: AtomicUsize::new(0) }
        };
        Arc::new(Self {
            classes: std::array::from_fn(class),
            idle_bytes: AtomicU64::new(0),
            idle_bytes_max: AtomicU64::new(idle_bytes_max),
        })
    }

    /// The size of the buffer that holds so many bytes: what a grant for it should have.
    #[must_use]
    pub const fn capacity_for(bytes: usize) -> usize {
        if bytes <= CLASS_BYTES_MIN {
            CLASS_BYTES_MIN
        } else if bytes <= CLASS_BYTES_MAX {
            bytes.next_power_of_two()
        } else {
            bytes.next_multiple_of(PAGE_BYTES)
        }
    }

    /// Returns an empty buffer that holds so many bytes, with the grant that pays for it; without
    /// one the caller has paid and holds the grant.
    ///
    /// # Errors
    ///
    /// What the system says when it has no memory to map.
    pub fn acquire(
        self: &Arc<Self>,
        bytes: usize,
        grant: Option<Grant>,
    ) -> io::Result<PooledBuffer> {
        let capacity = Self::capacity_for(bytes);
        let class = self.class(capacity);
        let map = match class.and_then(|class| self.reuse(class)) {
            Some(map) => map,
            None => MmapMut::map_anon(capacity)?,
        };
        Ok(PooledBuffer::new(map, Arc::clone(self), grant))
    }

    /// Bytes that are kept for later.
    #[must_use]
    pub fn idle_bytes(&self) -> u64 {
        self.idle_bytes.load(Ordering::Relaxed)
    }

    /// Changes how many bytes are kept for later; what is too much goes at the next trim.
    pub fn set_idle_max(&self, bytes: u64) {
        self.idle_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Gives the system back what nobody has needed since the last call, and what is above the limit.
    pub fn trim(&self) {
        // The largest go first: they are the fewest and free the most.
        for class in self.classes.iter().rev() {
            let unneeded = class.fewest.load(Ordering::Relaxed);
            for _ in 0..unneeded {
                drop(self.reuse(class));
            }
            while self.idle_bytes_max.load(Ordering::Relaxed) < self.idle_bytes() {
                let Some(map) = self.reuse(class) else { break };
                drop(map);
            }
            class.fewest.store(class.free.len(), Ordering::Relaxed);
        }
    }

    /// Gives the system back all that is kept for later.
    pub fn release_idle(&self) {
        for class in &self.classes {
            // Those that come back meanwhile stay.
            for _ in 0..class.free.len() {
                drop(self.reuse(class));
            }
        }
    }

    /// Keeps a buffer for later, or unmaps it.
    fn release(&self, map: MmapMut) {
        let Some(class) = self.class(map.len()) else { return };
        let bytes = class.bytes as u64;
        let max = self.idle_bytes_max.load(Ordering::Relaxed);
        let idle = self.idle_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if max < idle || class.free.push(map).is_err() {
            self.idle_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn reuse(&self, class: &Class) -> Option<MmapMut> {
        let map = class.free.pop();
        let left = class.free.len();
        if left < class.fewest.load(Ordering::Relaxed) {
            class.fewest.fetch_min(left, Ordering::Relaxed);
        }
        if map.is_some() {
            self.idle_bytes.fetch_sub(class.bytes as u64, Ordering::Relaxed);
        }
        map
    }

    fn class(&self, capacity: usize) -> Option<&Class> {
        let idx = (capacity / CLASS_BYTES_MIN).checked_ilog2()?;
        self.classes.get(idx as usize).filter(|class| class.bytes == capacity)
    }
}

/// A page-aligned buffer, filled from its start; it is seen as far as it is filled. Dropping it
/// returns the memory to the pool and the grant to its budget.
#[derive(Debug)]
pub struct PooledBuffer {
    /// Taken when dropped.
    map: Option<MmapMut>,
    len: usize,
    pool: Arc<Pool>,
    grant: Option<Grant>,
}

/// What stands behind frozen bytes.
struct Frozen(PooledBuffer);

impl PooledBuffer {
    const fn new(map: MmapMut, pool: Arc<Pool>, grant: Option<Grant>) -> Self {
        Self { map: Some(map), len: 0, pool, grant }
    }

    /// The bytes that it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.len())
    }

    /// Appends bytes.
    ///
    /// # Panics
    ///
    /// When there is no room for them.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The part that is not filled; what is in it is not defined.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.map.as_mut().map_or(&mut [], |map| &mut map[len..])
    }

    /// Says that so many bytes of [`PooledBuffer::spare_mut`] were filled.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.capacity() - self.len, "more is filled than there is");
        self.len += bytes;
    }

    /// The grant that pays for it.
    #[must_use]
    pub const fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// Makes it shareable; it returns to the pool when the last clone is dropped. Costs one small
    /// allocation.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        if self.len == 0 { Bytes::new() } else { Bytes::from_owner(Frozen(self)) }
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            self.pool.release(map);
        }
    }
}
