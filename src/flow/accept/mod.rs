//! The source's side of the promise: place a request, wait for what may be promised, answer.
//!
//! ```text
//!   accept -- try-send --> pipeline --> delivered -----------------------> OK
//!      |                      |  `patience` is over, or it failed
//!      |  full edge, or Red   v
//!      +-----------------> the vault -- at its durability level ---------> OK
//!      |                      |  full or failed
//!      +-- nobody has room ---+-- wait, at most `patience` ---------------> refused, retryable
//! ```

mod early;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant as StdInstant;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use early::Early;

use super::debt;
use super::debt::Debt;
use super::output::Output;
use super::refusal::Copied;
use super::refusal::Obstacle;
use super::refusal::Refusal;
use super::refusal::VaultState;
use super::table::{Full, Placement};
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::SinkSet;
use crate::event::ack;
use crate::event::ack::AckWaiter;
use crate::metrics::PivotCause;
use crate::metrics::PlacedIn;
use crate::metrics::SourceMetrics;

/// How often a request that found no room asks again.
const ROOM_RETRY: Duration = Duration::from_millis(10);
/// The same once the source stops: the disk must not wait for the next request.
const LAST_RETRY: Duration = Duration::from_millis(2);
/// So long a source that stops still waits for delivery before the vault takes over.
const HURRY: Duration = Duration::from_millis(100);

/// What an OK promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckLevel {
    /// The request is in memory. It is lost with the process.
    Received,
    /// Every sink on the path has it, or the vault at its durability level.
    Delivered,
    /// The vault has it at its durability level; delivery comes from there.
    Journaled,
}

/// How long an acceptor waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// After this long without delivery the vault takes the request.
    pub patience: Duration,
    /// The client has its answer by then; well below its own deadline.
    pub answer_within: Duration,
}

/// Accepts requests on behalf of one source. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    output: Output,
    level: AckLevel,
    waits: Waits,
    ledger: &'static Ledger,
    metrics: SourceMetrics,
    /// The source is to stop.
    stop: CancellationToken,
    /// Requests that were answered before they were delivered.
    early: Arc<Early>,
    /// Those of them that take long.
    detached: TaskTracker,
}

impl Acceptor {
    /// Makes the acceptor of a source; once that is to `stop`, the vault takes over what is not delivered
    /// soon.
    #[must_use]
    pub fn new(
        output: Output,
        level: AckLevel,
        waits: Waits,
        ledger: &'static Ledger,
        metrics: SourceMetrics,
        stop: CancellationToken,
    ) -> Self {
        let (early, detached) = (Arc::default(), TaskTracker::new());
        Self { output, level, waits, ledger, metrics, stop, early, detached }
    }

    /// The same for a sender that wants its answer within a time; `None` if it has it by then anyway.
    /// The vault takes over after half of that time, so that there is time for it.
    #[must_use]
    pub fn hurried(&self, within: Duration) -> Option<Self> {
        let Waits { patience, answer_within } = self.waits;
        let waits = Waits { patience: patience.min(within / 2), answer_within: within };
        (within < answer_within).then(|| Self { waits, ..self.clone() })
    }

    /// Places a request whose last byte came at `arrived`, and waits until it may be acknowledged.
    ///
    /// Dropped half-way (the client went) the request goes on; nobody learns its end.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when it could be neither delivered nor kept.
    pub async fn accept(&self, request: Request, arrived: StdInstant) -> Result<(), Refusal> {
        self.accept_holding(request, arrived, ()).await
    }

    /// As [`Acceptor::accept`]; what the request holds, such as the room that was taken for it, is
    /// dropped when nobody follows it any more. At [`AckLevel::Received`] that is after its answer.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when it could be neither delivered nor kept.
    pub async fn accept_holding<H: Send + 'static>(
        &self,
        request: Request,
        arrived: StdInstant,
        hold: H,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.waits.answer_within;
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::received(&request, Some(ticket), self.ledger);
        let placement = match self.output.try_send(batch) {
            Ok(placement) => placement,
            Err(full) => {
                let (placement, back) = self.wait_for_room(full, waiter, deadline).await?;
                waiter = back;
                placement
            }
        };
        self.metrics.place(place_of(placement), arrived.elapsed());
        match placement {
            Placement::Diverted => {
                self.metrics.pivot(PivotCause::Diverted);
                self.await_vault(waiter, request, deadline).await
            }
            Placement::Spilled => {
                self.metrics.pivot(PivotCause::EdgeFull);
                self.await_vault(waiter, request, deadline).await
            }
            Placement::Pipeline | Placement::Split if self.level == AckLevel::Received => {
                self.answer_early(waiter, request, hold);
                Ok(())
            }
            Placement::Pipeline => self.await_delivery(waiter, request, deadline).await,
            Placement::Split => {
                self.metrics.pivot(PivotCause::Split);
                self.await_delivery(waiter, request, deadline).await
            }
        }
    }

    /// As [`Output::is_draining`].
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.output.is_draining()
    }

    /// Waits until every request that was answered early has found its end.
    pub async fn drain(&self) {
        self.detached.close();
        self.detached.wait().await;
    }

    /// Neither the pipeline nor the vault has room: ask again while patience lasts, then refuse.
    async fn wait_for_room(
        &self,
        full: Full,
        waiter: AckWaiter,
        deadline: Instant,
    ) -> Result<(Placement, AckWaiter), Refusal> {
        let mut batch = full.0;
        // Declared after the batch, so dropped before it: if the client goes now, the batch sees
        // that nobody waits and is booked as abandoned.
        let waiter = waiter;
        let deadline = deadline.min(Instant::now() + self.waits.patience);
        while Instant::now() + ROOM_RETRY < deadline {
            tokio::time::sleep(ROOM_RETRY).await;
            match self.output.try_send(batch) {
                Ok(placement) => return Ok((placement, waiter)),
                Err(Full(back)) => batch = back,
            }
        }
        batch.refused();
        Err(self.busy(Obstacle::Queues))
    }

    async fn await_delivery(
        &self,
        mut waiter: AckWaiter,
        request: Request,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        match self.patiently(&mut waiter, Instant::now()).await {
            Some(Outcome::Delivered | Outcome::Vaulted) => Ok(()),
            Some(Outcome::Rejected) => Err(Refusal::for_good(&waiter, request.records)),
            Some(Outcome::Failed) => {
                self.metrics.pivot(PivotCause::Failed);
                self.keep_returned(&request, &waiter, deadline, Obstacle::Backends).await
            }
            None => self.take_over(waiter, request, deadline).await,
        }
    }

    /// Waits for the outcome as long as there is patience, from `since` on: not for long any more once the source
    /// stops.
    async fn patiently(&self, waiter: &mut AckWaiter, since: Instant) -> Option<Outcome> {
        let mut deadline = since + self.waits.patience;
        loop {
            let until = deadline.min(Instant::now() + HURRY / 2);
            if let Ok(outcome) = tokio::time::timeout_at(until, &mut *waiter).await {
                return Some(outcome);
            }
            if until == deadline {
                return None;
            }
            // Asked by those only who wait for long: asking takes a lock that all of them share.
            if self.stop.is_cancelled() {
                deadline = deadline.min(Instant::now() + HURRY / 2);
            }
        }
    }

    /// Patience is over: the vault takes a copy, and the one in the pipeline is withdrawn.
    async fn take_over(
        &self,
        mut waiter: AckWaiter,
        request: Request,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let Some(owed) = self.output.owed(&waiter) else {
            waiter.claim();
            return Ok(());
        };
        let copying = self.copy_to_vault(&request, owed, deadline, None);
        tokio::pin!(copying);
        let (mut is_copying, mut obstacle) = (true, Obstacle::Backends);
        let outcome = tokio::select! {
            biased;
            copied = &mut copying => {
                is_copying = false;
                match copied {
                    Copied::Kept => {
                        waiter.claim();
                        self.metrics.pivot(PivotCause::Patience);
                        return Ok(());
                    }
                    Copied::Late => obstacle = Obstacle::Disk,
                    Copied::NotTaken => {}
                }
                // No vault, or it cannot take it: delivery is the only hope left.
                tokio::time::timeout_at(deadline, &mut waiter).await.ok()
            }
            outcome = &mut waiter => Some(outcome),
        };
        match outcome {
            Some(Outcome::Delivered | Outcome::Vaulted) => Ok(()),
            Some(Outcome::Rejected) => Err(Refusal::for_good(&waiter, request.records)),
            // The copy that is on its way may be all that is needed: a second one would arrive too.
            Some(Outcome::Failed) if is_copying && copying.await == Copied::Kept => Ok(()),
            Some(Outcome::Failed) => {
                self.keep_returned(&request, &waiter, deadline, obstacle).await
            }
            None => {
                // The client is told to send it again, so this copy should not be delivered too.
                waiter.claim();
                self.ledger.conclude(request.signal, Bucket::RejectedFailed, request.records);
                Err(self.busy(obstacle))
            }
        }
    }

    async fn await_vault(
        &self,
        mut waiter: AckWaiter,
        request: Request,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        match tokio::time::timeout_at(deadline, &mut waiter).await {
            Ok(outcome) if outcome.is_safe() => Ok(()),
            Ok(_failed) => self.keep_returned(&request, &waiter, deadline, Obstacle::Vault).await,
            // The disk hangs. The vault may still have it in the end; the client sends it again.
            Err(_late) => Err(self.busy(Obstacle::Disk)),
        }
    }

    /// Every copy was given back: try the vault until the deadline, then answer for it.
    async fn keep_returned(
        &self,
        request: &Request,
        waiter: &AckWaiter,
        deadline: Instant,
        obstacle: Obstacle,
    ) -> Result<(), Refusal> {
        let Some(owed) = self.output.owed(waiter) else { return Ok(()) };
        let mut debt = Debt::of(request, self.ledger);
        let obstacle = match self.copy_to_vault(request, owed, deadline, Some(&mut debt)).await {
            Copied::Kept => return Ok(()),
            Copied::NotTaken => obstacle,
            Copied::Late => Obstacle::Disk,
        };
        debt.conclude(Bucket::RejectedFailed);
        Err(self.busy(obstacle))
    }

    /// Puts a second copy of a request, for who still needs it, into the vault, and waits until it is safe there.
    async fn copy_to_vault(
        &self,
        request: &Request,
        owed: SinkSet,
        deadline: Instant,
        mut debt: Option<&mut Debt<'_>>,
    ) -> Copied {
        loop {
            let Some(vault) = self.output.vault() else { return Copied::NotTaken };
            let (ticket, waiter) = ack::channel();
            let copy = Batch::second_copy(request, owed, ticket, self.ledger);
            // While the copy is out it carries the debt.
            debt::set_owed(&mut debt, false);
            match vault.try_take(copy) {
                Ok(()) => match tokio::time::timeout_at(deadline, waiter).await {
                    Ok(outcome) if outcome.is_safe() => return Copied::Kept,
                    Ok(_failed) => {}
                    Err(_late) => {
                        debt::set_owed(&mut debt, true);
                        return Copied::Late;
                    }
                },
                Err(Full(copy)) => copy.withdrawn(),
            }
            debt::set_owed(&mut debt, true);
            let retry = if self.stop.is_cancelled() { LAST_RETRY } else { ROOM_RETRY };
            if Instant::now() + retry >= deadline {
                return Copied::NotTaken;
            }
            tokio::time::sleep(retry).await;
        }
    }

    /// What a sender is told when there is no room: when to come back, spread by chance so that
    /// not all of them come back at once.
    fn busy(&self, obstacle: Obstacle) -> Refusal {
        let vault = self.output.vault();
        let base = vault.as_ref().map_or(Duration::from_secs(1), |vault| vault.retry_after());
        let why = obstacle.words(vault.map(|vault| VaultState::of(&*vault)));
        Refusal::Busy { retry_after: base.mul_f64(1.0 + fastrand::f64() / 2.0), why }
    }
}

const fn place_of(placement: Placement) -> PlacedIn {
    match placement {
        Placement::Pipeline | Placement::Split => PlacedIn::Edges,
        Placement::Diverted | Placement::Spilled => PlacedIn::Vault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_sender_in_a_hurry_has_its_answer_in_its_time_and_the_vault_half_of_it() {
        let millis = Duration::from_millis;
        let waits = Waits { patience: millis(400), answer_within: millis(1000) };
        let (ledger, metrics) = (Ledger::leak(), Metrics::new().source("test"));
        let output = Output::new(Arc::default(), None);
        let stop = CancellationToken::new();
        let level = AckLevel::Delivered;
        let acceptor = Acceptor::new(output, level, waits, ledger, metrics, stop);
        let waits_within = |within| {
            let hurried = acceptor.hurried(millis(within))?;
            Some((hurried.waits.patience, hurried.waits.answer_within))
        };
        assert_eq!(waits_within(1000), None, "all others have as much time");
        assert_eq!(waits_within(900), Some((millis(400), millis(900))));
        assert_eq!(waits_within(300), Some((millis(150), millis(300))));
    }
}
