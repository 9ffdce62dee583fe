//! Room for requests: what each may hold in memory, from its first byte to its answer.
//!
//! ```text
//!  whole when it comes           grows while it is read, inflated or converted
//!        |                          |
//!        |                       connection   a quarter of the share, for all that is not complete
//!        |                          |
//!        |                       large        three quarters, for what is over 1 MiB
//!        v                          v
//!      source: in_flight_max     source
//!      process: ingest           process
//! ```
//!
//! A request that needs more room waits in front of the gates, and not in the queue of the shares, where
//! all that come later would wait behind it. So small requests find room beside any number of connections
//! that send large ones, or a few bytes that inflate to megabytes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::RefusedRequest;
use super::partial_success::PartialSuccess;
use crate::pool::Budget;
use crate::pool::Grant;
use crate::pool::Memory;
use crate::pool::Pool;
use crate::pool::PooledBuffer;
use crate::somatic::Rest;

/// Why a request is refused that finds no room here.
const NO_MEMORY: &str = "requests that wait for their delivery use all the memory for requests";
/// What is larger goes through the gate for large requests while it is not complete.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Two limits, and both must have room: that of the source and that of the process.
pub(super) struct Admission {
    source: Arc<Budget>,
    process: Arc<Budget>,
    /// Large requests that are not complete, on all connections.
    large: Arc<Budget>,
    pool: Arc<Pool>,
    /// The first request ends it.
    rest: Arc<Rest>,
    /// Who finds no room for so long is refused.
    patience: Duration,
}

/// What one connection holds for requests that are not complete.
pub(super) struct ConnectionShare(Arc<Budget>);

/// Room for the requests of one connection.
#[derive(Clone, Copy)]
pub(super) struct ConnectionAdmission<'r> {
    room: &'r Admission,
    connection: &'r Arc<Budget>,
}

/// What one request holds; given back when dropped.
pub(super) struct Permit {
    /// Not for one that was complete when it came.
    incomplete: Option<Incomplete>,
    source: Grant,
    process: Grant,
}

/// What a request holds of the gates until it is complete.
struct Incomplete {
    connection: Grant,
    large: Option<Grant>,
}

/// A whole request, and what it holds.
pub(super) struct AdmittedRequest {
    pub(super) wire: Bytes,
    pub(super) held: Permit,
    /// What is to be told of it beside the OK.
    pub(super) partial: Option<PartialSuccess>,
}

impl Admission {
    /// Makes room for one source in a process.
    pub(super) fn new(
        source_bytes: u64,
        memory: &Memory,
        rest: &Arc<Rest>,
        patience: Duration,
    ) -> Self {
        Self {
            source: Budget::new("in_flight_max", source_bytes),
            process: Arc::clone(&memory.ingest),
            large: Budget::new("large", 0),
            pool: Arc::clone(&memory.pool),
            rest: Arc::clone(rest),
            patience,
        }
    }

    /// The room that a connection has here.
    pub(super) const fn of<'r>(&'r self, share: &'r ConnectionShare) -> ConnectionAdmission<'r> {
        ConnectionAdmission { room: self, connection: &share.0 }
    }

    fn try_take(&self, bytes: u64) -> Option<(Grant, Grant)> {
        self.rest.wake();
        let source = self.source.try_take(bytes)?;
        Some((source, self.process.try_take(bytes)?))
    }

    async fn take(&self, bytes: u64) -> (Grant, Grant) {
        self.rest.wake();
        let source = self.source.take(bytes).await;
        (source, self.process.take(bytes).await)
    }

    /// A quarter of what requests may hold.
    fn quarter(&self) -> u64 {
        self.source.limit().min(self.process.limit()) / 4
    }

    async fn patiently<T>(&self, room: impl Future<Output = T>) -> Result<T, RefusedRequest> {
        let late = |_| RefusedRequest::Busy { retry_after: self.patience, why: NO_MEMORY };
        tokio::time::timeout(self.patience, room).await.map_err(late)
    }
}

impl ConnectionShare {
    /// A connection that holds nothing.
    pub(super) fn new() -> Self {
        Self(Budget::new("connection", 0))
    }
}

impl ConnectionAdmission<'_> {
    /// Takes room for a request that has come whole, waiting for it if need be.
    pub(super) async fn take(self, bytes: u64) -> Result<Permit, RefusedRequest> {
        // As a rule there is room, and no timer is needed.
        if let Some(permit) = self.try_take(bytes) {
            return Ok(permit);
        }
        let (source, process) = self.room.patiently(self.room.take(bytes)).await?;
        Ok(Permit { incomplete: None, source, process })
    }

    /// Takes room for a request that has come whole, if there is room now.
    pub(super) fn try_take(self, bytes: u64) -> Option<Permit> {
        let (source, process) = self.room.try_take(bytes)?;
        Some(Permit { incomplete: None, source, process })
    }

    /// Takes room for so many bytes of a request that is not complete, if there is room now.
    pub(super) fn try_begin(self, bytes: u64) -> Option<Permit> {
        self.set_limits();
        let connection = self.connection.try_take(bytes)?;
        let large =
            if SMALL_BYTES_MAX < bytes { Some(self.room.large.try_take(bytes)?) } else { None };
        let (source, process) = self.room.try_take(bytes)?;
        Some(Permit { incomplete: Some(Incomplete { connection, large }), source, process })
    }

    /// Takes room for so many bytes of a request that is not complete, waiting for it if need be.
    pub(super) async fn begin(self, bytes: u64) -> Result<Permit, RefusedRequest> {
        self.room
            .patiently(async {
                let incomplete = Some(self.pass_gates(bytes).await);
                let (source, process) = self.room.take(bytes).await;
                Permit { incomplete, source, process }
            })
            .await
    }

    /// Takes room for so many bytes more, waiting for it if need be. The request is not complete until
    /// [`Permit::complete`].
    pub(super) async fn grow(self, held: &mut Permit, more: u64) -> Result<(), RefusedRequest> {
        let bytes = held.bytes().saturating_add(more);
        self.room
            .patiently(async {
                match &mut held.incomplete {
                    Some(incomplete) => self.grow_gates(incomplete, bytes).await,
                    None => held.incomplete = Some(self.pass_gates(bytes).await),
                }
                held.source.grow(more).await;
                held.process.grow(more).await;
            })
            .await
    }

    /// Takes room for so many bytes more, if there is room now. A request for which there is none is to be refused:
    /// it may have passed some of the gates.
    pub(super) fn try_grow(self, held: &mut Permit, more: u64) -> bool {
        let bytes = held.bytes().saturating_add(more);
        self.set_limits();
        let has_passed = match &mut held.incomplete {
            Some(Incomplete { connection, large }) => {
                let has_passed = connection.try_grow(bytes.saturating_sub(connection.bytes()));
                has_passed
                    && match large {
                        Some(large) => large.try_grow(bytes.saturating_sub(large.bytes())),
                        None if bytes <= SMALL_BYTES_MAX => true,
                        None => {
                            *large = self.room.large.try_take(bytes);
                            large.is_some()
                        }
                    }
            }
            // It was complete when it came, and so it does not grow.
            None => true,
        };
        has_passed && held.source.try_grow(more) && held.process.try_grow(more)
    }

    /// Returns a buffer for so many bytes, for which room was taken.
    pub(super) fn buffer(self, bytes: usize) -> Result<PooledBuffer, RefusedRequest> {
        self.room.pool.acquire(bytes, None).map_err(|error| {
            tracing::error!(%error, bytes, "Cannot map memory.");
            self.busy()
        })
    }

    /// What a request is told for which there is no room.
    pub(super) const fn busy(self) -> RefusedRequest {
        RefusedRequest::Busy { retry_after: self.room.patience, why: NO_MEMORY }
    }

    async fn pass_gates(self, bytes: u64) -> Incomplete {
        self.set_limits();
        let connection = self.connection.take(bytes).await;
        let mut incomplete = Incomplete { connection, large: None };
        if SMALL_BYTES_MAX < bytes {
            incomplete.large = Some(self.room.large.take(bytes).await);
        }
        incomplete
    }

    /// Lets a request that has passed the gates have so many bytes in all.
    async fn grow_gates(self, incomplete: &mut Incomplete, bytes: u64) {
        self.set_limits();
        let more = bytes.saturating_sub(incomplete.connection.bytes());
        incomplete.connection.grow(more).await;
        match &mut incomplete.large {
            Some(large) => large.grow(bytes.saturating_sub(large.bytes())).await,
            None if bytes <= SMALL_BYTES_MAX => {}
            None => incomplete.large = Some(self.room.large.take(bytes).await),
        }
    }

    /// Limits follow those of the shares, which a reload may change.
    fn set_limits(self) {
        let quarter = self.room.quarter();
        for (gate, limit) in [(self.connection, quarter), (&self.room.large, quarter * 3)] {
            if gate.limit() != limit {
                gate.set_limit(limit);
            }
        }
    }
}

impl Permit {
    pub(super) fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    /// Gives back what is above so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        if let Some(Incomplete { connection, large }) = &mut self.incomplete {
            connection.shrink_to(bytes);
            if let Some(large) = large {
                large.shrink_to(bytes);
            }
        }
        self.source.shrink_to(bytes);
        self.process.shrink_to(bytes);
    }

    /// The request needs no more room: others may pass the gates.
    pub(super) fn complete(&mut self) {
        self.incomplete = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::MemoryLimits;

    const MIB: u64 = 1 << 20;
    const SHARE: u64 = 96 * MIB;

    fn room(memory: &Memory) -> Admission {
        Admission::new(SHARE, memory, &Arc::default(), Duration::from_millis(50))
    }

    fn memory() -> Arc<Memory> {
        Memory::new(&MemoryLimits { ingest: SHARE, ..MemoryLimits::NONE })
    }

    fn is_busy<T>(result: &Result<T, RefusedRequest>) -> bool {
        matches!(result, Err(RefusedRequest::Busy { .. }))
    }

    /// Scenario: four connections begin requests of 8 MiB until none finds room, and go on trying.
    /// Guarantees: a connection holds a quarter at most, all of them three quarters; a small request, whole
    /// or in pieces, has room at once on any connection; a large one on another connection has room as
    /// soon as one of theirs is complete.
    #[tokio::test]
    async fn small_requests_find_room_beside_connections_that_take_all_they_can() {
        let (memory, others) = (memory(), [(); 4].map(|()| ConnectionShare::new()));
        let room = room(&memory);
        let mut held = Vec::new();
        for (idx, share) in others.iter().enumerate() {
            let mut count = 0;
            while let Ok(taken) = room.of(share).begin(8 * MIB).await {
                held.push(taken);
                count += 1;
            }
            assert_eq!(count, if idx < 3 { 3 } else { 0 }, "connection {idx}");
        }
        assert_eq!(memory.ingest.used(), 72 * MIB);
        let large_waits = room.of(&others[3]).begin(8 * MIB);
        let honest = ConnectionShare::new();
        let small_pass = async {
            let connection = room.of(&honest);
            let whole = connection.take(SMALL_BYTES_MAX).await.map(|held| held.bytes());
            let mut pieces = connection.begin(MIB / 4).await.unwrap();
            connection.grow(&mut pieces, MIB / 2).await.unwrap();
            (whole, pieces.bytes())
        };
        let (waited, passed) = tokio::join!(large_waits, small_pass);
        assert!(is_busy(&waited));
        assert_eq!(passed, (Ok(SMALL_BYTES_MAX), MIB / 4 * 3));
        held[0].complete();
        let mut large = room.of(&honest).begin(8 * MIB).await.unwrap();
        assert!(is_busy(&room.of(&honest).grow(&mut large, 8 * MIB).await));
        drop((held, large));
        assert_eq!((memory.ingest.used(), room.large.used()), (0, 0));
        assert!(others.iter().chain([&honest]).all(|share| share.0.used() == 0));
    }

    /// Scenario: a request larger than a quarter, and than all of the share.
    /// Guarantees: it passes alone; what it gives back, the gates have too.
    #[tokio::test]
    async fn a_request_larger_than_its_gates_passes_alone() {
        let (memory, share) = (memory(), ConnectionShare::new());
        let room = room(&memory);
        let mut held = room.of(&share).begin(SHARE + 1).await.unwrap();
        assert!(is_busy(&room.of(&share).begin(1).await));
        held.shrink_to(MIB);
        assert_eq!((share.0.used(), room.large.used(), memory.ingest.used()), (MIB, MIB, MIB));
        room.of(&share).grow(&mut held, 1).await.unwrap();
        held.complete();
        assert_eq!((share.0.used(), room.large.used(), memory.ingest.used()), (0, 0, MIB + 1));
        room.of(&share).grow(&mut held, 1).await.unwrap();
        assert_eq!((share.0.used(), room.large.used()), (MIB + 2, MIB + 2));
    }

    /// Scenario: 128 streams of one connection begin requests of 1 MiB, each in pieces.
    /// Guarantees: together they hold a quarter of the share.
    #[tokio::test]
    async fn streams_of_one_connection_share_its_quarter() {
        let (memory, share) = (memory(), ConnectionShare::new());
        let room = room(&memory);
        let stream = |_| room.of(&share).begin(MIB);
        let held = futures_util::future::join_all((0..128).map(stream)).await;
        assert_eq!(held.iter().filter(|held| held.is_ok()).count(), 24);
        assert_eq!(memory.ingest.used(), SHARE / 4);
    }
}
