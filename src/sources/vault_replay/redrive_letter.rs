//! Sees a single dead letter through: attempt, outcome, again, and what becomes of it in the store.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dead_letter::unix_ms;
use super::pace::LOOK_AROUND_EVERY;
use super::sender::RESEND_MAX;
use super::sender::RETRY_MIN;
use crate::component::ComponentId;
use crate::component::DeadLetters;
use crate::component::Letter;
use crate::component::Stop;
use crate::component::calm;
use crate::component::stopped_for_long;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::Signal;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::event::ack;
use crate::flow::Full;
use crate::flow::Output;
use crate::flow::TopologyView;
use crate::somatic::Governor;
use crate::somatic::ZoneWatch;

/// A letter that its sinks do not take for so long stays in the store; time in which replays pause does
/// not count.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Why, if the sink did not say it.
const NO_REASON: &str = "refused without a reason";

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterOutcome {
    /// Every sink that missed it has it now.
    Delivered,
    /// It was refused again.
    Refused,
    /// Its sinks did not take it in time.
    Failed,
}

impl LetterOutcome {
    /// Its label in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What the letters of one redrive share.
pub(super) struct Redriver {
    pub(super) replay: ComponentId,
    pub(super) topology: Arc<dyn TopologyView>,
    pub(super) governor: Arc<Governor>,
    pub(super) zone: ZoneWatch,
    pub(super) ledgers: &'static Ledgers,
    pub(super) sink_set: Arc<SinkTable>,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) output: Output,
    /// The sinks that get the letters, instead of those that missed them; those if there are none.
    pub(super) to: Vec<String>,
    pub(super) stop: Stop,
    /// Sinks that did not take a letter in time: nothing more is sent to them.
    pub(super) out: Mutex<SinkSet>,
}

/// What an attempt came to.
struct Attempt {
    outcome: Outcome,
    /// The sinks that have it.
    served: SinkSet,
    reason: Option<Arc<str>>,
}

impl Redriver {
    /// The sinks behind the replay that are to get a letter: those that an operator named, or those that miss
    /// it. None if it cannot be sent at all.
    pub(super) fn sinks_of(&self, letter: &Letter) -> SinkSet {
        let scan = |signal: Signal| gophership_otlp::prescan(signal, &letter.wire).is_ok();
        if !letter.signal.is_some_and(scan) {
            return SinkSet::NONE;
        }
        if self.to.is_empty() {
            return self.missing(letter);
        }
        let behind = self.topology.sinks(self.replay.as_str());
        let lane = |wanted: &String| behind.iter().find(|(name, _)| name == wanted);
        let lanes = self.to.iter().map(|wanted| lane(wanted).map(|(_, lane)| *lane));
        let all = lanes.collect::<Option<Vec<_>>>().unwrap_or_default();
        all.into_iter().fold(SinkSet::NONE, SinkSet::or)
    }

    /// The sinks behind the replay that miss a letter.
    fn missing(&self, letter: &Letter) -> SinkSet {
        let has_lane =
            |lane: SinkSet| letter.sinks.iter().any(|name| self.sink_set.find(name) == Some(lane));
        let misses = |(name, lane): &(String, SinkSet)| {
            letter.sinks.is_empty() || letter.sinks.contains(name) || has_lane(*lane)
        };
        let behind = self.topology.sinks(self.replay.as_str());
        behind
            .iter()
            .filter(|sink| misses(sink))
            .fold(SinkSet::NONE, |all, (_, lane)| all.or(*lane))
    }

    /// Sends a letter until it is known what becomes of it; `None` when stopped.
    pub(super) async fn send(&self, letter: Letter, mut sinks: SinkSet) -> Option<LetterOutcome> {
        let request = Request {
            signal: letter.signal?,
            wire: letter.wire.clone(),
            records: letter.records,
            received_unix_ns: letter.received_unix_ns,
            provenance: letter.provenance.clone(),
        };
        let ledger = self.ledgers.source(&letter.source);
        let waits_for_others = self.missing(&letter).without(sinks);
        let (mut delay, mut left) = (RETRY_MIN, GIVE_UP_AFTER);
        loop {
            self.may_send().await?;
            let began = Instant::now();
            let attempt = self.attempt(&request, sinks, ledger, left).await?;
            sinks = sinks.without(attempt.served);
            match attempt.outcome {
                // A sink that was not named still misses it.
                Outcome::Delivered if !waits_for_others.is_empty() => {
                    return Some(LetterOutcome::Delivered);
                }
                // It is not the sink that missed it; the reason is not about that one.
                Outcome::Rejected if !self.to.is_empty() => return Some(LetterOutcome::Refused),
                Outcome::Delivered => {
                    self.take_out(&letter, &request, ledger);
                    return Some(LetterOutcome::Delivered);
                }
                Outcome::Rejected => {
                    self.store_anew(&letter, &request, sinks, ledger, attempt.reason).await;
                    return Some(LetterOutcome::Refused);
                }
                Outcome::Vaulted | Outcome::Failed => {}
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = self.stop.cancelled() => return None,
            }
            delay = (delay * 2).min(RESEND_MAX);
            left = left.saturating_sub(began.elapsed());
            let mut out = self.out.lock();
            if left.is_zero() || out.meets(sinks) {
                *out = out.or(sinks);
                return Some(LetterOutcome::Failed);
            }
        }
    }

    /// Waits while replays pause; `None` when stopped.
    async fn may_send(&self) -> Option<()> {
        while !self.stop.is_cancelled() {
            if self.governor.may_replay(*self.zone.borrow()) {
                return Some(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AROUND_EVERY) => {}
                () = self.stop.cancelled() => {}
            }
        }
        None
    }

    /// Sends it once and waits as long as `left`; `None` when stopped, and it did not arrive soon.
    async fn attempt(
        &self,
        request: &Request,
        sinks: SinkSet,
        ledger: &'static Ledger,
        left: Duration,
    ) -> Option<Attempt> {
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::replayed(request, sinks, ticket, ledger);
        let sent = async {
            calm(&*self.topology, self.replay.as_str(), sinks).await;
            self.output.send(batch).await;
            (&mut waiter).await
        };
        let outcome = tokio::select! {
            outcome = sent => Some(outcome),
            () = tokio::time::sleep(left) => Some(Outcome::Failed),
            () = stopped_for_long(&self.stop) => None,
        };
        // Whoever holds the copy still does not send it any more.
        waiter.claim();
        let (served, reason) = (waiter.served(), waiter.reason());
        Some(Attempt { outcome: outcome?, served, reason })
    }

    /// Takes a letter out of the store and the ledger: its sinks have it, or another one stands for it.
    fn take_out(&self, letter: &Letter, request: &Request, ledger: &Ledger) {
        if self.letters.take_out(letter.seq) {
            ledger.withdraw(request.signal, Bucket::DeadLettered, request.records);
        }
    }

    /// Stores a letter anew with why it was refused now. Where the store has no room, it stays as it was.
    async fn store_anew(
        &self,
        letter: &Letter,
        request: &Request,
        sinks: SinkSet,
        ledger: &'static Ledger,
        reason: Option<Arc<str>>,
    ) {
        let reason = reason.as_deref().unwrap_or(NO_REASON);
        let provenance = letter.provenance.of_letter(reason, unix_ms());
        let anew = Request { provenance, ..request.clone() };
        let (ticket, waiter) = ack::channel();
        let copy = Batch::second_copy(&anew, sinks, ticket, ledger);
        if let Err(Full(copy)) = self.letters.try_take(copy) {
            copy.withdrawn();
            return;
        }
        if waiter.await.is_safe() {
            for sink in self.sink_set.names(sinks) {
                let row = self.ledgers.sink(sink);
                self.ledgers.dead_letter(row, request.signal, request.records);
            }
            self.take_out(letter, request, ledger);
        }
    }
}
