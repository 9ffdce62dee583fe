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

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::output::{Full, Output, Placement};
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::ack;
use crate::event::ack::AckWaiter;
use crate::metrics::PivotCause;
use crate::metrics::Pivots;

/// How often a request that found no room asks again.
const ROOM_RETRY: Duration = Duration::from_millis(10);

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

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has room; the sender may try again after this long.
    Busy {
        /// A hint, already jittered.
        retry_after: Duration,
    },
    /// A backend refused it for good: sending it again cannot help.
    Rejected,
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
    pivots: Pivots,
    /// Requests that were answered before they were delivered.
    detached: TaskTracker,
}

impl Acceptor {
    /// Makes the acceptor of a source.
    #[must_use]
    pub fn new(
        output: Output,
        level: AckLevel,
        waits: Waits,
        ledger: &'static Ledger,
        pivots: Pivots,
    ) -> Self {
        Self { output, level, waits, ledger, pivots, detached: TaskTracker::new() }
    }

    /// Places a request and waits until it may be acknowledged.
    ///
    /// Dropped half-way (the client went) the request goes on; nobody learns its end.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when it could be neither delivered nor kept.
    pub async fn accept(&self, request: Request) -> Result<(), Refusal> {
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
        match placement {
            Placement::Diverted => {
                self.pivots.count(PivotCause::Diverted);
                self.await_vault(waiter, request, deadline).await
            }
            Placement::Spilled => {
                self.pivots.count(PivotCause::EdgeFull);
                self.await_vault(waiter, request, deadline).await
            }
            Placement::Pipeline if self.level == AckLevel::Received => {
                let this = self.clone();
                self.detached.spawn(async move { this.see_through(waiter, request).await });
                Ok(())
            }
            Placement::Pipeline => self.await_delivery(waiter, request, deadline).await,
        }
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
        Err(self.busy())
    }

    async fn await_delivery(
        &self,
        mut waiter: AckWaiter,
        request: Request,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        match tokio::time::timeout(self.waits.patience, &mut waiter).await {
            Ok(Outcome::Delivered | Outcome::Vaulted) => Ok(()),
            Ok(Outcome::Rejected) => Err(Refusal::Rejected),
            Ok(Outcome::Failed) => {
                self.pivots.count(PivotCause::Failed);
                self.keep_returned(&request, deadline).await
            }
            Err(_impatient) => self.take_over(waiter, request, deadline).await,
        }
    }

    /// Patience is over: the vault takes a copy, and the one in the pipeline is withdrawn.
    async fn take_over(
        &self,
        mut waiter: AckWaiter,
        request: Request,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let outcome = tokio::select! {
            biased;
            kept = self.copy_to_vault(&request, deadline, None) => {
                if kept {
                    waiter.claim();
                    self.pivots.count(PivotCause::Patience);
                    return Ok(());
                }
                // No vault, or it cannot take it: delivery is the only hope left.
                tokio::time::timeout_at(deadline, &mut waiter).await.ok()
            }
            outcome = &mut waiter => Some(outcome),
        };
        match outcome {
            Some(Outcome::Delivered | Outcome::Vaulted) => Ok(()),
            Some(Outcome::Rejected) => Err(Refusal::Rejected),
            Some(Outcome::Failed) => self.keep_returned(&request, deadline).await,
            None => {
                // The client is told to send it again, so this copy should not be delivered too.
                waiter.claim();
                self.ledger.conclude(request.signal, Bucket::RejectedFailed, request.records);
                Err(self.busy())
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
            Ok(_failed) => self.keep_returned(&request, deadline).await,
            // The disk hangs. The vault may still have it in the end; the client sends it again.
            Err(_late) => Err(self.busy()),
        }
    }

    /// Every copy was given back: try the vault until the deadline, then answer for it.
    async fn keep_returned(&self, request: &Request, deadline: Instant) -> Result<(), Refusal> {
        let mut debt = Debt { ledger: self.ledger, request, is_owed: true };
        if self.copy_to_vault(request, deadline, Some(&mut debt)).await {
            return Ok(());
        }
        debt.conclude(Bucket::RejectedFailed);
        Err(self.busy())
    }

    /// Puts a second copy of a request into the vault; returns whether it is safe there.
    async fn copy_to_vault(
        &self,
        request: &Request,
        deadline: Instant,
        mut debt: Option<&mut Debt<'_>>,
    ) -> bool {
        loop {
            let Some(vault) = self.output.vault() else { return false };
            let (ticket, waiter) = ack::channel();
            let copy = Batch::second_copy(request, ticket, self.ledger);
            // While the copy is out it carries the debt.
            set_owed(&mut debt, false);
            match vault.try_take(copy) {
                Ok(()) => {
                    let outcome = tokio::time::timeout_at(deadline, waiter).await;
                    if outcome.is_ok_and(Outcome::is_safe) {
                        return true;
                    }
                }
                Err(Full(copy)) => copy.withdrawn(),
            }
            set_owed(&mut debt, true);
            if Instant::now() + ROOM_RETRY >= deadline {
                return false;
            }
            tokio::time::sleep(ROOM_RETRY).await;
        }
    }

    /// Follows a request that was answered already: it must end delivered or in the vault, however
    /// long that takes.
    async fn see_through(&self, mut waiter: AckWaiter, request: Request) {
        let outcome = tokio::time::timeout(self.waits.patience, &mut waiter).await;
        if matches!(outcome, Ok(end) if end.is_safe()) {
            return;
        }
        if outcome.is_ok() {
            self.pivots.count(PivotCause::Failed);
        }
        while self.output.vault().is_some() {
            let deadline = Instant::now() + self.waits.answer_within;
            if self.copy_to_vault(&request, deadline, None).await {
                waiter.claim();
                return;
            }
            if waiter.outcome().is_some_and(Outcome::is_safe) {
                return;
            }
        }
        // Without a vault the pipeline has the only copy.
        if outcome.is_err() && (&mut waiter).await.is_safe() {
            return;
        }
        self.ledger.conclude(request.signal, Bucket::RejectedFailed, request.records);
        tracing::error!(
            records = request.records,
            "Records that were acknowledged on receipt are lost."
        );
    }

    /// What a sender is told when there is no room: when to come back, spread by chance so that
    /// not all of them come back at once.
    fn busy(&self) -> Refusal {
        let base = self.output.vault().map_or(Duration::from_secs(1), |vault| vault.retry_after());
        Refusal::Busy { retry_after: base.mul_f64(1.0 + fastrand::f64() / 2.0) }
    }
}

/// Records whose copies were all given back and that are in no bucket yet.
struct Debt<'a> {
    ledger: &'static Ledger,
    request: &'a Request,
    is_owed: bool,
}

impl Debt<'_> {
    fn conclude(&mut self, bucket: Bucket) {
        if std::mem::replace(&mut self.is_owed, false) {
            self.ledger.conclude(self.request.signal, bucket, self.request.records);
        }
    }
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        self.conclude(Bucket::RejectedAbandoned);
    }
}

fn set_owed(debt: &mut Option<&mut Debt<'_>>, is_owed: bool) {
    if let Some(debt) = debt {
        debt.is_owed = is_owed;
    }
}
