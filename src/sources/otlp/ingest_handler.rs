//! Where both protocols end: one request of protobuf bytes goes in, an answer comes out.

use std::time::Duration;
use std::time::Instant;

use gophership_units::unix_ns;
use http::HeaderMap;
use hyper::body::Incoming;

use super::admission::Admission;
use super::admission::AdmittedRequest;
use super::admission::ConnectionAdmission;
use super::admission::ConnectionShare;
use super::answer::RefusedRequest;
use super::auth::Auth;
use super::body::IncomingBody;
use super::cors::Cors;
use super::deadline::Deadline;
use super::limits::RequestLimits;
use super::origin::Origins;
use super::partial_success::PartialSuccess;
use super::response_delay::ResponseDelay;
use super::screen::screen;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::flow::Acceptor;
use crate::flow::Refusal;
use crate::metrics::RefusalCause;
use crate::metrics::SourceMetrics;
use crate::net;
use crate::somatic::WatchedWorkCounter;

/// When senders may come back while GopherShip drains: by then they may have found another server.
const DRAINING_RETRY: Duration = Duration::from_secs(2);

/// Checks, counts and accepts requests.
pub(super) struct IngestHandler {
    acceptor: Acceptor,
    metrics: SourceMetrics,
    origins: Origins,
    room: Admission,
    limits: RequestLimits,
    /// Requests that wait for their answer, for the watchdog.
    tally: WatchedWorkCounter,
    response_delay: ResponseDelay,
    /// Whom it lets in; all, if there is none.
    auth: Option<Auth>,
    /// Which pages may send; none, if there is none.
    cors: Option<Cors>,
}

impl IngestHandler {
    pub(super) fn new(
        acceptor: Acceptor,
        metrics: SourceMetrics,
        origins: Origins,
        room: Admission,
        limits: RequestLimits,
        tally: WatchedWorkCounter,
        response_delay: ResponseDelay,
    ) -> Self {
        let (auth, cors) = (None, None);
        Self { acceptor, metrics, origins, room, limits, tally, response_delay, auth, cors }
    }

    /// The same, for those only whom these let in.
    pub(super) fn guarded(self, auth: Option<Auth>, cors: Option<Cors>) -> Self {
        Self { auth, cors, ..self }
    }

    /// Refuses a request whose sender is not let in.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<(), RefusedRequest> {
        self.check_sender(headers).inspect_err(|refused| self.count(refused))
    }

    /// Whether the sender of a request is let in.
    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        self.check_sender(headers).is_ok()
    }

    fn check_sender(&self, headers: &HeaderMap) -> Result<(), RefusedRequest> {
        self.auth.as_ref().map_or(Ok(()), |auth| auth.check(headers))
    }

    /// Which pages may send from a browser.
    pub(super) const fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// Whether new requests are taken: not while an operator drains.
    pub(super) fn serves(&self) -> bool {
        !self.acceptor.is_draining()
    }

    /// Where requests of a connection take room before they are read.
    pub(super) const fn room<'r>(&'r self, share: &'r ConnectionShare) -> ConnectionAdmission<'r> {
        self.room.of(share)
    }

    /// What each request may be.
    pub(super) const fn limits(&self) -> &RequestLimits {
        &self.limits
    }

    /// How much answers are delayed, as a share of the longest delay: from 0 to 1.
    pub(super) fn delay_severity(&self) -> f64 {
        self.response_delay.delay_severity()
    }

    /// The body of a request, to be read after [`IngestHandler::before_reading`].
    pub(super) fn body(&self, incoming: Incoming, during: &net::ActiveRequest) -> IncomingBody {
        IncomingBody::new(incoming, self.limits.read_idle, during.activity())
    }

    /// Waits before a request is read, while answers are slow.
    pub(super) async fn before_reading(&self) {
        self.response_delay.before_reading().await;
    }

    /// Whether a sender that waits so long at most has its answer by then anyway, once its request is
    /// read.
    pub(super) fn answers_within(&self, wait: Duration) -> bool {
        self.acceptor.hurried(wait).is_none()
    }

    /// Takes one request whose last byte came at `arrived`, and returns when it may be acknowledged, and
    /// what is to be told beside. With a `deadline` it has its answer by then: from the vault if there is
    /// one, or it is withdrawn.
    pub(super) async fn take(
        &self,
        signal: Signal,
        received: AdmittedRequest,
        arrived: Instant,
        provenance: Provenance,
        deadline: Option<Deadline>,
        room: ConnectionAdmission<'_>,
    ) -> Result<Option<PartialSuccess>, RefusedRequest> {
        let began = self.response_delay.begin();
        let left = deadline.map(|deadline| deadline.left());
        let hurried = left.and_then(|left| self.acceptor.hurried(left));
        let acceptor = hurried.as_ref().unwrap_or(&self.acceptor);
        let result = match deadline.filter(|_| left.is_some_and(|left| left.is_zero())) {
            // Nobody waits for it any more, and nothing has it yet.
            Some(deadline) => Err(deadline.refusal()),
            None => self.try_take(acceptor, signal, received, arrived, provenance, room).await,
        };
        match result {
            Ok(partial) => {
                self.metrics.accept();
                if let Some(partial) = &partial {
                    self.metrics.accept_partially(partial.malformed_records());
                }
                let latest = deadline.filter(|_| hurried.is_some()).map(|deadline| deadline.half());
                self.response_delay.before_answering(began, latest).await;
                self.metrics.acknowledge(arrived.elapsed());
                Ok(partial)
            }
            Err(refused) => {
                let is_busy = matches!(refused, RefusedRequest::Busy { .. });
                let is_late = |deadline: &Deadline| is_busy && deadline.left().is_zero();
                let refused = match deadline.filter(is_late) {
                    Some(deadline) => deadline.refusal(),
                    None => refused,
                };
                self.count(&refused);
                Err(refused)
            }
        }
    }

    /// Notes where a request with these headers comes from.
    pub(super) fn provenance(&self, headers: &HeaderMap) -> Provenance {
        self.origins.of(headers)
    }

    /// Counts a request that was refused before it got here.
    pub(super) fn count(&self, refused: &RefusedRequest) {
        if matches!(refused, RefusedRequest::Busy { .. } | RefusedRequest::Late { .. }) {
            self.tally.refuse();
        }
        self.metrics.refuse(match refused {
            RefusedRequest::Invalid(_) | RefusedRequest::Broken(_) => RefusalCause::Invalid,
            RefusedRequest::Stalled { .. } => RefusalCause::Stalled,
            RefusedRequest::Late { .. } => RefusalCause::Late,
            RefusedRequest::TooLarge { .. }
            | RefusedRequest::TooDense { .. }
            | RefusedRequest::TooMany { .. } => RefusalCause::TooLarge,
            RefusedRequest::Unsupported { .. } => RefusalCause::Unsupported,
            RefusedRequest::Unauthenticated { .. } => RefusalCause::Unauthenticated,
            RefusedRequest::Busy { .. } => RefusalCause::Busy,
            RefusedRequest::Draining { .. } => RefusalCause::Draining,
            RefusedRequest::Rejected { .. } => RefusalCause::Rejected,
        });
    }

    async fn try_take(
        &self,
        acceptor: &Acceptor,
        signal: Signal,
        received: AdmittedRequest,
        arrived: Instant,
        provenance: Provenance,
        room: ConnectionAdmission<'_>,
    ) -> Result<Option<PartialSuccess>, RefusedRequest> {
        if acceptor.is_draining() {
            // By chance, so that not all come back at once.
            let retry_after = DRAINING_RETRY.mul_f64(1.0 + fastrand::f64() / 2.0);
            return Err(RefusedRequest::Draining { retry_after });
        }
        let (received, summary) = screen(signal, received, room).await?;
        let AdmittedRequest { wire, mut held, partial } = received;
        held.complete();
        self.limits.check(&summary)?;
        self.metrics.receive(wire.len() as u64);
        if summary.records == 0 {
            // Legal, and nothing to keep.
            return Ok(partial);
        }
        let received_unix_ns = unix_ns();
        let records = summary.records;
        let request = Request { signal, wire, records, received_unix_ns, provenance };
        let _under_way = self.tally.begin();
        let accepted = acceptor.accept_holding(request, arrived, held).await;
        if matches!(accepted, Ok(()) | Err(Refusal::Rejected { .. })) {
            self.tally.done();
        }
        match accepted {
            Ok(()) => Ok(partial),
            Err(Refusal::Busy { retry_after, why }) => {
                Err(RefusedRequest::Busy { retry_after, why })
            }
            Err(Refusal::Rejected { records: rejected, reason }) if rejected < records => {
                Ok(Some(PartialSuccess::refused(signal, rejected, reason.as_deref(), partial)))
            }
            Err(Refusal::Rejected { reason, .. }) => Err(RefusedRequest::Rejected { reason }),
        }
    }
}
