//! Sees single requests through: attempt, outcome, again, or the dead-letter store.

use std::sync::Arc;
use std::time::Duration;

use super::window::Permits;
use crate::config::running::Stop;
use crate::config::running::VaultHandle;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Note;
use crate::event::Outcome;
use crate::event::Provenance;
use crate::event::Request;
use crate::event::Signal;
use crate::event::ack;
use crate::flow::Full;
use crate::flow::Output;
use crate::metrics::VaultMetrics;
use crate::otlp;
use crate::somatic::Zone;
use crate::somatic::ZoneWatch;
use crate::vault::CursorHandle;
use crate::vault::StoredRecord;

const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// When the replay is stopped, what is on its way has this long to arrive: what arrives later is
/// delivered again after the next start.
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);

/// Sends single requests and sees each of them through.
pub(super) struct Sender {
    pub(super) output: Output,
    pub(super) cursor: CursorHandle,
    pub(super) vault: VaultHandle,
    pub(super) ledger: &'static Ledger,
    pub(super) metrics: VaultMetrics,
    pub(super) zone: ZoneWatch,
    pub(super) stop: Stop,
}

/// A stored request with its meaning.
pub(super) struct Replayed {
    seq: u64,
    request: Request,
    /// Whether it is OTLP; what is not can only be buried.
    is_readable: bool,
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
    /// Sends a request until it is delivered, buried, or the replay stops.
    pub(super) async fn send(self: Arc<Self>, replayed: Replayed, permits: Permits) {
        let seq = replayed.seq;
        let mut delay = RETRY_MIN;
        while self.may_send().await {
            match self.attempt(&replayed).await {
                Some(Outcome::Delivered) => {
                    self.metrics.replayed.inc();
                    self.cursor.ack(seq);
                    break;
                }
                Some(Outcome::Rejected) => {
                    if self.bury(&replayed).await {
                        self.metrics.dead_lettered.inc();
                        self.cursor.ack(seq);
                        break;
                    }
                }
                Some(Outcome::Vaulted | Outcome::Failed) => {
                    self.put_back(&replayed);
                }
                // Stopped: whoever holds the batch puts it back into the books.
                None => break,
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = self.stop.cancelled() => break,
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
        drop(permits);
    }

    /// Books a request whose copies were all given back as being in the vault, where it is.
    fn put_back(&self, replayed: &Replayed) {
        let Request { signal, records, .. } = &replayed.request;
        self.ledger.conclude(*signal, Bucket::Vaulted, *records);
    }

    /// Waits out Red; returns whether to go on, or to stop.
    async fn may_send(&self) -> bool {
        let mut zone = self.zone.clone();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            calmer = zone.wait_for(|zone| *zone != Zone::Red) => calmer.is_ok(),
        }
    }

    /// Makes sense of a stored request; one that an earlier process left is booked when it is first
    /// seen.
    pub(super) fn understand(&self, record: StoredRecord) -> Option<Replayed> {
        let Some(signal) = Signal::from_u8(record.signal) else {
            tracing::error!(
                seq = record.seq,
                signal = record.signal,
                "Unknown signal in the vault."
            );
            return None;
        };
        let noted = Note::read(&record.attrs).records;
        let scanned = otlp::prescan(signal, &record.payload);
        let records = scanned.as_ref().map_or(noted, |summary| summary.records);
        if self.vault.inherited.is_news(record.seq) {
            self.ledger.book(signal, Bucket::Recovered, signed(records));
            self.ledger.book(signal, Bucket::Vaulted, signed(records));
        }
        Some(Replayed {
            seq: record.seq,
            is_readable: scanned.is_ok(),
            request: Request {
                signal,
                records,
                wire: record.payload,
                received_unix_ns: record.received_unix_ns,
                provenance: Provenance::of_note(&record.attrs),
            },
        })
    }

    /// Sends it once; `None` when stopped, and it did not arrive soon.
    async fn attempt(&self, replayed: &Replayed) -> Option<Outcome> {
        let (ticket, mut waiter) = ack::channel();
        let batch = Batch::replayed(&replayed.request, ticket, self.ledger);
        if !replayed.is_readable {
            batch.rejected();
            return Some(Outcome::Rejected);
        }
        let sent = async {
            self.output.send(batch).await;
            (&mut waiter).await
        };
        tokio::select! {
            outcome = sent => return Some(outcome),
            () = self.stopped_for_long() => {}
        }
        waiter.claim();
        if waiter.outcome().is_some() {
            // The batch was still waiting for room: it came back with the future just dropped.
            self.put_back(replayed);
        }
        None
    }

    /// Waits until the replay was stopped and what is on its way should have arrived.
    async fn stopped_for_long(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(ARRIVES_WITHIN).await;
    }

    /// Moves it to the dead-letter store; returns whether it is safe there.
    async fn bury(&self, replayed: &Replayed) -> bool {
        let (ticket, waiter) = ack::channel();
        let copy = Batch::second_copy(&replayed.request, ticket, self.ledger);
        let buried = match self.vault.dead_letters.try_take(copy) {
            Ok(()) => waiter.await.is_safe(),
            Err(Full(copy)) => {
                copy.withdrawn();
                false
            }
        };
        if buried {
            tracing::warn!(
                seq = replayed.seq,
                "Request can never be delivered; it is in the dead-letter store."
            );
        } else {
            self.put_back(replayed);
        }
        buried
    }
}

fn signed(records: u64) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}
