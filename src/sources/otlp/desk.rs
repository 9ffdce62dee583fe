//! Where both protocols end: one request of protobuf bytes goes in, an answer comes out.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use hyper::body::Incoming;

use super::answer::Refused;
use super::arrival::Arrivals;
use super::body::Body;
use super::drag::Drag;
use super::origin::Origins;
use super::room::Received;
use super::room::Room;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::flow::Acceptor;
use crate::flow::Refusal;
use crate::metrics::RefusalCause;
use crate::metrics::SourceMetrics;
use crate::otlp;
use crate::somatic::Counted;

/// Checks, counts and accepts requests.
pub(super) struct Desk {
    acceptor: Acceptor,
    metrics: SourceMetrics,
    origins: Origins,
    room: Room,
    /// How long a sender may be silent in the middle of a request.
    silence_max: Duration,
    /// Requests that wait for their answer, for the watchdog.
    tally: Counted,
    drag: Drag,
}

impl Desk {
    pub(super) fn new(
        acceptor: Acceptor,
        metrics: SourceMetrics,
        origins: Origins,
        room: Room,
        silence_max: Duration,
        tally: Counted,
        drag: Drag,
    ) -> Self {
        Self { acceptor, metrics, origins, room, silence_max, tally, drag }
    }

    /// Where requests take room before they are read.
    pub(super) const fn room(&self) -> &Room {
        &self.room
    }

    /// How hard the brake is pulled, from 0 to 1.
    pub(super) fn pull(&self) -> f64 {
        self.drag.pull()
    }

    /// The body of a request, to be read; not at once while answers are slow.
    pub(super) async fn body(&self, request: http::Request<Incoming>, arrivals: Arrivals) -> Body {
        self.drag.before_reading().await;
        Body::new(request.into_body(), self.silence_max, arrivals)
    }

    /// Takes one request whose last byte came at `arrived`, and returns when it may be acknowledged.
    pub(super) async fn take(
        &self,
        signal: Signal,
        received: Received,
        arrived: Instant,
        provenance: Provenance,
    ) -> Result<(), Refused> {
        let began = self.drag.begin();
        let result = self.try_take(signal, received, arrived, provenance).await;
        match &result {
            Ok(()) => {
                self.metrics.accept();
                self.drag.before_answering(began).await;
            }
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
        if matches!(refused, Refused::Busy { .. }) {
            self.tally.refuse();
        }
        self.metrics.refuse(match refused {
            Refused::Invalid(_) | Refused::Broken(_) => RefusalCause::Invalid,
            Refused::Stalled { .. } => RefusalCause::Stalled,
            Refused::TooLarge { .. } => RefusalCause::TooLarge,
            Refused::Unsupported { .. } => RefusalCause::Unsupported,
            Refused::Busy { .. } => RefusalCause::Busy,
            Refused::Rejected { .. } => RefusalCause::Rejected,
        });
    }

    async fn try_take(
        &self,
        signal: Signal,
        received: Received,
        arrived: Instant,
        provenance: Provenance,
    ) -> Result<(), Refused> {
        let Received { wire, held } = received;
        let summary =
            otlp::prescan(signal, &wire).map_err(|error| Refused::Invalid(error.to_string()))?;
        self.metrics.receive(wire.len() as u64);
        if summary.records == 0 {
            // Legal, and nothing to keep.
            return Ok(());
        }
        let received_unix_ns = now_unix_ns();
        let records = summary.records;
        let request = Request { signal, wire, records, received_unix_ns, provenance };
        let _under_way = self.tally.begin();
        let accepted = self.acceptor.accept_holding(request, arrived, held).await;
        if matches!(accepted, Ok(()) | Err(Refusal::Rejected { .. })) {
            self.tally.done();
        }
        accepted.map_err(|refusal| match refusal {
            Refusal::Busy { retry_after } => Refused::Busy { retry_after },
            Refusal::Rejected { reason } => Refused::Rejected { reason },
        })
    }
}

fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
