//! The way of a request that can never be delivered into the dead-letter store.
//!
//! ```text
//!   refused by the backend --> store has room: it is there, and acknowledged
//!                          \-> no room: asks again; a few wait outside the window
//!                                   \-> the others stay in the vault, and are read again once one got in
//! ```

use std::sync::Arc;
use std::time::Duration;

use gophership_units::unix_ns;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::sender::RETRY_MIN;
use super::sender::Replayed;
use super::sender::Sender;
use super::window::Permits;
use crate::event::Batch;
use crate::event::Request;
use crate::event::ack;
use crate::flow::Full;
use crate::pool::Grant;

/// So many of a lane wait for the store outside the window.
pub(super) const WAITING_MAX: usize = 4;
/// A store that is being opened, or has much to write, is not full: so long a request keeps its place
/// in the window.
const PATIENCE: Duration = Duration::from_secs(2);
/// A store that takes nothing is asked again as often as this, at least.
const ASK_MAX: Duration = Duration::from_secs(10);

const NS_PER_MS: u64 = 1_000_000;
/// Why, if no backend was asked.
const NOT_OTLP: &str = "this version cannot read it as OTLP";

/// What a request holds that waits for the store.
enum HeldPlace {
    Window {
        _permits: Permits,
    },
    /// Nothing of the window; its bytes are still counted.
    Outside {
        _place: OwnedSemaphorePermit,
        _bytes: Grant,
    },
}

impl Sender {
    /// Sees a request into the store; it is acknowledged when it is safe there. One that finds no room
    /// and no place to wait stays in the vault, unacknowledged.
    pub(super) async fn dead_letter(&self, mut replayed: Replayed, permits: Permits) {
        let leaves_at = Instant::now() + PATIENCE;
        let reason = replayed.reason.take().unwrap_or_else(|| NOT_OTLP.into());
        let provenance = replayed.request.provenance.of_letter(&reason, unix_ms());
        replayed.request.provenance = provenance;
        let (mut held, mut delay) = (HeldPlace::Window { _permits: permits }, RETRY_MIN);
        while !self.try_dead_letter(&replayed, &reason).await {
            if leaves_at <= Instant::now() {
                held = match held {
                    HeldPlace::Outside { .. } => held,
                    HeldPlace::Window { _permits: permits } => {
                        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
                            self.group.leave();
                            return;
                        };
                        HeldPlace::Outside { _place: place, _bytes: permits.2.leave_portion() }
                    }
                };
            }
            tokio::select! {
                () = tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64())) => {}
                () = self.stop.cancelled() => return,
            }
            delay = (delay * 2).min(ASK_MAX);
        }
        self.metrics.dead_lettered.inc();
        self.ack(&replayed);
        self.group.has_dead_lettered();
        drop(held);
    }

    /// Moves it to the dead-letter store; returns whether it is safe there.
    async fn try_dead_letter(&self, replayed: &Replayed, reason: &str) -> bool {
        let (ticket, waiter) = ack::channel();
        let copy = Batch::second_copy(&replayed.request, self.lane, ticket, replayed.ledger);
        let dead_lettered = match self.vault.dead_letters.try_take(copy) {
            Ok(()) => waiter.await.is_safe(),
            Err(Full(copy)) => {
                copy.withdrawn();
                false
            }
        };
        if dead_lettered {
            let Request { signal, records, .. } = replayed.request;
            self.ledgers.dead_letter(self.sink, signal, records);
            self.dead_letter_log.note(replayed.seq, reason);
        }
        dead_lettered
    }
}

/// The time now, in milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    unix_ns() / NS_PER_MS
}
