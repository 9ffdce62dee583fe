//! The way of a request that a sink refuses for good into the dead-letter store of a vault.
//!
//! ```text
//!   refused --> store has room: the letter is there
//!          \--> no room, or no vault: asked again for a while; then the request stays in the bucket only,
//!               and the next ones are not waited for until one has got in
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gophership_units::unix_ns;
use tokio::time::Instant;

use crate::component::Context;
use crate::component::Stop;
use crate::event::Batch;
use crate::event::Bucket;
use crate::event::Ledger;
use crate::event::Request;
use crate::event::SinkSet;
use crate::event::ack;
use crate::flow::Full;

/// A store that is being opened, has much to write, or is in a vault that is opened anew, has so much time.
const PATIENCE: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(200);
const NS_PER_MS: u64 = 1_000_000;
/// Why, if the sink did not say it.
pub(super) const NO_REASON: &str = "refused without a reason";

/// A request that was refused for good.
pub(super) struct RejectedRequest<'a> {
    pub(super) request: &'a Request,
    /// The sinks that do not have it.
    pub(super) sinks: SinkSet,
    /// Its records that are booked as rejected.
    pub(super) booked: u64,
    /// What a backend said.
    pub(super) reason: Option<Arc<str>>,
}

/// Brings letters to the store.
pub(super) struct Letters {
    context: Context,
    ledger: &'static Ledger,
    /// The vault that has the store.
    vault: Option<String>,
    /// The last letter found no room in time.
    has_no_room: AtomicBool,
}

impl Letters {
    pub(super) fn new(vault: Option<&str>, context: &Context) -> Self {
        Self {
            context: context.clone(),
            ledger: context.ledgers.source(context.id.as_str()),
            vault: vault.map(str::to_owned),
            has_no_room: AtomicBool::new(false),
        }
    }

    /// Sees a request into the store; returns whether it is safe there, or nothing if it was halted before
    /// that was known.
    pub(super) async fn keep(&self, refused: &RejectedRequest<'_>, halt: &Stop) -> Option<bool> {
        let Some(vault) = self.vault.as_deref() else { return Some(false) };
        let id = self.context.id.as_str();
        let reason = refused.reason.as_deref().unwrap_or(NO_REASON);
        let taken = refused.request.provenance.taken_by(id);
        let provenance = taken.of_letter(reason, unix_ns() / NS_PER_MS);
        let letter = Request { provenance, ..refused.request.clone() };
        let behind = self.context.topology.sinks(id);
        let behind = behind.iter().fold(SinkSet::NONE, |all, (_, lane)| all.or(*lane));
        let sinks = refused.sinks.and(behind);
        let gives_up_at = Instant::now() + PATIENCE;
        while !self.try_keep(vault, &letter, sinks).await {
            if self.has_no_room.load(Ordering::Relaxed) {
                return Some(false);
            }
            if gives_up_at <= Instant::now() {
                if !self.has_no_room.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        source = %self.context.id, vault,
                        "The dead-letter store of the vault takes no requests: it is full, or the vault is not \
                         open. Refused requests stay in the bucket only. Free the store with `gs-ctl \
                         dead-letters`, then replay again under another `replay_id`."
                    );
                }
                return Some(false);
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = halt.cancelled() => return None,
            }
        }
        self.has_no_room.store(false, Ordering::Relaxed);
        self.context.metrics.vault(vault).dead_lettered.inc();
        self.book(refused, sinks);
        Some(true)
    }

    /// Gives a letter to the store; returns whether it is safe there.
    async fn try_keep(&self, vault: &str, letter: &Request, sinks: SinkSet) -> bool {
        let Some(handle) = self.context.vaults.find(vault) else { return false };
        let (ticket, waiter) = ack::channel();
        let copy = Batch::second_copy(letter, sinks, ticket, self.ledger);
        match handle.dead_letters.try_take(copy) {
            Ok(()) => waiter.await.is_safe(),
            Err(Full(copy)) => {
                copy.withdrawn();
                false
            }
        }
    }

    /// What was rejected is a dead letter now.
    fn book(&self, refused: &RejectedRequest<'_>, sinks: SinkSet) {
        let Request { signal, records, .. } = *refused.request;
        self.ledger.withdraw(signal, Bucket::RejectedByBackend, refused.booked);
        for sink in self.context.sink_set.names(sinks) {
            let row = self.context.ledgers.sink(sink);
            self.context.ledgers.dead_letter(row, signal, records);
        }
    }
}
