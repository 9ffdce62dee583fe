//! One buffer of the pool.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::MmapMut;

use crate::pool::grant::Grant;
use crate::pool::slabs::Pool;

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
    pub(super) const fn new(map: MmapMut, pool: Arc<Pool>, grant: Option<Grant>) -> Self {
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
