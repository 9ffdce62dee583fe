//! A request on its way into memory: a pooled buffer that grows, with room taken before it does.

use bytes::Bytes;

use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::admission::Permit;
use super::answer::RefusedRequest;
use crate::pool::Pool;
use crate::pool::PooledBuffer;

/// Below this a copy of its own costs less than what a piece of a frame keeps in memory: the whole
/// buffer that the connection read it into.
pub(super) const SHARED_BYTES_MIN: usize = 16 << 10;

/// A buffer, and the room that it and whatever it is made from hold.
pub(super) struct Filling<'r> {
    room: ConnectionAdmission<'r>,
    held: Permit,
    /// What is held beside the buffer.
    beside: u64,
    /// Taken and put back by who fills it on another thread.
    pub(super) buffer: PooledBuffer,
    pub(super) limit: usize,
}

/// Takes a request that came in one piece as it is.
pub(super) async fn whole(
    room: ConnectionAdmission<'_>,
    piece: Bytes,
) -> Result<AdmittedRequest, RefusedRequest> {
    let held = room.take(piece.len() as u64).await?;
    let wire = if piece.len() < SHARED_BYTES_MIN { Bytes::copy_from_slice(&piece) } else { piece };
    Ok(AdmittedRequest { wire, held, partial: None })
}

impl<'r> Filling<'r> {
    /// Begins a request that probably has so many bytes, and at most `limit`.
    pub(super) async fn begin(
        room: ConnectionAdmission<'r>,
        bytes: usize,
        limit: usize,
    ) -> Result<Self, RefusedRequest> {
        let held = room.begin(Pool::capacity_for(bytes) as u64).await?;
        Ok(Self { room, held, beside: 0, buffer: room.buffer(bytes)?, limit })
    }

    /// Begins one that is made from something that holds room already.
    pub(super) async fn begin_beside(
        room: ConnectionAdmission<'r>,
        mut held: Permit,
        bytes: usize,
        limit: usize,
    ) -> Result<Self, RefusedRequest> {
        let beside = held.bytes();
        room.grow(&mut held, Pool::capacity_for(bytes) as u64).await?;
        Ok(Self { room, held, beside, buffer: room.buffer(bytes)?, limit })
    }

    /// Takes a piece in, and makes room for it first.
    pub(super) async fn push(&mut self, piece: &[u8]) -> Result<(), RefusedRequest> {
        let needed = self.buffer.len() + piece.len();
        if self.limit < needed {
            return Err(RefusedRequest::TooLarge { limit_bytes: self.limit as u64 });
        }
        if self.buffer.capacity() < needed {
            self.enlarge(needed).await?;
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// Moves into a buffer twice as large.
    async fn enlarge(&mut self, needed: usize) -> Result<(), RefusedRequest> {
        let bytes = (self.buffer.capacity() * 2).min(self.limit).max(needed);
        let capacity = Pool::capacity_for(bytes) as u64;
        self.room.grow(&mut self.held, capacity).await?;
        let mut next = self.room.buffer(bytes)?;
        next.extend_from_slice(&self.buffer);
        self.buffer = next;
        self.held.shrink_to(self.beside + capacity);
        Ok(())
    }

    /// The request is complete; what it was made from must be gone.
    pub(super) fn finish(self) -> AdmittedRequest {
        let Self { mut held, buffer, .. } = self;
        held.shrink_to(buffer.capacity() as u64);
        AdmittedRequest { wire: buffer.freeze(), held, partial: None }
    }
}
