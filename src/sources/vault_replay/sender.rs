//! Sees single requests through: attempt, outcome, again, or the dead-letter store (`dead_letter.rs`).

use std::sync::Arc;
use std::time::Duration;

use gophership_vault::CursorHandle;
use gophership_vault::StoredRecord;
use tokio::sync::Semaphore;

use super::cursor_group::CursorGroup;
use super::dead_letter_log::DeadLetterLog;
use super::debt::LaneCounters;
use super::pace::LOOK_AROUND_EVERY;
use super::seen::SeenRequest;
use super::window::Permits;
use crate::component::ComponentId;
use crate::component::StaleCursor;
use crate::component::Stop;
use crate::component::VaultHandle;
use crate::component::calm;
use crate::component::send_unless_stopped;
use crate::event::Batch;
use crate::event::Ledger;
use crate::event::Ledgers;
use crate::event::Outcome;
use crate::event::Request;
use crate::event::SinkId;
use crate::event::SinkSet;
use crate::event::SinkTable;
use crate::event::ack;
use crate::flow::Output;
use crate::flow::TopologyView;
use crate::metrics::VaultMetrics;
use crate::somatic::Governor;
use crate::somatic::ZoneWatch;

pub(super) const RETRY_MIN: Duration = Duration::from_millis(200);
/// So late a request is sent again after its backend is back, on average at most: the vault can free
/// nothing before the oldest have arrived. The sink's circuit and its answers' hints spare the backend.
pub(super) const RESEND_MAX: Duration = Duration::from_millis(500);

/// Sends single requests and sees each of them through.
pub(super) struct Sender {
    pub(super) replay: ComponentId,
    pub(super) output: Output,
    /// That of the sink which it sends to.
    pub(super) lane: SinkSet,
    /// The sink's id.
    pub(super) name: String,
    /// Its row in the books.
    pub(super) sink: SinkId,
    pub(super) topology: Arc<dyn TopologyView>,
    pub(super) sink_set: Arc<SinkTable>,
    pub(super) group: Arc<CursorGroup>,
    pub(super) cursor: CursorHandle,
    pub(super) vault: VaultHandle,
    pub(super) ledgers: &'static Ledgers,
    pub(super) metrics: VaultMetrics,
    pub(super) zone: ZoneWatch,
    pub(super) governor: Arc<Governor>,
    pub(super) stop: Stop,
    /// The cursor of a name that the sink had before, if it reads that one.
    pub(super) former: Option<StaleCursor>,
    /// Places for requests that wait for the dead-letter store.
    pub(super) waiting: Arc<Semaphore>,
    /// What the log says of those that ended there.
    pub(super) dead_letter_log: DeadLetterLog,
    /// What it has delivered.
    pub(super) delivered: Arc<LaneCounters>,
}

/// A stored request with its meaning.
pub(super) struct Replayed {
    pub(super) seq: u64,
    pub(super) request: Request,
    /// That of the source that took it, whichever process that was in.
    pub(super) ledger: &'static Ledger,
    /// Whether it is OTLP; what is not can only be a dead letter.
    is_readable: bool,
    /// What the backend said that refused it for good.
    pub(super) reason: Option<Arc<str>>,
}

impl Replayed {
    /// The size of the request in bytes.
    pub(super) fn len(&self) -> usize {
        self.request.wire.len()
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u64 {
        self.request.records
    }
}

impl Sender {
    /// Sends a request until it is delivered, a dead letter, or the replay stops.
    pub(super) async fn send(self: Arc<Self>, mut replayed: Replayed, permits: Permits) {
        let mut delay = RETRY_MIN;
        while self.may_send().await {
            match self.attempt(&mut replayed).await {
                Some(Outcome::Delivered) => {
                    self.metrics.replayed.inc();
                    self.delivered.count(replayed.records(), replayed.len());
                    self.ack(&replayed);
                    break;
                }
                Some(Outcome::Rejected) => return self.dead_letter(replayed, permits).await,
                // It is still in the vault.
                Some(Outcome::Vaulted | Outcome::Failed) => {}
                None => break,
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = self.stop.cancelled() => break,
            }
            delay = (delay * 2).min(RESEND_MAX);
        }
        drop(permits);
    }

    pub(super) fn ack(&self, replayed: &Replayed) {
        let Request { signal, records, .. } = replayed.request;
        self.group.ack(&self.cursor, replayed.seq, replayed.ledger, (signal, records));
    }

    /// Waits until the edges on the way have drained enough that live traffic keeps most of them.
    pub(super) async fn calm(&self) {
        calm(&*self.topology, self.replay.as_str(), self.lane).await;
    }

    /// Waits out Red and an operator's pause; returns whether to go on, or to stop.
    async fn may_send(&self) -> bool {
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            // The fill level is read anew: the vault may have filled up meanwhile.
            let zone = *self.zone.borrow();
            if self.governor.may_drain(zone, self.vault.log.fill_permille()) {
                return true;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_AROUND_EVERY) => {}
            }
        }
    }

    /// Whether the sink needs a request, given the sinks that do; without any, all do.
    fn is_needed(&self, owed: &[String]) -> bool {
        if let Some(former) = &self.former {
            // What all need comes to the sink on its own cursor.
            return former.is_named(owed);
        }
        let has_lane = |sink: &String| self.sink_set.find(sink) == Some(self.lane);
        // By its name too: a sink that has left, and reads on until that is noticed, is in no graph.
        owed.is_empty()
            || owed.contains(&self.name)
            || owed.iter().any(has_lane)
            || self.topology.sink_set_of(owed).meets(self.lane)
    }

    /// Makes sense of a stored request, if the sink needs it.
    pub(super) fn understand(&self, record: StoredRecord) -> Option<Replayed> {
        let seen = SeenRequest::new(&record, self.ledgers, &self.vault.inherited);
        let SeenRequest { signal, records, ledger, provenance, owed, is_readable } = seen;
        if !self.is_needed(&owed) {
            self.group.ack(&self.cursor, record.seq, ledger, (signal, records));
            return None;
        }
        let received_unix_ns = record.received_unix_ns;
        let wire = record.payload;
        let request = Request { signal, wire, records, received_unix_ns, provenance };
        Some(Replayed { seq: record.seq, request, ledger, is_readable, reason: None })
    }

    /// Sends it once; `None` when stopped, and it did not arrive soon.
    async fn attempt(&self, replayed: &mut Replayed) -> Option<Outcome> {
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::replayed(&replayed.request, self.lane, ticket, replayed.ledger);
        if !replayed.is_readable {
            batch.rejected();
            return Some(Outcome::Rejected);
        }
        let outcome = send_unless_stopped(&self.output, batch, &mut waiter, &self.stop).await?;
        replayed.reason = waiter.reason();
        Some(outcome)
    }
}
