//! Where both protocols end: one request of protobuf bytes goes in, an answer comes out.

use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use super::answer::Refused;
use super::origin::Origins;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::flow::Acceptor;
use crate::flow::Refusal;
use crate::flow::accept::Waits;
use crate::metrics::RefusalCause;
use crate::metrics::SourceMetrics;
use crate::otlp;

/// The unit of the in-flight budget: semaphores count to 2^29 or so, bytes go beyond.
const PERMIT_BYTES: u64 = 1024;

/// Checks, counts and accepts requests.
pub(super) struct Desk {
    acceptor: Acceptor,
    metrics: SourceMetrics,
    origins: Origins,
    /// Bytes of requests that wait for their answer.
    budget: Arc<Semaphore>,
    permits_max: u32,
    waits: Waits,
}

impl Desk {
    pub(super) fn new(
        acceptor: Acceptor,
        metrics: SourceMetrics,
        origins: Origins,
        in_flight_bytes: u64,
        waits: Waits,
    ) -> Self {
        let permits = in_flight_bytes.div_ceil(PERMIT_BYTES).clamp(1, u64::from(u32::MAX >> 4));
        let permits_max = u32::try_from(permits).unwrap_or(u32::MAX >> 4);
        let budget = Arc::new(Semaphore::new(permits_max as usize));
        Self { acceptor, metrics, origins, budget, permits_max, waits }
    }

    /// Takes one request, and returns when it may be acknowledged.
    pub(super) async fn take(
        &self,
        signal: Signal,
        wire: Bytes,
        provenance: Provenance,
    ) -> Result<(), Refused> {
        let result = self.try_take(signal, wire, provenance).await;
        match &result {
            Ok(()) => self.metrics.accepted.inc(),
            Err(refused) => self.count(refused),
        }
        result
    }

    /// Notes where a request with these headers comes from.
    pub(super) fn provenance(&self, headers: &HeaderMap) -> Provenance {
        self.origins.of(headers)
    }

    /// Counts a request that was refused before it got here.
    pub(super) fn count(&self, refused: &Refused) {
        self.metrics.refuse(match refused {
            Refused::Invalid(_) => RefusalCause::Invalid,
            Refused::TooLarge { .. } => RefusalCause::TooLarge,
            Refused::Unsupported { .. } => RefusalCause::Unsupported,
            Refused::Busy { .. } => RefusalCause::Busy,
            Refused::Rejected => RefusalCause::Rejected,
        });
    }

    async fn try_take(
        &self,
        signal: Signal,
        wire: Bytes,
        provenance: Provenance,
    ) -> Result<(), Refused> {
        let summary =
            otlp::prescan(signal, &wire).map_err(|error| Refused::Invalid(error.to_string()))?;
        self.metrics.bytes.inc_by(wire.len() as u64);
        if summary.records == 0 {
            // Legal, and nothing to keep.
            return Ok(());
        }
        let _in_flight = self.reserve(wire.len() as u64).await?;
        let received_unix_ns = now_unix_ns();
        let records = summary.records;
        let request = Request { signal, wire, records, received_unix_ns, provenance };
        self.acceptor.accept(request).await.map_err(|refusal| match refusal {
            Refusal::Busy { retry_after } => Refused::Busy { retry_after },
            Refusal::Rejected => Refused::Rejected,
        })
    }

    /// Draws on the in-flight budget, waiting for it if need be. A request larger than the whole
    /// budget takes all of it.
    async fn reserve(&self, bytes: u64) -> Result<SemaphorePermit<'_>, Refused> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let permits = permits.min(self.permits_max);
        if let Ok(permit) = self.budget.try_acquire_many(permits) {
            return Ok(permit);
        }
        let wait = tokio::time::timeout(self.waits.patience, self.budget.acquire_many(permits));
        match wait.await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Refused::Busy { retry_after: self.waits.patience }),
        }
    }
}

fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
