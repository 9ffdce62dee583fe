//! Room for requests: what each may hold in memory, from its first byte to its answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::Refused;
use crate::pool::Budget;
use crate::pool::Grant;
use crate::pool::Memory;
use crate::pool::Pool;
use crate::pool::PooledBuffer;

/// Two limits, and both must have room: that of the source and that of the process.
pub(super) struct Room {
    source: Arc<Budget>,
    process: Arc<Budget>,
    pool: Arc<Pool>,
    /// Who finds no room for so long is refused.
    patience: Duration,
}

/// What one request holds; given back when dropped.
pub(super) struct Held {
    source: Grant,
    process: Grant,
}

/// A whole request, and what it holds.
pub(super) struct Received {
    pub(super) wire: Bytes,
    pub(super) held: Held,
}

impl Room {
    /// Makes room for one source in a process.
    pub(super) fn new(source_bytes: u64, memory: &Memory, patience: Duration) -> Self {
        Self {
            source: Budget::new("in_flight_max", source_bytes),
            process: Arc::clone(&memory.ingest),
            pool: Arc::clone(&memory.pool),
            patience,
        }
    }

    /// Takes room for so many bytes, waiting for it if need be.
    pub(super) async fn take(&self, bytes: u64) -> Result<Held, Refused> {
        // As a rule there is room, and no timer is needed.
        if let Some(held) = self.try_take(bytes) {
            return Ok(held);
        }
        self.patiently(async {
            let source = self.source.take(bytes).await;
            Held { source, process: self.process.take(bytes).await }
        })
        .await
    }

    fn try_take(&self, bytes: u64) -> Option<Held> {
        let source = self.source.try_take(bytes)?;
        Some(Held { source, process: self.process.try_take(bytes)? })
    }

    /// Takes room for so many bytes more, waiting for it if need be.
    pub(super) async fn grow(&self, held: &mut Held, more: u64) -> Result<(), Refused> {
        self.patiently(async {
            held.source.grow(more).await;
            held.process.grow(more).await;
        })
        .await
    }

    /// Returns a buffer for so many bytes, for which room was taken.
    pub(super) fn buffer(&self, bytes: usize) -> Result<PooledBuffer, Refused> {
        self.pool.acquire(bytes, None).map_err(|error| {
            tracing::error!(%error, bytes, "Memory cannot be mapped.");
            Refused::Busy { retry_after: self.patience }
        })
    }

    async fn patiently<T>(&self, room: impl Future<Output = T>) -> Result<T, Refused> {
        let late = |_| Refused::Busy { retry_after: self.patience };
        tokio::time::timeout(self.patience, room).await.map_err(late)
    }
}

impl Held {
    pub(super) fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    /// Gives back what is above so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        self.source.shrink_to(bytes);
        self.process.shrink_to(bytes);
    }
}
